"""Permanent neighbours (ip-neighbour(8)), where a dialect has words for them."""

from __future__ import annotations

from collections.abc import Iterator

from bascule.model.state import FixedNeighbour
from bascule.model.values import IfName
from bascule.persist.config import NetworkConfig

PERMANENT, PROXY_ARP, PROXY_NDP = "permanent neighbour", "proxy ARP", "proxy NDP"
NOARP, MANAGED = "neighbour without ARP", "managed neighbour"


def kind_of(one: FixedNeighbour) -> str:
    """What it is called; a dialect says which of these kinds it has words for."""
    if not one.proxy:
        return MANAGED if "managed" in one.flags else NOARP if "noarp" in one.flags else PERMANENT
    return PROXY_NDP if ":" in one.ip else PROXY_ARP


def on_link(config: NetworkConfig, name: IfName) -> Iterator[FixedNeighbour]:
    """Those of one link."""
    return (one for one in config.neighbours if one.dev == name)


def command(one: FixedNeighbour) -> str:
    """The command that sets it, whether it is there or not."""
    return " ".join(("ip neigh replace", *one.words))
