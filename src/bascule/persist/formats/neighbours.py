"""Permanent neighbours (ip-neighbour(8)), where a dialect has words for them."""

from __future__ import annotations

from collections.abc import Iterator

from bascule.model.state import FixedNeighbour
from bascule.model.values import IfName
from bascule.persist.config import NetworkConfig

PERMANENT, PROXY_ARP, PROXY_NDP = "permanent neighbour", "proxy ARP", "proxy NDP"


def kind_of(one: FixedNeighbour) -> str:
    """What it is called; a dialect says which of these kinds it has words for."""
    if not one.proxy:
        return PERMANENT
    return PROXY_NDP if ":" in one.ip else PROXY_ARP


def on_link(config: NetworkConfig, name: IfName) -> Iterator[FixedNeighbour]:
    """Those of one link."""
    return (one for one in config.neighbours if one.dev == name)


def command(one: FixedNeighbour) -> str:
    """The command that sets it, whether it is there or not."""
    if one.proxy:
        return " ".join(("ip neigh replace proxy", one.ip, "dev", one.dev, *one.flags))
    return " ".join(("ip neigh replace", one.ip, "lladdr", one.mac, "dev", one.dev, "nud permanent", *one.flags))
