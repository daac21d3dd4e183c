"""Does one reach another, on this host as it is: the neighbour search (ARP or ND), the first packet, and the answer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from msgspec.structs import replace

from bascule.topology.trace.answer import Certainty, Code, Leg, Reachability, recoded, worst
from bascule.topology.trace.bridging import HOST, Bridging
from bascule.topology.trace.ends.owner_lookup import OwnerLookup
from bascule.topology.trace.ends.relays import Relays
from bascule.topology.trace.ends.wire_ends import AddressOwner, WireEnds
from bascule.topology.trace.forwarding import HostRouting, source_address
from bascule.topology.trace.neighbour_search import NeighbourSearch
from bascule.topology.trace.network import HostNetwork, WireEnd
from bascule.topology.trace.packet import (
    OTHER_HOST,
    Connection,
    Traffic,
    key,
    refusal,
    reply,
    request,
    tag,
    text_of,
    too_big,
)
from bascule.topology.trace.packet_record import cut, hand_on, refuse
from bascule.topology.trace.passage import PacketPath
from bascule.topology.trace.routing import NextHop
from bascule.topology.trace.shared_nics import passed, shared_nic

LONGEST = 200  # stages; a packet that has more runs in a ring


class Walks:
    """Questions about one host and those on its wires."""

    def __init__(self, network: HostNetwork, ends: Sequence[WireEnd] | WireEnds) -> None:
        self.network = network
        self.ends = ends if isinstance(ends, WireEnds) else WireEnds(network, ends)

    def ask(
        self,
        source: WireEnd | None,
        target: WireEnd | None,
        address: int,
        version: int,
        traffic: Traffic,
        spoofed: int = 0,
    ) -> Reachability:
        """Whether ``source`` reaches ``address``, which is ``target``'s; None for the host itself.

        ``spoofed`` is another source address that the sender writes into the packet.
        """
        walk = Walk(self, source, target, address, version, traffic, spoofed)
        return walk.answer()


class Walk(NeighbourSearch):
    """One question: the packets that it takes, each on its way."""

    def __init__(
        self,
        walks: Walks,
        source: WireEnd | None,
        target: WireEnd | None,
        address: int,
        version: int,
        traffic: Traffic,
        spoofed: int,
    ) -> None:
        super().__init__(walks.ends, version)
        self.walks = walks
        self.source = source
        self.target = target
        self.address = address
        self.traffic = traffic
        self.spoofed = spoofed
        self.also: dict[str, Any] = {}  # fields of the packets beside those that the traffic says
        self.oversized: dict[str, Any] = {}  # the last packet as it was when the host found it too big; else empty
        self.strayed = False  # whether a packet goes where nobody has looked, so that nobody knows of its answer
        self.mtus: list[int] = []  # of the ways by which the host has handed packets on
        self.owners = OwnerLookup(walks.ends, version)
        self.relays = Relays(walks.ends, version, traffic)

    def answer(self) -> Reachability:
        """The legs that were walked, and what they come to."""
        if legs := self._beside_host():
            return Reachability(result=legs[0].result, legs=legs)
        first, end = self._first()
        self.legs.append(first)
        if self.oversized:
            self.legs.append(self.told_too_big(self.oversized, self.source))
        fields = first.fields
        if end is not None or (self.target is None and not self.strayed):
            self.connection.is_reply = True
            back = self._back(fields, end)
            self.legs.append(back)
        return Reachability(result=worst([leg.result for leg in self.legs]), legs=tuple(self.legs))

    def _beside_host(self) -> tuple[Leg, ...]:
        """What is said where nothing is walked: one of the two is not there, or its frames go past the host."""
        passage = self._passage({})
        for end in filter(None, (self.source, self.target)):
            link = self.network.link(end.port)
            if link is None:
                text = f"{end.name} is off: its link {end.port} is not there"
                passage.stop(Code.OFF, end.name, text, name="port", where=end.port)
        nic = shared_nic(self.network, self.source) or shared_nic(self.network, self.target)
        if passage.stages or not nic:
            return (self._leg("new", passage, self.target, self.target),) if passage.stages else ()
        result, text = passed(self.network, self.source, self.target, self.version, self.address)
        if result is not Certainty.YES:
            code = Code.NOT_ONE_SEGMENT if result is Certainty.NO else Code.UNKNOWN_OUTSIDE
            passage.stop(code, nic, text, name="macvtap", where=nic)
            return (self._leg("new", passage, self.target, self.target),)
        passage.note("macvtap", text, where=nic)
        ways = (("new", self.target), ("reply", self.source))
        return tuple(self._leg(name, passage, end, end) for name, end in ways)

    # ---- the two packets

    def _first(self) -> tuple[Leg, WireEnd | None]:
        own = self.spoofed or self._own_address()
        fields = request(self.traffic, self.version, own, self.address) | self.also
        passage = self._passage(fields)
        passage.whole = self.traffic.whole
        if self.source is not None:
            end = self._from_end(passage, self.source, self.address)
        else:
            end = self._from_host(passage, self.address)
        self.oversized = passage.too_big
        return self._leg("new", passage, end, self.target), end

    def _back(self, first: Any, end: WireEnd | None) -> Leg:
        fields = (refusal(first) if self.traffic.refused else reply(first)) | self.also
        passage = self._passage(fields)
        passage.whole = self.connection.established  # what is asked in small has an answer that fits
        to = fields[key(self.version, "daddr")]
        out = self._answers_by(end, to) if end is not None else None
        reached = self._from_host(passage, to) if out is None else self._from_end(passage, out, to)
        self.oversized = passage.too_big
        leg = self._leg("reply", passage, reached, self.source)
        seen = passage.fields[key(self.version, "saddr")]
        if leg.delivered is Certainty.NO or self.spoofed or seen == self.address:
            return leg
        words = f"the answer comes from {text_of(self.version, seen)}, not from {text_of(self.version, self.address)}"
        passage.stop(Code.REPLY_ELSEWHERE, self._name(self.source), words, name="receiver")
        return replace(leg, stages=tuple(passage.stages), result=passage.result)

    def told_too_big(self, lost: dict[str, Any], wanted: WireEnd | None) -> Leg:
        """What the host says to the sender of a packet that does not fit the next link (icmp_send())."""
        to = lost[key(self.version, "saddr")]
        own = source_address(self.network, self.version, self.network.routes(self.version).find(to))
        kept, self.connection = self.connection, replace(self.connection, is_reply=not self.connection.is_reply)
        before, self.relays.passed = self.relays.passed, [*self.relays.passed]
        passage = self._passage(too_big(lost, own))
        leg = self._leg("too-big", passage, self._from_host(passage, to), wanted)
        self.connection, self.relays.passed = kept, before
        return leg

    def _own_address(self) -> int:
        if self.source is None:
            hop = self.network.routes(self.version).find(self.address)
            return self.address if hop.kind == "local" else source_address(self.network, self.version, hop)
        near = [one for one in self.source.addresses if one[1] == self.version]
        for number, _, length in near:
            host = (32 if self.version == 4 else 128) - length
            if number >> host == self.address >> host:
                return number
        return near[0][0] if near else 0

    def _leg(self, name: str, passage: PacketPath, end: WireEnd | None, wanted: WireEnd | None) -> Leg:
        delivered = passage.result
        if end is not wanted and wanted is None and name == "new" and end is not None:
            text = f"a port of the host's, which leads to {end.name}"
            passage.note("receiver", text, where=end.name, verdict="changed")
        elif end is not wanted and delivered.passes and not passage.refused:
            by = "NAT" if self.connection.new_target else "a rule or a route"
            text = f"{by} gives it to {self._name(end)} instead of {self._name(wanted)}"
            passage.stop(Code.NAT_ELSEWHERE, self._name(end), text, name="receiver", where=self._name(end))
        stages = tuple(passage.stages)
        return Leg(
            name=name,
            stages=recoded(stages, Code.REPLY_FILTERED) if name == "reply" else stages,
            result=passage.result,
            delivered=delivered,
            fields=passage.fields,
            unsure=tuple(dict.fromkeys(passage.unsure)),
            end=self._name(end),
        )

    # ---- who sends

    def _from_end(self, passage: PacketPath, end: WireEnd, to: int) -> WireEnd | None:
        """A packet that an end sends to an address, to whoever gets it; None where that is the host."""
        next_hop = end.next_hop(self.version, to)
        if next_hop is None:
            text = f"{end.name} has no route to {text_of(self.version, to)}"
            code = Code.NO_ROUTE if end.routes_known else Code.UNKNOWN_OUTSIDE
            passage.stop(code, end.name, text, name="sender", where=end.name)
            return self._nowhere(code)
        bridge = self.network.bridge_of(end.port)
        segment = bridge or end.port
        knows = end.static_neighbours or (end.name, next_hop) in self.heard
        asker = 0 if knows else passage.fields[key(self.version, "saddr")]
        own = self.network.host_side(end)
        owner = self.owners.find(segment, next_hop, asker, own)
        if owner is None:
            code, text = self.owners.nobody(end, segment, next_hop, to, self.target)
            passage.stop(code, text_of(self.version, next_hop), text, name="neighbour", where=segment)
            return self._nowhere(code)
        passage.fields |= {"ether saddr": end.mac, "ether daddr": owner.mac}
        passage.unsure += self.walks.ends.doubts(segment, end, owner.end)
        if end.vlan:
            tag(passage.fields, end.vlan)
        if end.outside and owner.end is not None and owner.port == end.port:
            handed_on = owner.end.passes is not None and not owner.end.owns(self.version, to)
            if handed_on or self.relays.met or self.relays.hides(owner.end, to):
                passage.note("wire", f"{end.name} to {owner.end.name}", where=end.port)
                return self._taken(passage, owner.end)
            text = f"what {end.name} sends to {owner.end.name} does not pass this host"
            passage.stop(Code.UNKNOWN_OUTSIDE, end.name, text, name="wire", where=end.port)
            return owner.end
        if not end.static_neighbours:
            self._search(end, segment if owner.port else own, owner, next_hop)
        if (by := self.network.link(end.port)) is not None:
            cut(passage, end.mtu or by.mtu, end.name)
        return self._arrive(passage, end.port, owner)

    def _nowhere(self, code: Code) -> WireEnd | None:
        """Who is asked for the answer to a packet that finds no way: whom it was for, if that is all that is known."""
        self.strayed = self.strayed or code is Code.UNKNOWN_OUTSIDE
        return None if self.strayed else self.target

    # ---- in by a link

    def _arrive(self, passage: PacketPath, port: str, owner: AddressOwner) -> WireEnd | None:
        """A frame comes in by a link of the host, for ``owner``."""
        passage.routed = False
        self._came_in(passage, port)
        self._takes(passage, port)
        passage.device_hook("ingress", port)
        bridge = self.network.bridge_of(port)
        if not bridge:
            self._port_up(passage, port)
            return self._into_host(passage, self._up(passage, port), Bridging(passage))
        bridging = Bridging(passage)
        left = bridging.enter(bridge, port, owner.port)
        for found, number in bridging.searched:
            self._host_searches(passage, bridge, found, number)
        if left != HOST:
            return self._delivered(passage, left)
        passage.device_hook("ingress", bridge)
        return self._into_host(passage, self._up(passage, bridge), bridging)

    def _delivered(self, passage: PacketPath, port: str) -> WireEnd | None:
        """Who gets a frame that left by a port; what it does with a packet that is not for it."""
        mac, to = passage.fields.get("ether daddr"), passage.fields[key(self.version, "daddr")]
        end = self.walks.ends.behind(port, mac, self.version, to)
        if end is not None:
            refuse(passage, end.name, end.mtu)
            self._untagged_by(passage, end)
            return self._taken(passage, end)
        for other, segment in self.network.beside(port):
            if len(passage.stages) > LONGEST:
                break
            on_it = (end for end in self.walks.ends.ends if segment in {end.port, self.network.bridge_of(end.port)})
            behind = next((end for end in on_it if end.mac == mac), None)
            if behind is not None or self.network.mac_of(segment) == mac:
                over = self.network.wires.get(port, "the cable")
                passage.note("wire", f"over {over} to {other}", where=f"{port} → {other}")
                way = self.network.cable_to(self.network.bridge_of(other), segment)
                number = behind.mac if behind else self.network.mac_of(segment)
                owner = AddressOwner(way or (behind.port if behind else HOST), number, behind)
                return self._arrive(passage, other, owner)
        text = f"whose MAC it is behind {port} is not known"
        passage.stop(Code.UNKNOWN_OUTSIDE, port, text, name="wire", where=port)
        return None

    def _untagged_by(self, passage: PacketPath, end: WireEnd) -> None:
        """The receiver takes the tag off, if it has a link for that VLAN; that of a priority goes anyway."""
        came = passage.fields.get("vlan id") or 0
        if came != end.vlan:
            words = f"with the tag of VLAN {came}" if came else f"without the tag of VLAN {end.vlan}"
            text = f"it leaves by {end.port} {words}, and whether {end.name} takes it so is not known"
            passage.stop(Code.VLAN, end.port, text, name="receiver", where=end.name, certain=False)

    def _taken(self, passage: PacketPath, end: WireEnd) -> WireEnd | None:
        version = self.version
        source, target = passage.fields[key(version, "saddr")], passage.fields[key(version, "daddr")]
        if not end.owns(version, target) or (self.connection.is_reply and self.relays.hides(end, target)):
            return self._handed_on(passage, end)
        if end.owns(version, source):
            text = f"{end.name} drops it: its source is {end.name}'s own address"
            passage.stop(Code.MARTIAN, end.name, text, name="receiver", where=end.name)
        return end

    def _handed_on(self, passage: PacketPath, end: WireEnd) -> WireEnd | None:
        """A machine gets a packet that is not for itself: it hands it on, drops it, or nobody knows."""
        if self.connection.is_reply and self.relays.passed and self.relays.passed[-1][0].name == end.name:
            step, before = self.relays.back(end)
            before.is_reply = True
        else:
            step, before = self.relays.first(end, passage.fields, self.connection), Connection()
        if step.out is None:
            passage.stop(step.code, end.name, step.text, name="router", where=end.port)
            return None
        passage.note("router", step.text, where=end.name, verdict="changed")
        passage.fields = {**passage.fields, **step.fields}
        if "vlan id" in passage.fields:  # that of the wire by which it came
            tag(passage.fields, None)
        self.connection = passage.connection = before
        return self._from_end(passage, step.out, passage.fields[key(self.version, "daddr")])

    # ---- the host itself

    def _into_host(self, passage: PacketPath, link: str, bridging: Bridging) -> WireEnd | None:
        if passage.fields.get("meta pkttype") == OTHER_HOST:
            text = "the host drops it: when it came in, its frame was for another MAC"
            passage.stop(Code.MARTIAN, link, text, name="host", where=link)
        if passage.fields.get("vlan id") == 0:  # the tag of a priority goes before IP (__netif_receive_skb_core)
            tag(passage.fields, None)
        if not bridging.detour:
            passage.ip_hook("prerouting", iif=link)
        routing = HostRouting(passage)
        hop = routing.inwards(link)
        if hop is None:
            return None
        if hop.kind != "unicast":
            passage.ip_hook("input", iif=link)
            return None
        passage.routed_on = True
        hand_on(passage, self._mtu(hop), hop.link)
        passage.ip_hook("forward", iif=link, oif=hop.link)
        passage.ip_hook("postrouting", iif=link, oif=hop.link)
        target = passage.fields[key(self.version, "daddr")]
        return self._out(passage, hop, hop.gateway or target)

    def _mtu(self, hop: NextHop) -> int:
        """How large a packet may be on a way: as its route says, else as its link takes."""
        found = self.network.link(hop.link)
        return hop.mtu or (found.mtu if found is not None else 0)

    def _from_host(self, passage: PacketPath, to: int) -> WireEnd | None:
        routing = HostRouting(passage)
        source = passage.fields[key(self.version, "saddr")]
        bound = self.connection.is_reply and "ct attached" not in passage.fields  # icmp_send() asks without a source
        hop = routing.outwards(self.version, to, source=source if bound else 0)
        if self.version == 4 and not hop.refuses:
            hop = self._connected(routing, hop, to, source)
        if routing.leads_nowhere(self.version, to, hop):
            return None
        link = "lo" if hop.kind == "local" else hop.link
        passage.note("routing", f"{text_of(self.version, to)} by {link}")
        passage.ip_hook("output", oif=link)
        after = passage.fields[key(self.version, "daddr")]
        if passage.routed:
            hop = routing.outwards(self.version, after, source=source, mark=passage.routed_mark)
            if routing.leads_nowhere(self.version, after, hop):
                return None
            link = "lo" if hop.kind == "local" else hop.link
        if hop.kind == "local":
            passage.ip_hook("postrouting", oif="lo")
            passage.ip_hook("prerouting", iif="lo")
            passage.ip_hook("input", iif="lo")
            return None
        passage.ip_hook("postrouting", oif=link)
        return self._out(passage, hop, hop.gateway or after)

    def _connected(self, routing: HostRouting, hop: NextHop, to: int, source: int) -> NextHop:
        """The way of what the host itself begins."""
        return routing.begun(self.version, hop, to, source, self.traffic.protocol)

    def _out(self, passage: PacketPath, hop: NextHop, next_hop: int) -> WireEnd | None:
        """The host sends to a neighbour behind a link."""
        link = hop.link
        owner = self.owners.find(link, next_hop)
        if owner is None or owner.end is None:
            text = f"no known endpoint has {text_of(self.version, next_hop)} behind {link}"
            passage.stop(Code.UNKNOWN_OUTSIDE, text_of(self.version, next_hop), text, name="neighbour", where=link)
            return None
        self._host_searches(passage, link, owner, next_hop)
        passage.fields |= {"ether saddr": self.network.mac_of(link), "ether daddr": owner.mac}
        passage.unsure += self.walks.ends.doubts(link, owner.end)
        self.mtus.append(self._mtu(hop))
        cut(passage, self._mtu(hop), link, sender=not passage.routed_on)
        self._down(passage, link, owner.port)
        return self._delivered(passage, owner.port)
