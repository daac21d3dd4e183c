"""What the kernel does to a packet beside all rules: whatever else netfilter calls, and IPVS."""

from __future__ import annotations

from collections.abc import Iterator

from bascule.topology.trace.network import BalancedService, HostNetwork
from bascule.topology.trace.packet import key, text_of
from bascule.topology.trace.rules.tests import Fields


def unread_calls(network: HostNetwork, family: str, hook: str) -> Iterator[str]:
    """What is called at a hook that no table of rules shows: it may do anything."""
    for name in network.called.get((family, hook), ()):
        yield f"{name} is called at {family} {hook}, and what it does is in no table of rules"


def balancing(network: HostNetwork, version: int, fields: Fields) -> Iterator[BalancedService]:
    """The services of IPVS that a packet is for."""
    asked = fields.get("meta l4proto"), fields.get(key(version, "daddr")), fields.get("th dport")
    return (one for one in network.balanced if one.takes(*asked))


def balanced_words(one: BalancedService) -> str:
    """That IPVS chooses who gets it (ipvsadm(8))."""
    version = 4 if one.address < 1 << 32 else 6
    where = f"{text_of(version, one.address)} port {one.port or 'any'}"
    return f"IPVS hands what is for {where} on to a server that it chooses"
