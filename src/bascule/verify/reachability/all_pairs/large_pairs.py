"""Whether large packets pass where small ones do, of many pairs: asked where links are not equally wide. Pure."""

from __future__ import annotations

from collections.abc import Hashable, Sequence

from bascule.topology.sweep.sweep import Sweep
from bascule.topology.trace.answer import Certainty, worst
from bascule.topology.trace.large_packets import LargePacket, LargePacketWalk
from bascule.topology.trace.network import HostNetwork, WireEnd
from bascule.topology.trace.packet import Traffic
from bascule.topology.trace.rules.lines import MSS, SetField

MOST = 2000  # walks; of further pairs it is not told


class LargePairs:
    """Asks once for all whose packets take the same way; for each class where rules have a say in it."""

    def __init__(self, sweep: Sweep, ends: Sequence[WireEnd]) -> None:
        self._sweep = sweep
        self._is_uneven = _is_uneven(sweep.network, ends)
        self._by_class = any(
            isinstance(part, SetField) and part.key == MSS for line in sweep.network.rules.lines for part in line.parts
        )
        self._known: dict[Hashable, Certainty] = {}
        self._ways: dict[Hashable, tuple[LargePacket, ...]] = {}
        self._walked = 0

    def result(
        self, source: WireEnd | None, target: WireEnd | None, version: int, address: int, traffic: Traffic
    ) -> Certainty:
        """Whether the largest packets get through, be it in smaller ones after a router's word; small ones pass."""
        if not self._is_uneven:
            return Certainty.YES
        where = (version, address if target is None else _place(target, version, address), traffic)
        way = (*(self._sweep.way_of(end) if end else None for end in (source, target)), *where)
        exact = (*(self._sweep.class_of(end) if end else None for end in (source, target)), *where)
        if exact not in self._known:
            found = self._ways.get(way)
            if found is None or self._by_class or any(one.told is not None for one in found):
                if self._walked >= MOST:
                    return Certainty.UNKNOWN
                self._walked += 1
                walk = LargePacketWalk(self._sweep.walks, source, target, address, version, traffic, 0)
                found = self._ways[way] = walk.large_packets()
            self._known[exact] = worst([one.result for one in found])
        return self._known[exact]


def _place(end: WireEnd, version: int, address: int) -> int:
    return next(n for n, one in enumerate(end.addresses) if one[:2] == (address, version))


def _is_uneven(network: HostNetwork, ends: Sequence[WireEnd]) -> bool:
    """Whether anything takes larger packets than anything else; of equally wide links nothing is too large."""
    links = {str(link.name): link for link in network.state.links.values() if link.name != "lo" and link.up}
    found = {link.mtu for link in links.values()} | {end.mtu for end in ends if end.mtu}
    return len(found) > 1 or any("mtu" in route.extra for route in network.state.routes)
