"""Where a probe that got no answer was lost: it is asked once more while every link of the host listens."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from types import MappingProxyType

from msgspec import Struct

from bascule.model.sightings import own_macs
from bascule.model.site import GuestNic, Host
from bascule.model.state import HostState, Link
from bascule.model.values import IfName
from bascule.observe.counters import dropped_packets, queue_drops
from bascule.observe.firewall import read_firewall
from bascule.probe.ask import ask
from bascule.probe.capture import CapturedFrame, CaptureSession, FrameTrack, Tracker
from bascule.probe.domain import ProbeDomain
from bascule.probe.question import Answer, Protocol, Question
from bascule.system.net.fdb import kernel_rows
from bascule.system.net.netns import Namespace
from bascule.system.run import rows
from bascule.topology.trace.any_frame.own_exchange import own_packet
from bascule.topology.trace.any_frame.passages import RuleVerdict, between, own_search
from bascule.topology.trace.any_frame.ways import FAMILY_OF
from bascule.verify.wire.wrong_vlan import is_above, lost_inside, wrong_tag

AT_MOST = 12  # questions that are asked again: a dead guest loses dozens of them for one reason
OUTSIDE = "port security of the switch, a hypervisor above this host, or a MAC filter of its hoster"
FORWARDING = "forwarding"
UNKNOWN = "nothing that can be read here explains it"


class LostProbe(Struct, frozen=True):
    """A question without an answer, and the guest NIC that it is about."""

    question: Question
    nic: GuestNic


def where_lost(
    lost: Sequence[LostProbe], host: Host, state: HostState, probe_domain: ProbeDomain
) -> dict[Question, str]:
    """A sentence for each question that is silent again; nothing for one that is answered now."""
    some = {one.question: one for one in lost}
    asked = list(some)[:AT_MOST]
    if not asked:
        return {}
    namespace = probe_domain.hosts[host.name]
    sources = {(question.source.endpoint, str(question.source.link)) for question in asked}
    points = [x for x in probe_domain.points if x.node == host.name or (x.node, str(x.link)) in sources]
    before, waiting = dropped_packets(state, namespace), queue_drops(namespace)
    with CaptureSession(points, asked) as watch:
        answers = ask(asked, watch=watch, patience=probe_domain.patience)
        tracker = Tracker(watch.captured)
    moved = {words: count for words, count in dropped_packets(state, namespace).items() if count > before.get(words, 0)}
    queues = {link: words for (link, words), n in queue_drops(namespace).items() if n > waiting.get((link, words), 0)}
    reasons = LossReasons(
        host,
        state,
        stp=_port_states(namespace),
        own=_own_macs(namespace),
        moved=moved,
        queues=queues,
        stops=_stops(state, namespace),
        refuses=_refuses(state, namespace),
        of_host=_of_host(host.name, state, namespace),
    )
    silent = [pair for pair in zip(asked, answers, strict=True) if pair[1].is_unheard]
    small = {(one.source, one.protocol, one.address) for one, _ in silent if not one.size}
    return {
        question: reasons.sentence(
            some[question].nic,
            question,
            tracker,
            answer,
            by_size=(question.source, question.protocol, question.address) not in small,
        )
        for question, answer in silent
    }


class SeenOn(Struct, frozen=True):
    """On which links of a host frames were seen; ``sent``: whether another one that asks has sent any."""

    came: frozenset[str]
    left: frozenset[str]
    sent: bool = False

    @classmethod
    def of(cls, captured: Iterable[CapturedFrame], host: str) -> SeenOn:
        """Where some frames were seen."""
        frames = list(captured)
        here = [one for one in frames if one.point.node == host]
        return cls(
            frozenset(str(one.point.link) for one in here if not one.outgoing),
            frozenset(str(one.point.link) for one in here if one.outgoing),
            any(one.outgoing for one in frames if one.point.node != host),
        )


class LossReasons:
    """What a host's ports, VLANs and chains say of a frame that a bridge did not pass on. Pure.

    ``stp`` are the states of its ports that do not forward, ``own`` the MACs for which its bridges hand frames up to
    it, ``moved`` the rules of others that dropped packets meanwhile, in words, ``queues`` those queues and filters of
    tc that did, by their links. ``stops`` tells what drops a family's frames between two ports of a bridge, where
    nothing counted them, ``refuses`` what drops the ARP reply of whom a question is for, and ``of_host`` what of the
    host's own chains drops a question that it asks by a link or is asked there, or the answer.
    """

    def __init__(
        self,
        host: Host,
        state: HostState,
        *,
        stp: Mapping[str, str],
        own: Mapping[str, frozenset[str]] = MappingProxyType({}),
        moved: Iterable[str] = (),
        queues: Mapping[str, str] = MappingProxyType({}),
        stops: Callable[[str, str, str, str], Iterable[str]] = lambda *_: (),
        refuses: Callable[[str, Question], Iterable[str]] = lambda *_: (),
        of_host: Callable[[str, Question], Iterable[str]] = lambda *_: (),
    ) -> None:
        self._host = host
        self._state = state
        self._stp = stp
        self._own = own
        self._moved = tuple(moved)
        self._queues = queues
        self._stops = stops
        self._refuses = refuses
        self._of_host = of_host

    def sentence(self, nic: GuestNic, question: Question, tracker: Tracker, answer: Answer, *, by_size: bool) -> str:
        """How far the question and its answer came; ``by_size``: a smaller packet of the kind is not lost."""
        track = tracker.follow(answer)
        frames = (*track.requests, *track.searches), track.replies
        asked, replied = (SeenOn.of(some, self._host.name) for some in frames)
        family = FAMILY_OF[question.address.version] if question.address else "ip"
        if question.protocol is Protocol.ARP and family == "ip":  # no chain of IP sees it, as those of IPv6 see ND
            family = "arp"
        asker, source = question.source.endpoint, str(question.source.link)
        if asker != self._host.name and not asked.sent:
            return f"it never left {asker} by {source}"
        if asker == nic.guest:
            return self._by_host(self._bridge(nic), question, self.told_outward(nic, asked, replied, family))
        if asker == self._host.name and (words := self._unheard(nic, question, track)):
            return words
        words = self.told(nic, asker, source, asked, replied, family)
        if asker == self._host.name:
            words = self._by_host(source, question, words)
        if not question.size or not by_size or nic.tap in replied.came:
            return words
        if nic.tap in asked.left:
            return f"{words} ({nic.guest} may take smaller packets only)"
        return self._too_large(question.size, (nic.tap, *self._wires(self._bridge(nic))), words)

    def _by_host(self, link: str, question: Question, words: str) -> str:
        """The host's own chains are the reason where it asks or is asked, and no other one was found."""
        left = f"it never left {self._host.name} by {link}"
        if not (words.endswith(UNKNOWN) or words == left):
            return words
        why = "; ".join(self._of_host(link, question))
        return f"{left}: {why}" if why and words == left else f"{words.removesuffix(UNKNOWN)}{why}" if why else words

    def _unheard(self, nic: GuestNic, question: Question, track: FrameTrack) -> str:
        """The host asked for its neighbour and was answered, and nothing followed: it has not taken the answer."""
        source, heard = str(question.source.link), SeenOn.of(track.search_replies, self._host.name)
        by = source if source in heard.came else str(nic.tap) if self._is_above(source, self._bridge(nic)) else ""
        if question.protocol is Protocol.ARP or track.requests:
            return ""
        is_four = question.address is not None and question.address.version == 4
        search, reply = ("ARP request", "ARP reply") if is_four else ("neighbour solicitation", "advertisement")
        if by not in heard.came:  # the kernel may have looked for it before anybody listened
            why = "; ".join(self._refuses(source, question))
            return f"it never left {self._host.name} by {source}, which takes no {reply} to it: {why}" if why else ""
        said = f"its {search} was answered by {by}, and the host did not take the answer"
        return f"{said}: {'; '.join(self._refuses(source, question)) or self._not_delivered(source)}"

    def _too_large(self, size: int, way: Sequence[str], words: str) -> str:
        """A link that does not pass so large a packet is the reason where no other one was found."""
        links = [self._state.links[IfName(name)] for name in way if IfName(name) in self._state.links]
        narrow = min((link for link in links if link.mtu < size), key=lambda link: link.mtu, default=None)
        if narrow is None or not words.endswith((UNKNOWN, OUTSIDE)):
            return words
        why = f"{narrow.name} passes packets of {narrow.mtu:,} bytes only"
        return f"{words.removesuffix(UNKNOWN).removesuffix(OUTSIDE)}{why}"

    def told(self, nic: GuestNic, asker: str, source: str, asked: SeenOn, replied: SeenOn, family: str) -> str:
        """The same, from the links on which the question and its answer were seen."""
        tap, bridge = str(nic.tap), self._bridge(nic)
        wires = self._wires(bridge)
        is_here = asker == self._host.name
        own = source if is_here else f"{source} of {asker}"
        is_above = is_here and self._is_above(source, bridge)
        others = (str(port.name) for port in self._state.ports(bridge) if port.name != tap)  # guests ask as well
        by = next((port for port in (*wires, *others) if port in asked.came), "")  # where the question came in
        came = source if is_above else by or next(iter(wires), "")
        if is_here and not asked.left:
            return f"it never left {asker} by {source}"
        if tap not in asked.left:
            if is_above or by:
                return f"it never left {bridge} by {tap}: {self.why(nic, bridge, came, tap, family)}"
            by_any = " or ".join(wires) or bridge
            return f"it left by {own}, and nothing of it came in by {by_any}: {self._outside(wires)}"
        if tap not in replied.came:
            tag = [f": {words}" for words in wrong_tag(self._host, self._state, nic, bridge, came, tap)]
            return f"it went out by {tap}, and its answer never left {nic.guest}{''.join(tag) or self._unseen(tap)}"
        if is_here and source in replied.came:
            return f"its answer came back by {source} and was not delivered: {self._not_delivered(source)}"
        left = [port for port in (wires if by in (*wires, "") else [by]) if port in replied.left]
        if is_above or not left:
            return f"its answer came in by {tap} and never left {bridge}: {self.why(nic, bridge, tap, came, family)}"
        if by and by not in left:
            why = self.why(nic, bridge, tap, by, family)
            return f"its answer left {bridge} by {' and '.join(left)}, and not by {by}, where it was asked: {why}"
        tag = [words for wire in left for words in wrong_tag(self._host, self._state, nic, bridge, tap, wire)]
        why = "; ".join(tag) or self._unseen(*([source] if is_here else ()), before="") or OUTSIDE
        return f"its answer left by {' and '.join(left)}, and nothing came back by {own}: {why}"

    def told_outward(self, nic: GuestNic, asked: SeenOn, replied: SeenOn, family: str) -> str:
        """How far a question of the guest itself came, whose answer comes in by a wire or is the host's own."""
        tap, bridge = str(nic.tap), self._bridge(nic)
        wires = self._wires(bridge)
        out = next((wire for wire in wires if wire in asked.left), "")
        if tap not in asked.came:
            return f"it left {nic.guest}, and nothing of it came in by {tap}{self._unseen(tap)}"
        if tap in replied.left:
            return f"its answer left by {tap} and was not delivered in {nic.guest}"
        if back := next((wire for wire in wires if wire in replied.came), ""):
            return f"its answer came in by {back} and never left by {tap}: {self.why(nic, bridge, back, tap, family)}"
        if out:
            return f"it left by {out}, and nothing came back by it: {self._unseen(out, before='') or OUTSIDE}"
        return (
            f"it came in by {tap} and went no further: {self.why(nic, bridge, tap, next(iter(wires), bridge), family)}"
        )

    def _bridge(self, nic: GuestNic) -> str:
        link = self._state.links.get(nic.tap)
        return str((link.master if link else None) or nic.into)

    def _wires(self, bridge: str) -> list[str]:
        """The ports of a bridge that lead out of the host: its uplink and what the file names beside it."""
        declared = next((one for one in self._host.bridges.values() if one.name == bridge), None)
        return [str(port) for port in declared.ports_out] if declared is not None else []

    def _is_above(self, source: str, bridge: str) -> bool:
        """Whether the host asks by the bridge itself, or by a VLAN link on it."""
        link, own = self._state.links.get(IfName(source)), self._state.links.get(IfName(bridge))
        return source == bridge or (link is not None and own is not None and is_above(link, own))

    def why(self, nic: GuestNic, bridge: str, came: str, out: str, family: str) -> str:
        """Why a guest's frame that came in by one port does not leave by another."""
        reasons = [
            *self._ports(bridge, came, out),
            *self._handed_up(nic, bridge, out),
            *lost_inside(self._host, self._state, nic, bridge, came, out),
        ]
        reasons += [f"{words} dropped packets meanwhile" for words in (*self._moved, *self._of_queues(came, out))] or [
            *self._stops(bridge, family, came, out)
        ]
        return "; ".join(reasons) or UNKNOWN

    def _ports(self, bridge: str, came: str, out: str) -> Iterator[str]:
        links: list[Link] = [self._state.links[IfName(x)] for x in (came, out) if IfName(x) in self._state.links]
        for link in links:
            if self._is_above(link.name, bridge):
                continue
            if link.master != bridge:
                yield f"{link.name} is a port of {link.master or 'no bridge'}"
            if _dead(link):
                yield f"{link.name} {_dead(link)}"
            elif (state := self._stp.get(str(link.name), FORWARDING)) != FORWARDING:
                yield f"{link.name} is {state} (STP state of the port)"
        ports = [link for link in links if link.name != bridge and link.port is not None]
        if len(ports) == 2 and all(link.port is not None and link.port.isolated for link in ports):
            yield f"{came} and {out} are both isolated (port flag)"
        for link in ports:
            if link.port is not None and str(link.name) == out and not (link.port.flood and link.port.bcast_flood):
                yield f"{out} takes no flooded frames (port flag flood or bcast_flood is off)"
            if link.port is not None and str(link.name) == came and link.port.locked:
                yield f"{came} is locked (port flag), and the sender is not in its table"

    def _handed_up(self, nic: GuestNic, bridge: str, out: str) -> Iterator[str]:
        """A bridge hands up frames for its own MACs, and no others; somebody may have added or flushed one."""
        own, link = self._own.get(bridge), self._state.links.get(IfName(bridge))
        if own is None or link is None:
            return
        if out == nic.tap and nic.mac in own:
            yield f"{bridge} takes the MAC of {nic.guest} for its own (bridge fdb: permanent)"
        if self._is_above(out, bridge) and link.mac is not None and link.mac not in own:
            yield f"the entry of its own MAC is gone from the forwarding data base of {bridge}"

    def _of_queues(self, *links: str) -> list[str]:
        return [self._queues[link] for link in links if link in self._queues]

    def _outside(self, wires: Sequence[str]) -> str:
        """Why nothing comes in by the wires of a bridge, as far as it is not the building's affair."""
        links = [self._state.links[IfName(wire)] for wire in wires if IfName(wire) in self._state.links]
        dead = [f"{link.name} {_dead(link)}" for link in links if _dead(link)]
        if links and len(dead) == len(links):
            return "; ".join(dead)
        return self._unseen(*wires, before="") or OUTSIDE

    def _unseen(self, *links: str, before: str = ": ") -> str:
        """What may have dropped a frame that came in by a link before a capture could see it."""
        there = [link for name in links if (link := self._state.links.get(IfName(name))) is not None]
        found = [f"the XDP program {program} on {link.name}" for link in there for program in link.facts.xdp]
        return f"{before}{' and '.join(found)} may have dropped it unseen" if found else ""

    def _not_delivered(self, link: str) -> str:
        return next(
            (f"{words} dropped packets meanwhile" for words in (*self._moved, *self._of_queues(link))),
            f"a rule of the host's own INPUT, or the reverse path filter of {link}",
        )


