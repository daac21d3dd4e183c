"""Who surely does not reach whom: on different segments of a host that hands nothing on from one to another. Pure."""

from __future__ import annotations

from collections.abc import Iterable

from bascule.model.links import Bond, Physical, Tap, Veth, Vlan
from bascule.model.state import Link
from bascule.topology.trace.network import HostNetwork
from bascule.verify.reachability.participant import AskedHost, Participant


class SeparateSegments:
    """The segments of a host, as far as they are surely apart; of all others a walk has to tell."""

    def __init__(self, given: AskedHost) -> None:
        self._known = given.known
        self._network = given.network
        self._hands_on = _hands_on(given.network, given.known.values())
        self._joined: dict[str, frozenset[str] | None] = {}

    def part(self, one: str, other: str) -> bool:
        """Whether nothing that one sends can come to the other."""
        ends = [end for name in (one, other) for end in self._known[name].ends]
        if any(self._known[name].is_host or len(self._known[name].ends) != 1 for name in (one, other)):
            return False
        if any(self._network.link(end.port) is None for end in ends):  # it is off
            return True
        first, second = (self._network.bridge_of(end.port) or str(end.port) for end in ends)
        if self._hands_on or first == second:
            return False
        if self._network.has_trunk(first) and self._network.has_trunk(second):
            return False
        wires, others = self._wires(first), self._wires(second)
        return wires is not None and others is not None and wires.isdisjoint(others)

    def _wires(self, segment: str) -> frozenset[str] | None:
        """The building's networks that a segment comes out in; None where it may lead into others on this host."""
        if segment not in self._joined:
            network = self._network
            ports = [*network.state.ports(segment)] or [*filter(None, (network.link(segment),))]
            plain = all(_leads_out(port, network) for port in ports)
            names = frozenset(network.wires[str(one.name)] for one in ports if str(one.name) in network.wires)
            self._joined[segment] = names if plain else None
        return self._joined[segment]


def _leads_out(port: Link, network: HostNetwork) -> bool:
    """Whether what is behind a port is no part of this host: a guest, a cable, a VLAN of a cable that is no port."""
    below = network.state.links.get(port.parent) if port.parent is not None else None
    if isinstance(port.options, Vlan):
        return below is not None and below.master is None and isinstance(below.options, Physical | Bond)
    return isinstance(port.options, Tap | Physical | Bond) or (isinstance(port.options, Veth) and below is None)


def _hands_on(network: HostNetwork, known: Iterable[Participant]) -> bool:
    """Whether the host, a rule of it or a machine may move a packet from one segment to another."""
    if network.flows or network.traffic_control or network.balanced:
        return True
    if any(chain.family == "netdev" for chain in network.rules.chains.values()):
        return True
    if any(network.forwards(version, name) for version in (4, 6) for name in network.state.links):
        return True
    return any(end.passes is not None for party in known for end in party.ends)
