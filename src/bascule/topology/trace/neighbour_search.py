"""The search for a neighbour's MAC: the question and the answer, each a frame on its way, as a leg of a walk."""

from __future__ import annotations

from typing import Any

from bascule.model.links import Vlan
from bascule.model.values import IfName
from bascule.topology.trace.answer import Code, Leg, recoded, worst
from bascule.topology.trace.bridging import HOST, Bridging
from bascule.topology.trace.ends.wire_ends import AddressOwner, WireEnds
from bascule.topology.trace.forwarding import asks_as
from bascule.topology.trace.network import WireEnd
from bascule.topology.trace.packet import (
    BROADCAST,
    BROADCAST_MAC,
    FOR_THE_HOST,
    MULTICAST,
    OTHER_HOST,
    Connection,
    neighbour_frame,
    tag,
)
from bascule.topology.trace.packet_record import refuse
from bascule.topology.trace.passage import PacketPath


class NeighbourSearch:
    """What the packets of one exchange have found out: who knows whose MAC, and what the bridges have learned."""

    def __init__(self, ends: WireEnds, version: int) -> None:
        self._ends = ends
        self.network = ends.network
        self.version = version
        self.connection = Connection()
        self.learned: list[tuple[str, int, str]] = []
        self.heard: set[tuple[str, int]] = set()  # who knows whose MAC
        self.legs: list[Leg] = []

    def _passage(self, fields: dict[str, Any], connection: Connection | None = None) -> PacketPath:
        passage = PacketPath(self._ends, fields, connection or self.connection)
        passage.learned = self.learned
        return passage

    def _name(self, end: WireEnd | None) -> str:
        return end.name if end is not None else "the host"

    def _answers_by(self, end: WireEnd, to: int) -> WireEnd:
        """The NIC by which somebody answers what it got by one."""
        return self._ends.sender(end, self.version, to)

    def _came_in(self, passage: PacketPath, port: str) -> None:
        """A link takes a frame: for whom it is, by its MAC (eth_type_trans())."""
        mac = passage.fields.get("ether daddr")
        if isinstance(mac, int):
            group = BROADCAST if mac == BROADCAST_MAC else MULTICAST
            other = FOR_THE_HOST if mac == self.network.mac_of(port) else OTHER_HOST
            passage.fields["meta pkttype"] = group if mac >> 40 & 1 else other

    def _takes(self, passage: PacketPath, port: str) -> None:
        """A veth takes nothing that is larger than its own MTU and a VLAN tag; what a tap is given is not measured."""
        link = self.network.link(port)
        if link is not None and link.options.kind == "veth":
            refuse(passage, port, link.mtu)

    def _port_up(self, passage: PacketPath, port: str) -> None:
        link = self.network.link(port)
        if link is not None and (text := self.network.why_dead(link)):
            passage.stop(Code.LINK_DOWN, port, text, name="port", where=port)

    def _up(self, passage: PacketPath, link: str) -> str:
        """The link by which the host gets what a link hands up: with a tag that of the VLAN on it."""
        vid = passage.fields.get("vlan id")
        if not vid:
            return link
        above = self.network.vlan_link(link, vid)
        if not above:
            text = f"the host has no link for VLAN {vid} on {link}"
            passage.stop(Code.VLAN, link, text, name="host", where=link)
            return link
        tag(passage.fields, None)
        self._port_up(passage, above)
        passage.device_hook("ingress", above)
        return above

    def _down(self, passage: PacketPath, link: str, port: str) -> None:
        """The host sends by a link what leaves by a port: a VLAN's link on a bridge puts its tag on."""
        found = self.network.link(link)
        bridge = self.network.bridge_of(port)
        if link != bridge:
            self._port_up(passage, link)
        passage.device_hook("egress", link)
        if bridge and found is not None and isinstance(found.options, Vlan) and found.parent == bridge:
            tag(passage.fields, found.options.id)
            passage.device_hook("egress", bridge)
        if bridge:
            Bridging(passage).leave(bridge, port)

    def _host_searches(self, passage: PacketPath, link: str, owner: AddressOwner, number: int) -> None:
        """The host asks for the MAC of an address behind a link, if it does not know it."""
        known = self.network.neighbour(link, number)
        if (known is not None and not known.failed) or (self._name(None), number) in self.heard:
            return
        by = asks_as(passage, self.version, link)
        if not by:
            text = f"the host asks for no neighbour behind {link}: it has no link-local address there"
            passage.stop(Code.ARP_SILENT, link, text, name="neighbour", where=link)
        self._search(None, link, owner, number, by)

    def _search(self, end: WireEnd | None, segment: str, owner: AddressOwner, number: int, by: int = 0) -> None:
        """Ask for the MAC of an address, and hear the answer: a leg of its own."""
        if (self._name(end), number) in self.heard:
            return
        mine = end.mac if end is not None else self.network.mac_of(segment)
        own = by or self._address_on(end, segment)
        segment = self._host_side(segment, owner)
        # who is asked knows from then on who has asked (arp_process(), ndisc_recv_ns())
        self.heard |= {(self._name(end), number), (self._name(owner.end), own)}
        question = neighbour_frame(self.version, 1, mine, own, BROADCAST_MAC, number)
        out = self._neighbour_frame(question, end, segment, owner)
        answer = neighbour_frame(self.version, 2, owner.mac, number, mine, own)
        back = self._neighbour_frame(answer, owner.end, segment, AddressOwner(end.port if end else HOST, mine, end))
        code = Code.ARP_FILTERED if self.version == 4 else Code.NDP_FILTERED
        stages = recoded((*out.stages, *back.stages), code)
        result = worst([out.result, back.result])
        name = f"{self._name(end)} {number}"
        unsure = tuple(dict.fromkeys((*out.unsure, *back.unsure)))
        self.legs.append(
            Leg(name="l2", stages=stages, result=result, delivered=result, unsure=unsure, fields=question, end=name)
        )

    def _host_side(self, segment: str, owner: AddressOwner) -> str:
        """The link by which the host takes part that is found on the wire, not on the asker's own bridge."""
        if owner.end is not None or owner.port == HOST:
            return segment
        beside = self.network.beside(owner.port)
        return next((link for _, link in beside if self.network.mac_of(link) == owner.mac), segment)

    def _over_wire(self, link: str, bridge: str) -> tuple[str, str] | None:
        """The ports of a link of the host and of a bridge that a wire outside connects, where nothing else does."""
        found = self.network.link(link)
        if not bridge or link == bridge or (found is not None and found.parent == bridge):
            return None
        ports = (str(port.name) for port in self.network.state.ports(IfName(bridge)))
        return next(((own, port) for port in ports for own, one in self.network.beside(port) if one == link), None)

    def _address_on(self, end: WireEnd | None, segment: str) -> int:
        if end is None:
            return self.network.address_of(self.version, segment)
        return next((one[0] for one in end.addresses if one[1] == self.version), 0)

    def _neighbour_frame(
        self, fields: dict[str, Any], end: WireEnd | None, segment: str, owner: AddressOwner
    ) -> PacketPath:
        passage = self._passage(fields, Connection())
        bridge = self.network.bridge_of(end.port if end is not None else owner.port)
        if end is None:
            if self.version == 4:
                passage.arp_hook("output", oif=segment)
            else:
                passage.ip_hook("output", oif=segment)
                passage.ip_hook("postrouting", iif=segment, oif=segment)  # ndisc_alloc_skb() has set the device
            port = owner.end.port if owner.end is not None else owner.port
            bridge = self.network.bridge_of(port)
            wire = self._over_wire(segment, bridge)
            self._down(passage, segment, wire[0] if wire else owner.port)
            if wire:
                self._came_in(passage, wire[1])
                passage.device_hook("ingress", wire[1])
                Bridging(passage).enter(bridge, wire[1], port)
            return passage
        if end.vlan:
            tag(passage.fields, end.vlan)
        self._came_in(passage, str(end.port))
        passage.device_hook("ingress", end.port)
        detour = False
        if bridge:
            bridging, wire = Bridging(passage), self._over_wire(segment, bridge) if owner.end is None else None
            cable = self.network.cable_to(bridge, self.network.bridge_of(owner.port))
            to = wire[1] if wire else cable or owner.port
            left = bridging.enter(bridge, end.port, to)
            if left != to:
                text = f"a rule gives it to {left or 'the host'} instead of {to or 'the host'}"
                passage.stop(Code.NAT_ELSEWHERE, segment, text, name="bridge", where=segment)
            if left != HOST and not (wire and left == to):
                return passage
            detour = bridging.detour
            if wire:
                self._port_up(passage, wire[0])
                bridge = segment
            for link in dict.fromkeys((*([wire[0]] if wire else []), bridge)):
                passage.device_hook("ingress", link)
        else:
            self._port_up(passage, end.port)
        segment = self._up(passage, bridge or str(end.port))
        if self.version == 4:
            passage.arp_hook("input", iif=segment)
        else:
            if not detour:
                passage.ip_hook("prerouting", iif=segment)
            passage.ip_hook("input", iif=segment)
        return passage