def _dead(link: Link) -> str:
    """Why no frame can go by a link; nothing where one can. What was never on a host has no carrier to tell of."""
    if not link.up:
        return "is down"
    return "has no carrier: its other end is not up" if link.facts.index and not link.facts.carrier else ""


def _port_states(namespace: Namespace) -> dict[str, str]:
    """The STP state of every port of a bridge now."""
    listed = rows(("bridge", "-j", "link", "show"), namespace=namespace, check=False)
    return {row["ifname"]: row.get("state", FORWARDING) for row in listed}


def _own_macs(namespace: Namespace) -> dict[str, frozenset[str]]:
    """The MACs for which each bridge hands frames up to the host."""
    return own_macs(kernel_rows(namespace, check=False))


def _stops(state: HostState, namespace: Namespace) -> Callable[[str, str, str, str], Iterator[str]]:
    """What of the rules in force drops frames on a bridge: read when it is asked for."""

    def stops(bridge: str, family: str, came: str, out: str) -> Iterator[str]:
        with namespace.entered():
            network = read_firewall(state)
        if network.rules.filters:
            families = (family, "arp") if family == "ip" else (family,)
            found = [between(network, bridge, one, came, out) for one in families]
            ports = {str(port.name) for port in state.ports(IfName(bridge))}
            is_bridged = {came, out} - {""} <= ports  # what the host asks or hears is not forwarded

            def told(stops: Iterable[RuleVerdict], word: str) -> list[str]:
                return [f"{one} {word} it" for one in stops if is_bridged or not _forwards(one)]

            sure = [words for passage in found for words in told(passage.stops, "drops")]
            yield from dict.fromkeys(sure or [w for passage in found for w in told(passage.may_stop, "may drop")])

    return stops


