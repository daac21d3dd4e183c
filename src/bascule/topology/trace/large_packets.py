"""Where large packets die on a way that small ones pass: the largest that either end sends, not to be cut (DF).

A router that may not cut says "too big", and the sender sends smaller ones (RFC 1191, RFC 8201). Where nobody says so,
or a rule drops what is said, a connection opens and hangs with the first data: a black hole of path MTU discovery.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from msgspec import Struct
from msgspec.structs import replace

from bascule.topology.trace.answer import Certainty, Code, Leg
from bascule.topology.trace.ends.relays import Relays
from bascule.topology.trace.network import WireEnd
from bascule.topology.trace.packet import PSH_ACK, Connection, key
from bascule.topology.trace.rules.lines import BY_PATH, MSS
from bascule.topology.trace.walk import Walk

HEADERS = {4: 40, 6: 60}  # of IP and TCP, which a maximum segment size leaves out


class LargePacket(Struct, frozen=True, kw_only=True):
    """What becomes of the largest packet of one direction: ``leg`` is its way, ``told`` that of the word "too big".

    ``result`` is yes where it arrives or its sender learns what size would.
    """

    size: int
    leg: Leg
    told: Leg | None = None

    @property
    def result(self) -> Certainty:
        """Whether data gets through, be it in smaller packets."""
        if self.leg.result.passes or self.told is None:
            return self.leg.result
        return self.told.result


class LargePacketWalk(Walk):
    """The largest packet of each direction of an exchange whose small packets pass."""

    def large_packets(self) -> tuple[LargePacket, ...]:
        """Those that do not fit somewhere; none where the small ones do not pass, or a machine hands them on."""
        if self.traffic.protocol == "arp" or self._beside_host():
            return ()
        self.small = self.traffic.size
        self.also = {MSS: 0} if self.traffic.protocol == "tcp" else {}
        first, end = self._first()
        fields = first.fields
        there = replace(self.connection)
        self.connection.is_reply = True
        back = self._back(fields, end)
        if not (first.result.passes and back.result.passes) or self.relays.met:
            return ()
        if (end is None) != (self.target is None):
            return ()
        sizes = self._sizes(first, back)
        self.traffic = replace(self.traffic, size=sizes[0], whole=True)
        found = [self._lost_of(sizes[0], replace(there, established=True))]
        found.append(self._lost_of(sizes[1], replace(there, established=True, is_reply=True), (fields, end)))
        return tuple(one for one in found if one is not None)

    def _sizes(self, first: Leg, back: Leg) -> tuple[int, int]:
        """The largest packets out and back: of TCP neither end sends more than the other has offered to take.

        The answer to a ping is as large as the ping.
        """
        sizes = [self._mtu_of(self.source, first.fields), self._mtu_of(self.target, back.fields)]
        if self.traffic.protocol == "icmp":
            return sizes[0], min(sizes)
        if self.traffic.protocol != "tcp":
            return sizes[0], sizes[1]
        offered = [self._offered(leg, size) for leg, size in zip((first, back), sizes, strict=True)]
        return min(sizes[0], offered[1]), min(sizes[1], offered[0])

    def _offered(self, leg: Leg, size: int) -> int:
        """The largest packet that a SYN asks for, as rules have clamped it."""
        clamped = leg.fields.get(MSS, 0)
        if clamped == BY_PATH:
            return min([size, *(one for one in self.mtus if one)])
        return min(size, clamped + HEADERS[self.version]) if isinstance(clamped, int) and clamped else size

    def _mtu_of(self, end: WireEnd | None, fields: Mapping[str, Any]) -> int:
        if end is not None:
            by = self.network.link(end.port)
            return end.mtu or (by.mtu if by is not None else 0)
        return self._mtu(self.network.routes(self.version).find(fields[key(self.version, "daddr")]))

    def _length(self, size: int) -> dict[str, int]:
        """What the headers say of it."""
        found = {"ip length": size} if self.version == 4 else {}
        return found | (
            {"udp length": size - (20 if self.version == 4 else 40)} if self.traffic.protocol == "udp" else {}
        )

    def _lost_of(
        self, size: int, connection: Connection, answered: tuple[Any, WireEnd | None] | None = None
    ) -> LargePacket | None:
        """The largest packet of one direction, if its size is in its way; ``answered`` is what it answers, by whom."""
        if size <= self.small:
            return None
        self.connection, self.relays = connection, Relays(self._ends, self.version, self.traffic)
        self.also = {"meta length": size, **self._length(size)} | (
            {"tcp flags": PSH_ACK} if self.traffic.protocol == "tcp" else {}
        )
        leg = self._first()[0] if answered is None else self._back(*answered)
        if not any(one.code is Code.MTU for one in leg.blockers):
            return None
        wanted = self.source if answered is None else self.target
        told = self.told_too_big(self.oversized, wanted) if self.oversized else None
        return LargePacket(size=size, leg=leg, told=told)
