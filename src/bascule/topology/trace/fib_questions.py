"""What rules ask of the routing table by ``fib`` (net/ipv4/netfilter/nft_fib_ipv4.c and its like for IPv6)."""

from __future__ import annotations

from typing import Any

from bascule.topology.trace.network import HostNetwork
from bascule.topology.trace.packet import key, version_of
from bascule.topology.trace.routing import NextHop, RouteTables
from bascule.topology.trace.rules.tests import Fields, Value


def fib_fields(network: HostNetwork, fib: RouteTables, fields: Fields, iif: str) -> dict[str, Any]:
    """A field for each question that a rule asks, as the packet is now."""
    version = version_of(fields)
    found: dict[str, Any] = {}
    for name in network.rules.fib_keys:
        _, flags, result = name.split(" ")
        words = set(flags.split(","))
        own, other = ("saddr", "daddr") if "saddr" in words else ("daddr", "saddr")
        address, against = fields.get(key(version, own)), fields.get(key(version, other))
        if not isinstance(address, int) or not isinstance(against, int):
            found[name] = None
            continue
        if iif == "lo" and result == "oif":  # nft_fib_is_loopback()
            found[name] = "lo"
            continue
        mark = fields.get("meta mark", 0) if "mark" in words else 0
        forwarded = str(fields.get("meta oifname", "")) if {"saddr", "iif"} <= words else ""
        device = iif if "iif" in words else ""
        if result == "type" and version == 4:
            found[name] = _kind(fib, address, device)
        elif result == "type" and address >> 120 == 0xFF:  # there is a route to these by every link
            found[name] = "multicast"
        else:
            restricted = device if result == "oif" and version == 6 else ""
            by = mark if isinstance(mark, int) else None
            hop = fib.find(address, against, iif=forwarded or "lo", mark=by, oif=restricted)
            found[name] = None if hop.doubt else _answer(network, hop, version, address, result, device)
    return found


def _kind(fib: RouteTables, address: int, device: str) -> Value:
    """inet_dev_addr_type()."""
    if address >> 28 == 0xE:
        return "multicast"
    if address in {0, 0xFFFFFFFF}:
        return "broadcast"
    hop = fib.find(address, only="local")
    return hop.kind if hop.kind != "none" and device in {"", hop.link} else "unicast"


def _answer(network: HostNetwork, hop: NextHop, version: int, address: int, result: str, device: str) -> Value:
    if result == "type":
        if device and hop.kind == "local" and device not in network.own_addresses.get((version, address), ()):
            return "unicast"
        return "unreachable" if hop.kind == "none" else str(hop.kind)
    if hop.kind != "unicast":
        return ""
    return str(hop.link) if not device else device if device in {hop.link, *hop.more} else ""
