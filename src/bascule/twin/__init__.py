"""Rehearse: the site's networks, machines, hosts and guests, played in throw-away namespaces."""

from bascule.twin.twin import Twin, tools

__all__ = ["Twin", "tools"]