def _refuses(state: HostState, namespace: Namespace) -> Callable[[str, Question], Iterator[str]]:
    """What of the rules in force drops the answer of a neighbour that the host itself takes: read when asked for."""

    def refuses(link: str, question: Question) -> Iterator[str]:
        with namespace.entered():
            network = read_firewall(state)
        if question.address is not None:
            answers = own_search(network, link, "input", question.address, operations=(2,))
            yield from (f"{stop} drops it" for passage in answers for stop in passage.stops)

    return refuses


def _of_host(name: str, state: HostState, namespace: Namespace) -> Callable[[str, Question], Iterator[str]]:
    """What of the rules in force drops a packet that the host itself sends or is sent: read when it is asked for."""

    def of_host(link: str, question: Question) -> Iterator[str]:
        to, asks = question.address, question.source.endpoint == name
        near = [one.ip for one in question.source.addresses if to is not None and one.version == to.version]
        own = {one.local for each in state.links.values() for one in each.addresses}
        if to is None or not near or question.protocol not in {Protocol.ICMP, Protocol.TCP, Protocol.UDP}:
            return
        if not asks and str(to) not in own:
            return
        with namespace.entered():
            network = read_firewall(state)
        for answer, what in ((False, "it"), (True, "its answer")):
            ends = (to, near[0]) if answer else (near[0], to)
            passage = own_packet(network, link, *ends, str(question.protocol), into=asks == answer, answer=answer)
            yield from (f"{stop} drops {what}" for stop in passage.stops)

    return of_host


def _forwards(stop: RuleVerdict) -> bool:
    return stop.base.base is not None and stop.base.base.hook == "forward"
