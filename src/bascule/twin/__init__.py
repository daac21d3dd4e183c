"""Rehearse: the site's networks, machines, hosts and guests, played in throw-away namespaces."""

from bascule.twin.backend_choice import BackendChoice
from bascule.twin.twin import Twin, tools

__all__ = ["BackendChoice", "Twin", "tools"]
