"""Who surely does not reach whom: on different segments of a host that hands nothing on from one to another. Pure."""

from __future__ import annotations

from collections.abc import Iterable

from bascule.model.links import Bond, Physical, Tap, Veth, Vlan
from bascule.model.state import Link
from bascule.topology.trace.network import HostNetwork
from bascule.verify.reachability.participant import HostModel, Participant


class SeparateSegments:
    """The segments of a host, as far as they are surely apart; of all others a walk has to tell."""

    def __init__(self, given: HostModel) -> None:
        self._known = given.known
        self._network = given.network
        self._hands_on = _hands_on(given.network, given.known.values())
        self._joined: dict[str, frozenset[str] | None] = {}

    def of(self, name: str) -> frozenset[str] | None:
        """What somebody's frames can come to, a segment and the building's networks; None where it may be anything."""
        party = self._known[name]
        if party.is_host or len(party.ends) != 1:
            return None
        port = str(party.ends[0].port)
        if self._network.link(port) is None:  # it is off
            return frozenset()
        segment = self._network.bridge_of(port) or port
        wires = None if self._hands_on else self._wires(segment)
        trunk = {"any trunk"} if self._network.has_trunk(segment) else set()
        return None if wires is None else wires | {f"segment {segment}"} | trunk

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
    below = network.state.parent_of(port)
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
