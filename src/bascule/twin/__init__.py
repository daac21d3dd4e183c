"""Rehearse: the site in throw-away namespaces, changed by the same engine as a real host."""
