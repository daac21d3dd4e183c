"""Rehearse: the site's networks, machines, hosts and guests, played in throw-away namespaces."""

from bascule.twin.cast import Cast
from bascule.twin.twin import Twin, tools

__all__ = ["Cast", "Twin", "tools"]
