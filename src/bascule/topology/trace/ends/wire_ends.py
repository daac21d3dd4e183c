"""Who stands on the wires of a host."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import cached_property

from msgspec import Struct

from bascule.model.links import Bridge
from bascule.topology.trace.ends.macs_in_rules import macs_in_rules
from bascule.topology.trace.network import HostNetwork, WireEnd

ASSUMED_MAC = "is not known, and rules ask for MACs that are nobody's"
VIRTUAL_ROUTER = 0x00_00_5E_00  # with a number behind it the MAC of one, and of no machine's card (RFC 5798)


class AddressOwner(Struct, frozen=True):
    """Who has an address on a segment: the port that leads there (empty: the host itself) and the MAC."""

    port: str
    mac: int
    end: WireEnd | None = None


def sending(nics: Sequence[WireEnd], version: int, to: int) -> Sequence[WireEnd]:
    """By which of its NICs somebody sends to an address: those on its own wire, by the longest prefix, else a router's.

    All of them where no prefix tells. An answer goes that way as well, whichever NIC was asked.
    """
    if len(nics) < 2:
        return nics
    for next_hop in dict.fromkeys((to, *(via for one in nics if (via := one.next_hop(version, to)) is not None))):
        near = [(length, one) for one in nics if (length := one.prefix_of(version, next_hop)) is not None]
        if near:
            longest = max(length for length, _ in near)
            return [one for length, one in near if length == longest]
    return nics


class WireEnds:
    """Who stands on the wires of a host, by address and by port."""

    def __init__(self, network: HostNetwork, ends: Sequence[WireEnd]) -> None:
        self.network = network
        self.ends = tuple(ends)
        self._by_address: dict[tuple[int, int], list[WireEnd]] = {}
        self._by_mac: dict[tuple[str, object], list[WireEnd]] = {}
        self._by_name: dict[str, list[WireEnd]] = {}
        for end in ends:
            self._by_name.setdefault(end.name, []).append(end)
            self._by_mac.setdefault((end.port, end.mac), []).append(end)
            for number, version, _ in (*end.addresses, *end.router):
                self._by_address.setdefault((version, number), []).append(end)

    def with_pairs(self, pairs: Iterable[tuple[WireEnd, WireEnd]]) -> WireEnds:
        """The same ends, with others that stand in for some of them."""
        found = WireEnds(self.network, ())
        found._by_address, found._by_mac, ends = {**self._by_address}, {**self._by_mac}, list(self.ends)
        found._by_name = {**self._by_name}
        for end, other in pairs:
            found._by_name[end.name] = [other if one is end else one for one in found._by_name[end.name]]
            ends = [other if one is end else one for one in ends]
            same = found._by_mac[end.port, end.mac]
            found._by_mac[end.port, end.mac] = [other if one is end else one for one in same]
            for number, version, _ in (*end.addresses, *end.router):
                known = found._by_address[version, number]
                found._by_address[version, number] = [other if one is end else one for one in known]
        found.ends = tuple(ends)
        return found

    def doubts(self, link: str, *ends: WireEnd | None) -> list[str]:
        """What is not known of frames on a link by or for some ends: whether rules mean the MACs that they have."""
        unknown = [end for end in ends if end is not None and end.mac_assumed]
        seen = self.network.link(link)
        bridged = seen is not None and isinstance(seen.options, Bridge)
        if not unknown or not (self._strange_in_bridges if bridged else self._strange):
            return []
        return [f"the MAC of {end.name} {ASSUMED_MAC}" for end in unknown]

    @cached_property
    def _strange_in_bridges(self) -> bool:
        return self._asks_for_strangers(bridged=True)

    @cached_property
    def _strange(self) -> bool:
        return self._asks_for_strangers(bridged=False)

    def _asks_for_strangers(self, *, bridged: bool) -> bool:
        """Whether rules ask for a MAC that is none of those that are known here."""
        own = {self.network.mac_of(name) for name in self.network.state.links}
        known = {end.mac for end in self.ends if not end.mac_assumed} | own
        asked = macs_in_rules(self.network.rules, bridged=bridged)
        return not {one for one in asked if not one >> 40 & 1 and one >> 16 != VIRTUAL_ROUTER} <= known

    def sender(self, end: WireEnd, version: int, to: int) -> WireEnd:
        """The NIC by which the owner of one sends to an address; that one itself where it may be it."""
        own = self._by_name.get(end.name, ())
        nics = sending(own, version, to)
        return end if len(own) < 2 or end in nics else nics[0]

    def behind(self, port: str, mac: object, version: int, to: int) -> WireEnd | None:
        """Who has a MAC behind a port: of a router and those behind it, who have one there, whose address it is."""
        return _owner_first(self._by_mac.get((port, mac), ()), version, to)

    def owned(self, version: int, number: int) -> bool:
        """Whether an address is somebody's, wherever that is."""
        return bool(self._by_address.get((version, number)))

    def at(self, link: str, version: int, number: int) -> WireEnd | None:
        """Who has an address behind a link: on a bridge, or a VLAN of it, behind any of its ports."""
        near = [
            end
            for end in self._by_address.get((version, number), ())
            if link in {end.port, self.network.bridge_of(end.port)} or link == self.network.host_side(end)
        ]
        return _owner_first(near, version, number)


def _owner_first(ends: Sequence[WireEnd], version: int, number: int) -> WireEnd | None:
    """The end on the wire whose own address it is; else the first: a router, or who is behind one."""
    return next((end for end in ends if end.owns(version, number) and not end.router), next(iter(ends), None))
