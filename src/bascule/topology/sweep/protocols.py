"""Services that are asked for together: the way of their packets is one, what rules say of them is each protocol's."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from msgspec import Struct
from msgspec.structs import replace

from bascule.model.values import grouped
from bascule.topology.sweep.columns import Column, Sampled
from bascule.topology.trace.packet import Traffic, reply, request

PROTOCOL = ("th ", "tcp ", "udp ", "icmp ", "icmpv6 ", "meta l4proto", "ip protocol", "ip6 nexthdr")
ORIGINAL = {"ct original proto-src": "th sport", "ct original proto-dst": "th dport"}
HEADER = ("ip protocol", "ip6 nexthdr")  # which are hidden in a frame with a VLAN tag


class ProtocolServices(Struct, frozen=True, kw_only=True, dict=True):
    """The services of one protocol; ``mask`` has their bits of each receiver."""

    traffic: Traffic
    mask: int

    @classmethod
    def of(cls, services: Mapping[Traffic, int], every: int) -> tuple[ProtocolServices, ...]:
        """Services with their places, by protocol; ``every`` has the first bit of each receiver."""
        protocols = grouped((traffic.protocol, (traffic, every << place)) for traffic, place in services.items())
        found = []
        for one in protocols.values():
            head, ports = one[0][0], [traffic.port for traffic, _ in one]
            masks = [mask for _, mask in one]
            if any(ports):
                head = replace(head, port=Sampled.of(ports[0], Column(ports, masks, is_source=False)))
            found.append(cls(traffic=head, mask=sum(masks)))
        return tuple(found)

    def header(self, version: int, *, is_reply: bool) -> Mapping[str, Any]:
        """The fields of its packets that are those of its protocol, and as connection tracking has kept them."""
        known: dict[tuple[int, bool], Mapping[str, Any]] = self.__dict__.setdefault("_headers", {})
        if (version, is_reply) not in known:
            first = request(self.traffic, version, 0, 0)
            fields = reply(first) if is_reply else first
            own = {name: value for name, value in fields.items() if name.startswith(PROTOCOL)}
            known[version, is_reply] = own | {name: first.get(port) for name, port in ORIGINAL.items()}
        return known[version, is_reply]

    def instead_of(self, other: ProtocolServices, fields: Mapping[str, Any], *, is_reply: bool) -> dict[str, Any]:
        """The fields of a packet of the other protocol on its way, as one of these has them there."""
        version = 4 if "ip saddr" in fields else 6
        own, theirs = (one.header(version, is_reply=is_reply) for one in (self, other))
        found = {**fields, **own}
        for name in theirs:
            if name not in own:
                found.pop(name, None)
        for name in ORIGINAL:
            if name not in fields:
                del found[name]
        for name in HEADER:
            if name in fields and fields[name] is None:
                found[name] = None
        return found
