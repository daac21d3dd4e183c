"""Processes, signals and sandboxes."""
