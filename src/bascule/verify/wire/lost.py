"""Where a probe that got no answer was lost: it is asked once more while every link of the host listens."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence

from msgspec import Struct

from bascule.model.site import GuestNic, Host
from bascule.model.state import HostState, Link
from bascule.model.values import IfName
from bascule.observe.counters import dropped_packets
from bascule.observe.firewall import read_firewall
from bascule.probe.ask import ask
from bascule.probe.capture import CapturedFrame, Tracker, Watch
from bascule.probe.domain import ProbeDomain
from bascule.probe.question import Answer, Question, Response
from bascule.system.net.netns import Namespace
from bascule.system.run import run
from bascule.topology.layer2 import inside
from bascule.topology.trace.any_frame import FAMILY_OF, bridged_frames

AT_MOST = 12  # questions that are asked again: a dead guest loses dozens of them for one reason
OUTSIDE = "port security of the switch, a hypervisor above this host, or a MAC filter of its hoster"
UNKNOWN = "nothing that can be read here says why"


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
    points = [point for point in probe_domain.points if point.node == host.name]
    before = dropped_packets(state, namespace)
    with Watch(points, asked) as watch:
        answers = ask(asked, watch=watch, patience=probe_domain.patience)
        tracker = Tracker(watch.captured)
    moved = {words: count for words, count in dropped_packets(state, namespace).items() if count > before.get(words, 0)}
    reasons = LossReasons(host, state, namespace, moved)
    return {
        question: reasons.sentence(some[question].nic, question, tracker, answer)
        for question, answer in zip(asked, answers, strict=True)
        if answer.response is Response.SILENCE
    }


class _Seen(Struct, frozen=True):
    """On which links frames were seen."""

    came: frozenset[str]
    left: frozenset[str]

    @classmethod
    def of(cls, captured: Iterable[CapturedFrame]) -> _Seen:
        frames = list(captured)
        return cls(
            frozenset(str(one.point.link) for one in frames if not one.outgoing),
            frozenset(str(one.point.link) for one in frames if one.outgoing),
        )


class LossReasons:
    """What a host's ports, VLANs and chains say of a frame that a bridge did not pass on.

    ``moved`` are the rules of others that dropped packets meanwhile, in words.
    """

    def __init__(self, host: Host, state: HostState, namespace: Namespace, moved: Mapping[str, int]) -> None:
        self._host = host
        self._state = state
        self._namespace = namespace
        self._moved = moved

    def sentence(self, nic: GuestNic, question: Question, tracker: Tracker, answer: Answer) -> str:
        """How far the question and its answer came."""
        track = tracker.follow(answer)
        asked, replied = _Seen.of((*track.asked, *track.sought)), _Seen.of(track.replied)
        tap, source = str(nic.tap), str(question.source.link)
        bridge = self._bridge(nic)
        uplink = self._uplink(bridge)
        family = FAMILY_OF[question.address.version] if question.address else "ip"
        if not asked.left:
            return f"it never left {question.source.endpoint} by {source}"
        if tap not in asked.left:
            if source == bridge or uplink in asked.came:
                came = bridge if source == bridge else uplink
                return f"it never left {bridge} by {tap}: {self.why(bridge, came, tap, family)}"
            return f"it left by {source}, and nothing of it came in by {uplink or bridge}: {OUTSIDE}"
        if tap not in replied.came:
            return f"it went out by {tap}, and its answer never left {nic.guest}"
        if source == bridge or source in replied.came:
            return f"its answer came back by {source} and was not delivered: {self._not_delivered(source)}"
        if uplink not in replied.left:
            return f"its answer came in by {tap} and never left {bridge}: {self.why(bridge, tap, uplink, family)}"
        return f"its answer left by {uplink}, and nothing came back by {source}: {OUTSIDE}"

    def _bridge(self, nic: GuestNic) -> str:
        link = self._state.links.get(nic.tap)
        return str((link.master if link else None) or nic.into)

    def _uplink(self, bridge: str) -> str:
        declared = next((one for one in self._host.bridges.values() if one.name == bridge), None)
        return str(declared.port) if declared is not None and declared.port else ""

    def why(self, bridge: str, came: str, out: str, family: str) -> str:
        """Why a frame that came in by one port does not leave by another."""
        reasons = [*self._ports(bridge, came, out), *self._rules(bridge, family)]
        return "; ".join(reasons) or UNKNOWN

    def _ports(self, bridge: str, came: str, out: str) -> Iterator[str]:
        links: list[Link] = [self._state.links[IfName(x)] for x in (came, out) if IfName(x) in self._state.links]
        for link in links:
            if link.name == bridge:
                continue
            if link.master != bridge:
                yield f"{link.name} is a port of {link.master or 'no bridge'}"
            state = self._stp.get(str(link.name), "forwarding")
            if state != "forwarding":
                yield f"{link.name} is {state} (STP state of the port)"
        ports = [link for link in links if link.name != bridge and link.port is not None]
        if len(ports) == 2 and all(link.port is not None and link.port.isolated for link in ports):
            yield f"{came} and {out} are both isolated (port flag)"
        for link in ports:
            if link.port is not None and str(link.name) == out and not (link.port.flood and link.port.bcast_flood):
                yield f"{out} takes no flooded frames (port flag flood or bcast_flood is off)"
            if link.port is not None and str(link.name) == came and link.port.locked:
                yield f"{came} is locked (port flag), and the sender is not in its table"
        yield from self._vlans(bridge, came, out, links)

    def _vlans(self, bridge: str, came: str, out: str, links: Sequence[Link]) -> Iterator[str]:
        own = self._state.links.get(IfName(bridge))
        if own is None or not getattr(own.options, "vlan_filtering", 0) or len(links) != 2:
            return
        tags = inside(links[0], ())
        if not tags:
            yield f"{came} has no PVID, and takes no untagged frame"
        elif not any(entry.first <= tags[0] <= entry.last for entry in links[1].vlans):
            yield f"{came} puts it into VLAN {tags[0]}, of which {out} is no member"

    @property
    def _stp(self) -> dict[str, str]:
        listing = run(("bridge", "-j", "link", "show"), namespace=self._namespace, check=False).stdout
        return {row["ifname"]: row.get("state", "forwarding") for row in json.loads(listing or "[]")}

    def _rules(self, bridge: str, family: str) -> Iterator[str]:
        if self._moved:
            yield from (f"{words} dropped packets meanwhile" for words in self._moved)
            return
        with self._namespace.entered():
            network = read_firewall(self._state)
        for passage in bridged_frames(network, bridge) if network.rules.filters else ():
            if passage.family in {family, "arp"}:
                yield from (f"{stop} drops it" for stop in passage.stops)

    def _not_delivered(self, link: str) -> str:
        return next(
            (f"{words} dropped packets meanwhile" for words in self._moved),
            f"a rule of the host's own INPUT, or the reverse path filter of {link}",
        )
