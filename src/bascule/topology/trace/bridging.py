"""A frame through a Linux bridge: ports, VLANs, forwarding database, isolation, hooks, br_netfilter's detour."""

from __future__ import annotations

from bascule.model.kernel_parameters import AS_VLAN, bridge_nf, dotted
from bascule.model.links import Bridge
from bascule.model.state import Link
from bascule.topology.layer2 import Tags, inside, outside, passes, tag_words
from bascule.topology.trace.answer import Code
from bascule.topology.trace.ends.wire_ends import AddressOwner
from bascule.topology.trace.forwarding import HostRouting
from bascule.topology.trace.packet import FOR_THE_HOST, key, tag
from bascule.topology.trace.packet_record import cut, size_of, tell_too_big
from bascule.topology.trace.passage import PacketPath
from bascule.topology.trace.rules.lines import BR_NETFILTER
from bascule.topology.trace.rules.openflow_tables import meet_flows

HOST = ""  # where a frame goes that a bridge hands up
STP_HOLDS = {"blocking", "listening", "learning", "disabled"}
ETHERNET = 14
HEADER = ETHERNET + 4  # bytes of Ethernet and of a VLAN tag, which is_skb_forwardable() allows beyond the MTU


class Bridging:
    """What bridges do to a frame that is on its way."""

    def __init__(self, passage: PacketPath) -> None:
        self.passage = passage
        self.network = passage.network
        self.detour = False  # whether br_netfilter has shown the packet to the IP chains already
        self.tags: Tags = ()
        self.next_mac: int | None = None  # that NAT gives the frame after the last hook of prerouting
        self.searched: list[tuple[AddressOwner, int]] = []  # whose MACs the host has to know to send a frame on

    # ---- in by a port

    def enter(self, bridge: str, port: str, toward: str) -> str:
        """A frame comes in by a port; the port that it leaves by, or HOST where it is handed up.

        ``toward`` is where its receiver is: a port, or HOST.
        """
        link = self.network.link(port)
        if link is None:
            self.passage.stop(Code.LINK_DOWN, port, f"there is no link {port}", name="port", where=port)
            return toward
        self.passage.note("port", f"enters {bridge} by {port}", where=port)
        self._port_state(link, "in")
        self._vlan_in(bridge, link)
        self._locked(bridge, link)
        meet_flows(self.passage, bridge, link)
        if self.passage.fields.get("ether daddr") == self.network.mac_of(bridge):
            self.passage.fields["meta pkttype"] = FOR_THE_HOST  # br_handle_frame()
        addressed = self.passage.fields.get("ether daddr")
        self.passage.bridge_hook("prerouting", bridge, iif=port, high=BR_NETFILTER)
        toward = self._readdressed(bridge, addressed, toward)
        if self._detours(bridge):
            toward = self._ip_prerouting(bridge, port, toward)
        addressed = self.passage.fields.get("ether daddr")
        self.passage.bridge_hook("prerouting", bridge, iif=port, low=BR_NETFILTER)
        toward = self._readdressed(bridge, addressed, toward)
        if self.next_mac is not None:
            self.passage.fields["ether daddr"] = self.next_mac
        if link.port is None or link.port.learning:
            source = self.passage.fields.get("ether saddr")
            if isinstance(source, int):
                self.passage.learned.append((bridge, source, port))
        if toward == HOST:
            self._handed_up(bridge)
            self._vlan_up(bridge)
            self.passage.bridge_hook("input", bridge, iif=port)
            return HOST
        self._across(bridge, link, toward)
        return toward

    def _readdressed(self, bridge: str, before: object, toward: str) -> str:
        """Where a frame goes after rules that may have given it another MAC to go to."""
        after = self.passage.fields.get("ether daddr")
        if after is before or not isinstance(after, int):
            return toward
        if after == self.network.mac_of(bridge):
            return HOST
        ports = {str(one.name) for one in self.network.state.ports(bridge)}
        entry = self.network.entry(bridge, after)
        found = [entry.port] if entry else [end.port for end in self.passage.ends.ends if end.mac == after]
        port = next((one for one in found if one in ports), None)
        if port is not None:
            return str(port)
        text = f"a rule gives it another MAC to go to, and it is not known behind which port of {bridge} that is"
        self.passage.stop(Code.UNKNOWN_OUTSIDE, bridge, text, name="bridge", where=bridge)
        self.passage.known_to = self.passage.known_to or len(self.passage.stages)
        return toward

    def leave(self, bridge: str, port: str) -> None:
        """The host itself sends a frame into its bridge, which leaves by a port."""
        link = self.network.link(port)
        if link is None:
            self.passage.stop(Code.LINK_DOWN, port, f"there is no link {port}", name="port", where=port)
            return
        self.passage.fields |= {"meta physin": "", "meta physout": "", "meta physbridged": 0}
        meet_flows(self.passage, bridge, None)
        own = self.passage.fields.get("vlan id")
        self.tags = (own,) if isinstance(own, int) and own else ()
        host = self.network.link(bridge)
        if host is not None and self.network.is_vlan_aware(bridge) and not passes(host, self.tags):
            text = f"{bridge} takes no frames {_tagged(self.tags)} from the host itself"
            self.passage.stop(Code.VLAN, bridge, text, name="bridge", where=bridge)
        self._vlan_out(bridge, link)
        self._known(bridge, link)
        self._port_state(link, "out")
        self.passage.bridge_hook("output", bridge, oif=port)
        self.passage.bridge_hook("postrouting", bridge, oif=port)
        self._fits(link)
        self.passage.device_hook("egress", port)

    # ---- across

    def _across(self, bridge: str, link: Link, toward: str) -> None:
        passage, out = self.passage, self.network.link(toward)
        if out is None:
            passage.stop(Code.LINK_DOWN, toward, f"there is no link {toward}", name="port", where=toward)
            return
        hairpin = out.name == link.name
        if hairpin and not (out.port is not None and out.port.hairpin):
            passage.stop(
                Code.FDB, bridge, f"{toward} is the port that the frame came in by", name="bridge", where=bridge
            )
        self._vlan_out(bridge, out)
        self._known(bridge, out)
        self._kept(bridge, out)
        if link.port is not None and out.port is not None and link.port.isolated and out.port.isolated:
            text = f"{link.name} and {toward} are isolated ports: nothing passes between them"
            passage.stop(Code.ISOLATED, f"{link.name} {toward}", text, name="bridge", where=bridge)
        self._port_state(out, "out")
        # br_nf_forward() looks for what br_nf_pre_routing() has left, and at the tag with which the frame leaves
        self.detour = self.detour and self._seen_as_ip(out.name, "forward")
        self._forward_hooks(bridge, link, out)
        passage.bridge_hook("postrouting", bridge, oif=out.name)
        if self.detour:
            passage.fields |= {"meta physout": out.name, "meta physbridged": 1}
            passage.ip_hook("postrouting", oif=bridge)
        self._fits(out)
        passage.device_hook("egress", out.name)

    def _forward_hooks(self, bridge: str, link: Link, out: Link) -> None:
        passage, iif, oif = self.passage, str(link.name), str(out.name)
        if not self.detour:
            passage.bridge_hook("forward", bridge, iif=iif, oif=oif)
            return
        passage.bridge_hook("forward", bridge, iif=iif, oif=oif, high=BR_NETFILTER - 1)
        self._at_zero(bridge, iif, oif)
        passage.fields |= {"meta physin": link.name, "meta physout": out.name, "meta physbridged": 1}
        passage.ip_hook("forward", iif=self._shown_as(bridge), oif=bridge)
        passage.bridge_hook("forward", bridge, iif=iif, oif=oif, low=BR_NETFILTER)

    def _at_zero(self, bridge: str, iif: str, oif: str) -> None:
        """Chains of priority 0 itself: br_netfilter skips those that were there before its own hook."""
        chains = [chain for chain in self.network.rules.at("bridge", "forward") if chain.is_of_br_netfilter]
        for chain in chains:
            if (skipped := self.network.skipped(chain)) is True:
                self.passage.note("bridge forward", f"br_netfilter skips {chain}", where=bridge, verdict="changed")
                continue
            before = len(self.passage.stages)
            self.passage.bridge_hook("forward", bridge, iif=iif, oif=oif, only=chain)
            if skipped is None:
                self.passage.unordered(before)

    # ---- br_netfilter

    def _detours(self, bridge: str) -> bool:
        passage = self.passage
        if not passage.version or not self.network.filters_bridged(bridge, passage.version):
            return False
        return self._seen_as_ip(bridge, "prerouting")

    def _seen_as_ip(self, where: str, hook: str) -> bool:
        """Whether br_netfilter takes the frame for one of IP: what bears a VLAN tag there is none to it."""
        seen = self.network.meets_ip_chains(tagged="vlan id" in self.passage.fields)
        if not seen:
            text = f"with a VLAN tag it does not meet the IP chains of {hook} (bridge-nf-filter-vlan-tagged = 0)"
            self.passage.note("br_netfilter", text, where=where, verdict="changed")
        return seen

    def _shown_as(self, bridge: str) -> str:
        """By which link a bridged frame came in to the IP chains: the bridge, or a VLAN's on it (see ip-sysctl)."""
        vid = self.passage.fields.get("vlan id")
        if not vid or not self.network.number(AS_VLAN):
            return bridge
        return self.network.vlan_link(bridge, vid) or bridge

    def _ip_prerouting(self, bridge: str, port: str, toward: str) -> str:
        """The IP chains at prerouting see a bridged frame as one that came in by the bridge."""
        passage, version = self.passage, self.passage.version
        self.detour = True
        name = "iptables" if version == 4 else "ip6tables"
        call = bridge_nf(f"call-{name}")
        cause = f"{dotted(call)} = 1" if self.network.number(call) else f"nf_call_{name} of {bridge} is on"
        passage.note("br_netfilter", f"bridged frames meet the IP chains: {cause}", where=bridge, verdict="changed")
        passage.fields |= {"meta physin": port}
        before = passage.fields[key(version, "daddr")]
        passage.ip_hook("prerouting", iif=self._shown_as(bridge))
        after = passage.fields[key(version, "daddr")]
        return toward if after == before else self._translated(bridge, version, after, toward)

    def _translated(self, bridge: str, version: int, target: int, toward: str) -> str:
        """NAT gave a bridged frame another destination: it is routed, and stays on the bridge if that leads there."""
        routing = HostRouting(self.passage)
        self.passage.route_now()  # br_nf_pre_routing_finish(), whose route the host keeps where it gets the frame
        hop = routing.inwards(bridge, record=False)
        if hop is None:
            self.passage.fields["meta pkttype"] = FOR_THE_HOST
            return HOST  # what the route says against it is said where it is routed
        if hop.kind == "unicast" and hop.link == bridge:
            routing.inwards(bridge)
            entry = routing.owner(bridge, version, hop.gateway or target)
            if entry is not None:
                self.searched.append((entry, hop.gateway or target))  # br_nf_pre_routing_finish_bridge()
                self.next_mac = entry.mac
                return entry.port
            return toward
        self.passage.fields |= {"ether daddr": self.network.mac_of(bridge), "meta pkttype": FOR_THE_HOST}
        return HOST

    # ---- ports

    def _port_state(self, link: Link, way: str) -> None:
        state = link.facts.stp_port_state.lower()
        if text := self.network.why_dead(link):
            self.passage.stop(Code.LINK_DOWN, link.name, text, name="port", where=link.name)
        elif state in STP_HOLDS:
            does = "takes nothing" if way == "in" else "sends nothing"
            text = f"{link.name} {does}: STP has it {state}"
            self.passage.stop(Code.STP, link.name, text, name="port", where=link.name)

    def _locked(self, bridge: str, link: Link) -> None:
        source = self.passage.fields.get("ether saddr")
        if link.port is None or not link.port.locked or not isinstance(source, int):
            return
        entry = self.network.entry(bridge, source, self._vlan())
        if entry is None or entry.port != link.name:
            text = f"{link.name} is locked, and the bridge has no entry for the sender's MAC there"
            self.passage.stop(Code.LOCKED, link.name, text, name="port", where=link.name)

    def _known(self, bridge: str, out: Link) -> None:
        """The forwarding database sends the frame to the port, or it is flooded."""
        target = self.passage.fields.get("ether daddr")
        port = out.port
        if not isinstance(target, int) or port is None:
            return
        if target >> 40 & 1:
            floods = port.bcast_flood if target == (1 << 48) - 1 else port.mcast_flood
            if not floods:
                kind = "broadcasts" if target == (1 << 48) - 1 else "multicast"
                text = f"{out.name} sends no {kind} out (flooding is off)"
                self.passage.stop(Code.FDB, out.name, text, name="bridge", where=bridge)
            return
        entry = self.network.entry(bridge, target, self._vlan())
        learned = next((one for one in reversed(self.passage.learned) if one[:2] == (bridge, target)), None)
        self._copies(bridge, out, entry.port if entry is not None else learned[2] if learned is not None else "")
        if entry is not None and (entry.sticky or learned is None):
            if entry.port != out.name:  # it moves when its MAC speaks at a port that learns
                kind = "a static entry" if entry.static else "its forwarding database"
                text = f"{bridge} sends frames for the receiver's MAC to {entry.port}: {kind} says so"
                certain = entry.sticky or (entry.static and not port.learning)
                self.passage.stop(Code.FDB, out.name, text, name="bridge", where=bridge, certain=certain)
        elif learned is not None:
            if learned[2] != out.name:
                text = f"{bridge} has learned the receiver's MAC at {learned[2]}"
                self.passage.stop(Code.FDB, out.name, text, name="bridge", where=bridge, certain=False)
        elif not port.flood:
            text = f"{bridge} does not know the receiver's MAC, and {out.name} takes no unknown ones (flood off)"
            self.passage.stop(Code.FDB, out.name, text, name="bridge", where=bridge)

    def _kept(self, bridge: str, out: Link) -> None:
        """A bridge hands frames for a MAC of its own up to the host (br_handle_frame_finish())."""
        if self.passage.fields.get("ether daddr") in self.network.own_macs.get(bridge, ()):
            text = (
                f"{bridge} hands frames for the receiver's MAC up to the host, and sends none to {out.name}: "
                "an entry of its forwarding database says so (permanent; static is what leads to a port)"
            )
            certain = not self.network.is_vlan_aware(bridge)  # there it may be of another VLAN
            self.passage.stop(Code.FDB, bridge, text, name="bridge", where=bridge, certain=certain)

    def _handed_up(self, bridge: str) -> None:
        """A bridge floods frames for its own MAC where somebody has flushed that entry, and hands none up."""
        target, own = self.passage.fields.get("ether daddr"), self.network.own_macs.get(bridge)
        if own is not None and target == self.network.mac_of(bridge) and target not in own:
            text = (
                f"{bridge} hands nothing up to the host: the entry of its own MAC is gone from its forwarding database"
            )
            self.passage.stop(Code.FDB, bridge, text, name="bridge", where=bridge)

    def _copies(self, bridge: str, out: Link, known: str) -> None:
        """Another port that gets the frame, or a copy of what is flooded, may have it told that it is too big."""
        passage = self.passage
        size = size_of(passage)
        if not self.detour or passage.version == 4 or not size:
            return
        for link in self.network.state.ports(bridge):
            goes_there = link.name == known if known else link.port is not None and link.port.flood
            if goes_there and link.mtu < size and link.name not in {out.name, passage.fields.get("meta physin")}:
                passage.unsure.append(f"whether the sender hears that {size} bytes are too big for {link.name}")

    def _fits(self, out: Link) -> None:
        """A port sends nothing that is larger than it takes; br_netfilter cuts what it has seen, where it may."""
        passage = self.passage
        length = passage.fields.get("meta length")
        size = size_of(passage)
        if not isinstance(length, int) or not out.mtu or not size:
            return
        most = out.mtu + HEADER - ETHERNET
        was_together = bool(passage.piece) and not passage.in_pieces
        if self.detour and (size if passage.in_pieces else length) > out.mtu:  # br_nf_dev_queue_xmit()
            own = self.network.link(str(out.master))
            each = own.mtu if own is not None else out.mtu
            again = was_together and passage.piece <= each
            if again or (passage.version == 4 and not was_together and not passage.whole):
                cut(passage, each, str(out.name))
                size = size_of(passage)
            else:
                most = 0
                if (
                    passage.version == 6 and not passage.too_big
                ):  # ip6_fragment(); of IPv4 br_nf_ip_fragment() is silent
                    tell_too_big(passage)
        passage.in_pieces = bool(passage.piece)
        if size > most:
            silent = "" if passage.too_big else ": bridges drop it silently"
            text = f"a packet of {size} bytes does not fit {out.name}, whose MTU is {out.mtu}{silent}"
            passage.stop(Code.MTU, out.name, text, name="port", where=out.name)

    # ---- VLANs

    def _vlan(self) -> int:
        return self.tags[0] if self.tags else 0

    def _vlan_in(self, bridge: str, link: Link) -> None:
        own = self.passage.fields.get("vlan id")
        self.tags = (own,) if isinstance(own, int) and own else ()
        if not self.network.is_vlan_aware(bridge):
            return
        if not passes(link, self.tags):
            text = f"{link.name} does not take frames {_tagged(self.tags)}"
            self.passage.stop(Code.VLAN, link.name, text, name="port", where=link.name)
        self.tags = inside(link, self.tags)

    def _vlan_up(self, bridge: str) -> None:
        """The host gets frames of those VLANs that its bridge itself is in (br_pass_frame_up())."""
        own = self.network.link(bridge)
        if own is None or not self.network.is_vlan_aware(bridge):
            return
        if not self._tagged_for(own):  # br_handle_vlan(), before the hook
            text = f"the host itself is not in {tag_words(self.tags)} of {bridge}"
            self.passage.stop(Code.VLAN, bridge, text, name="bridge", where=bridge)

    def _vlan_out(self, bridge: str, out: Link) -> None:
        if not self.network.is_vlan_aware(bridge):
            return
        own = self.network.link(bridge)
        if not self.tags and own is not None and isinstance(own.options, Bridge):
            self.tags = inside(own, ())
        if not self._tagged_for(out):
            text = f"{out.name} is not in {tag_words(self.tags)}"
            self.passage.stop(Code.VLAN, out.name, text, name="port", where=out.name)

    def _tagged_for(self, link: Link) -> bool:
        """Whether a frame leaves by a port, or the bridge itself, which then gives it its tag or takes it off."""
        leaves = outside(link, self.tags)
        if not passes(link, leaves) or inside(link, leaves) != self.tags:
            return False
        self.tags = leaves
        tag(self.passage.fields, leaves[0] if leaves else None)
        return True


def _tagged(tags: Tags) -> str:
    return f"with {tag_words(tags)}" if tags else "without a VLAN tag"
