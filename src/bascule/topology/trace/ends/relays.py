"""Machines on a host's wires that hand packets on, as the site file says: which ones, where to, and as whom. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from msgspec import Struct

from bascule.topology.trace.answer import Code
from bascule.topology.trace.ends.wire_ends import WireEnds
from bascule.topology.trace.network import AddressGroup, ForwardedTraffic, WireEnd
from bascule.topology.trace.packet import INVALID, Connection, Traffic, key, text_of
from bascule.topology.trace.rules.tests import MISSING

MOST = 8  # routers one after another; more of them send it round in a ring
# nothing of it is known
ANEW: dict[str, Any] = {"meta mark": 0, "ct mark": MISSING, "ct state": INVALID, "ct status": 0, "ct entry": 0}


class NextWire(Struct, frozen=True, kw_only=True):
    """By which of its NICs a machine hands a packet on, and with which fields; None and a code where it does not."""

    out: WireEnd | None
    text: str
    code: Code = Code.UNKNOWN_OUTSIDE
    fields: Mapping[str, Any] = {}


class Relays:
    """The machines that one exchange was handed on by, and the connections before and behind each."""

    def __init__(self, ends: WireEnds, version: int, traffic: Traffic) -> None:
        self.ends = ends
        self.version = version
        self.traffic = traffic
        self.met = False  # whether any machine has handed the exchange on
        self.passed: list[tuple[WireEnd, int, int, Connection]] = []  # came in by, source, shown as, the connection

    def hides(self, end: WireEnd, target: int) -> bool:
        """Whether an answer to a machine's own address is for somebody whom it hides."""
        return bool(self.passed) and self.passed[-1][0].name == end.name and self.passed[-1][2] == target

    def first(self, end: WireEnd, fields: Mapping[str, Any], connection: Connection) -> NextWire:
        """A packet of the first direction that a machine got and that is not for itself."""
        source, target = fields[key(self.version, "saddr")], fields[key(self.version, "daddr")]
        words = f"what comes from {text_of(self.version, source)} to {text_of(self.version, target)}"
        if end.passes is None:
            return NextWire(out=None, text=f"{end.name} gets it, and whether it forwards it is not known")
        out = self._sends_by(end, target)
        if out is None or len(self.passed) >= MOST:
            return NextWire(out=None, text=f"on which network {end.name} forwards {words} is not known")
        flow = next((one for one in end.passes if self._fits(one, end, out, source, target)), None)
        if flow is None:
            return NextWire(out=None, code=Code.NOT_FORWARDING, text=f"{end.name} does not forward {words}")
        shown = source
        if flow.hides:
            shown = next((number for number, version, _ in out.addresses if version == self.version), source)
        self.met = True
        self.passed.append((end, source, shown, connection))
        as_whom = f" as {text_of(self.version, shown)}" if shown != source else ""
        changed = {**ANEW, key(self.version, "saddr"): shown}
        return NextWire(out=out, text=f"{end.name} forwards it{as_whom}", fields=changed)

    def back(self, end: WireEnd) -> tuple[NextWire, Connection]:
        """The answer, which the machine knows by its connection, and the connection before it."""
        came, source, _, connection = self.passed.pop()
        out = self._sends_by(end, source) or came
        changed = {**ANEW, key(self.version, "daddr"): source}
        return NextWire(out=out, text=f"{end.name} forwards the answer", fields=changed), connection

    def _sends_by(self, end: WireEnd, target: int) -> WireEnd | None:
        out = self.ends.sender(end, self.version, target)
        via = out.next_hop(self.version, target)
        return out if via is not None and out.prefix_of(self.version, via) is not None else None

    def _fits(self, flow: ForwardedTraffic, came: WireEnd, out: WireEnd, source: int, target: int) -> bool:
        network = self.ends.network
        if flow.protocol and (
            flow.protocol != self.traffic.protocol or not flow.first <= self.traffic.port <= flow.last
        ):
            return False
        wires = [(network.wires.get(one.port), one.vlan) for one in (came, out)]
        if flow.hides and wires[0] == wires[1]:
            return False
        ends = ((flow.sources, came, source), (flow.targets, out, target))
        return all(self._is_of(group, network.wires.get(one.port), number) for group, one, number in ends)

    def _is_of(self, group: AddressGroup | None, wire: str | None, number: int) -> bool:
        if group is None or wire in group.networks:
            return True
        return any(version == self.version and low <= number <= high for version, low, high in group.ranges)
