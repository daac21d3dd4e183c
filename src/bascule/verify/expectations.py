"""Each access criterion gets a verdict that is believed for a reason.

``reach`` is believed for its reply. ``no-reach`` is believed only if the same question passes from the target's own
network: a dead guest or a dead service proves nothing and is ``unproven``.
"""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import Struct
from msgspec.structs import replace

from bascule.errors import Place
from bascule.model.site import Expectation, Site, Verdict
from bascule.model.values import IpAddress, listed
from bascule.probe.ask import ask
from bascule.probe.capture import CaptureSession, FrameTrack, Tracker
from bascule.probe.domain import ProbeDomain
from bascule.probe.protocols import ANSWERED_BY_ALL
from bascule.probe.question import Answer, Protocol, Question, Response
from bascule.topology.trace.answer import Certainty
from bascule.verify.cases import Case, Control, prepare, share_of_silence
from bascule.verify.endpoints import Endpoints
from bascule.verify.nat_boundary import NatBoundaries
from bascule.verify.path_trace import PathTraces
from bascule.verify.power import NONE_OFF, GuestsOff
from bascule.verify.reachability.model_verdict import ModelVerdict, model_says, walks_by_host
from bascule.verify.reachability.participant import HostModel
from bascule.verify.undeclared_routers import RoutersOff, UndeclaredRouters
from bascule.verify.witness import Witness, cause

UNPROVEN, NOT_ASKED = "unproven", "not asked"


class Outcome(Struct, frozen=True, kw_only=True):
    """An expectation and what came of it: ``observed`` is reach, no-reach, unproven or not asked.

    ``ok`` is None where the question cannot be asked from here.
    """

    expectation: Expectation
    observed: str
    ok: bool | None
    witness: Witness
    model: ModelVerdict | None = None  # what the model says of it, where it was asked

    @property
    def disagrees(self) -> bool:
        """Whether the model and the frames contradict each other: one of the two is wrong."""
        if self.model is None:
            return False
        if self.observed == Verdict.REACH:
            return self.model.result is Certainty.NO
        arrived = any(hop.node == self.expectation.target and not hop.bridge for hop in self.witness.hops)
        return self.observed == Verdict.NO_REACH and self.model.result is Certainty.YES and not arrived

    @property
    def is_open(self) -> bool:
        """Whether it is unproven, or could not be asked: it neither held nor failed."""
        return self.ok is None

    def as_json(self) -> dict[str, object]:
        """The outcome for ``--json``."""
        expected = self.expectation
        data: dict[str, object] = {"from": expected.source, "to": expected.target, "service": str(expected.service)}
        if expected.seen_as:
            data["seen_as"] = expected.seen_as
        return data | {
            "verdict": str(expected.verdict),
            "observed": self.observed,
            "ok": self.ok,
            "witness": self.witness.as_json(),
            **({"model": {**self.model.as_json(), "agrees": not self.disagrees}} if self.model is not None else {}),
        }


def with_model(outcomes: Sequence[Outcome], hosts: Sequence[HostModel]) -> tuple[Outcome, ...]:
    """The outcomes with what the model of these hosts says of each; where frames were lost, with what it names."""
    found = []
    walks = walks_by_host(hosts)
    for one in outcomes:
        said = model_says(hosts, one.expectation, walks)
        witness = one.witness
        if one.observed == Verdict.NO_REACH and one.ok is False and not witness.because and said.words:
            sentence = f"{witness.sentence}; by the model: {said.words}"
            witness = replace(witness, sentence=sentence, because=said.words)
        found.append(replace(one, model=said, witness=witness))
    return tuple(found)


class _Reply(Struct, frozen=True):
    answer: Answer
    track: FrameTrack

    @property
    def is_unreported(self) -> bool:
        """Whether somebody who asks for us did not say what came of it."""
        return self.answer.response is Response.NOT_ASKED and self.answer.question.source.agent is not None


def judge(
    site: Site, probe_domain: ProbeDomain, endpoints: Endpoints | None = None, off: GuestsOff = NONE_OFF
) -> tuple[Outcome, ...]:
    """Ask every expectation of the site, many at once: first what should pass, then what should not.

    ``endpoints`` may bring addresses that were learned (a live guest's lease); what needs a guest that is ``off`` is
    unproven. Raises NotPermitted where the kernel
    allows no raw sockets.
    """
    endpoints = endpoints or Endpoints(site, probe_domain)
    boundaries = NatBoundaries(site, endpoints)
    without = RoutersOff(site, endpoints, off)
    cases = [prepare(expected, endpoints, off, without.gateway(expected)) for expected in site.expectations]
    positive = [case for case in cases if case.expected.verdict is Verdict.REACH]
    negative = [case for case in cases if case.expected.verdict is Verdict.NO_REACH]
    first = [question for case in positive for way in case.ways[:1] for question in way]
    first += [question for case in negative for control in case.controls for some in control.lists for question in some]
    replies = _ask(probe_domain, boundaries, first)
    lost = [case for case in positive if case.ways[1:] and not all(replies[q].answer.ok for q in case.ways[0])]
    replies |= _ask(probe_domain, boundaries, [question for case in lost for way in case.ways[1:] for question in way])
    is_steady = not probe_domain.live and probe_domain.patience == 1.0  # no real wire, and no processor that is played
    share = share_of_silence([reply.answer for reply in replies.values()]) if is_steady else 1.0
    unwanted = [question for case in negative for way in case.ways for question in way]
    replies |= _ask(probe_domain, boundaries, unwanted, share)
    judging = _Judging(site, probe_domain, endpoints, boundaries, without, replies)
    return tuple(judging.outcome(case) for case in cases)


def _ask(
    probe_domain: ProbeDomain, boundaries: NatBoundaries, questions: Sequence[Question], share: float = 1.0
) -> dict[Question, _Reply]:
    unique = list(dict.fromkeys(questions))  # equal questions are asked once: their tokens do not count
    if not unique:
        return {}
    with CaptureSession(probe_domain.points, [*unique, *boundaries.led_on(unique)]) as watch:
        answers = ask(unique, watch=watch, patience=probe_domain.patience * share)
        tracker = Tracker(watch.captured)
    replies = {}
    for question, answer in zip(unique, answers, strict=True):
        track = tracker.follow(answer)
        if answer.ok and track.rtt_ms is not None:
            answer = replace(answer, rtt_ms=track.rtt_ms)  # noqa: PLW2901  # the kernel's clock knows better than our loop
        replies[question] = _Reply(answer, track)
    return replies


class _Judging:
    """Turns replies into outcomes."""

    def __init__(
        self,
        site: Site,
        probe_domain: ProbeDomain,
        endpoints: Endpoints,
        boundaries: NatBoundaries,
        without: RoutersOff,
        replies: dict[Question, _Reply],
    ) -> None:
        self.site = site
        self.endpoints = endpoints
        self.boundaries = boundaries
        self.routers = UndeclaredRouters(site, endpoints)
        self.without = without
        self.replies = replies
        self.traces = PathTraces(site, probe_domain, boundaries)

    def outcome(self, case: Case) -> Outcome:
        """The verdict on one expectation."""
        if case.unproven:
            witness = Witness(sentence=f"unproven, because {case.unproven}")
            return Outcome(expectation=case.expected, observed=UNPROVEN, ok=None, witness=witness)
        if case.refusal:
            return _not_asked(case.expected, case.refusal)
        if case.expected.verdict is Verdict.REACH:
            return self._reach(case)
        return self._no_reach(case)

    # reach

    def _reach(self, case: Case) -> Outcome:
        asked = [[self.replies[question] for question in way] for way in case.ways if way[0] in self.replies]
        whole = next((replies for replies in asked if all(reply.answer.ok for reply in replies)), None)
        if whole is None:
            lost = [reply for reply in asked[0] if not reply.answer.ok]
            if unsaid := next((reply for reply in lost if reply.is_unreported), None):
                return _not_asked(case.expected, unsaid)
            witness = self._witness(lost[0], case.expected)
            if len(asked[0]) > 1:
                missing = _ports([reply.answer.question.port for reply in lost])
                witness = replace(witness, sentence=f"{missing} not reached: {witness.sentence}")
            if is_off := self._router_off(case.expected, lost):
                return self._unproven(case.expected, lost[0], is_off)
            if unsaid_router := self._router(case.expected, lost):
                return self._unproven(case.expected, lost[0], self.routers.words((unsaid_router,)))
            if self._proves_nothing(case.expected, lost):
                words = f"unproven: no answer to {case.expected.service}, but Bascule does not play "
                words += f"{case.expected.target}, and only its clients know what its server answers"
                witness = replace(witness, sentence=f"{words}; {witness.sentence}")
                return Outcome(expectation=case.expected, observed=UNPROVEN, ok=None, witness=witness)
            arrived = any(hop.node == case.expected.target and not hop.bridge for hop in witness.hops)
            apart = None if arrived or witness.because else self._apart(case)
            if witness.because and (beside := self.boundaries.beside(case.expected.target, lost[0].answer.question)):
                witness = replace(witness, sentence=f"{witness.sentence}; {beside}")
            if apart:
                why, place = apart
                sentence = f"{witness.sentence}; {why} ({place})" if place else f"{witness.sentence}; {why}"
                witness = replace(witness, sentence=sentence, because=why, place=place)
            return Outcome(expectation=case.expected, observed=Verdict.NO_REACH, ok=False, witness=witness)
        witness = self._witness(whole[0], case.expected)
        if len(whole) > 1:
            every = len(case.expected.service.ports)
            asked_ports = f"{every:,}" if len(whole) == every else f"{len(whole)} spread over {every:,}"
            witness = replace(witness, sentence=f"{witness.sentence}, {asked_ports} ports asked")
        ok: bool | None = True
        if case.expected.seen_as:
            ok, words = self._seen_as(whole, case.expected.target, case.expected.seen_as)
            witness = replace(witness, sentence=f"{witness.sentence}, {words}")
        return Outcome(expectation=case.expected, observed=Verdict.REACH, ok=ok, witness=witness)

    def _router(self, expected: Expectation, replies: Sequence[_Reply]) -> str:
        """Who was to pass something on, and may do so in truth."""
        tracks = [reply.track for reply in replies]
        return self.routers.met(expected, (seen for track in tracks for seen in (*track.requests, *track.replies)))

    def _router_off(self, expected: Expectation, replies: Sequence[_Reply]) -> str:
        """Who was looked for to pass something on, and is off."""
        return self.without.sought(expected, (seen for reply in replies for seen in reply.track.searches))

    def _unproven(self, expected: Expectation, reply: _Reply, why: str) -> Outcome:
        witness = self._witness(reply, expected)
        witness = replace(witness, sentence=f"unproven: {why}; {witness.sentence}", because=why)
        return Outcome(expectation=expected, observed=UNPROVEN, ok=None, witness=witness)

    def _proves_nothing(self, expected: Expectation, lost: Sequence[_Reply]) -> bool:
        """Whether silence says nothing: a UDP server that is not ours need not answer what it does not know."""
        if expected.service.protocol != "udp" or self.endpoints.attachments(expected.target):
            return False
        return all(
            reply.answer.response is Response.SILENCE and reply.answer.question.port not in ANSWERED_BY_ALL
            for reply in lost
        )

    def _apart(self, case: Case) -> tuple[str, Place | None] | None:
        """For a question that was lost between networks: who stands where, and the guest's line."""
        expected = case.expected
        theirs = {goal.network for goal in self.endpoints.addresses(expected.target)}
        ours = {attachment.network for attachment in self.endpoints.attachments(expected.source)}
        if ours & theirs or None in ours | theirs:
            return None
        words = [f"{name} is on {', '.join(sorted(map(str, on)))}" for name, on in
                 ((expected.source, ours), (expected.target, theirs))]  # fmt: skip
        guest = self.site.guests.get(expected.target) or self.site.guests.get(expected.source)
        place = guest.nics[0].place if guest and guest.nics else None
        return " and ".join(words), place

    def _seen_as(self, replies: Sequence[_Reply], target: str, wanted: str) -> tuple[bool | None, str]:
        seen = {self._seen(reply, target) for reply in replies}
        for address in seen:
            if address is None:
                ok = (
                    False if self.endpoints.attachments(target) else None
                )  # not ours: its side cannot be seen from here
                return ok, f"but whose address {target} saw cannot be told from here (should be {wanted})"
            owner = self.endpoints.owner(address)
            own = {goal.address.ip for goal in self.endpoints.addresses(wanted)}
            if address not in own:
                return False, f"but seen as {address} ({owner or 'nobody in the file'}), not as {wanted}"
        return True, f"seen as {wanted} ({', '.join(sorted(str(address) for address in seen))})"

    # no-reach

    def _no_reach(self, case: Case) -> Outcome:
        replies = [self.replies[question] for way in case.ways for question in way]
        passed = next((reply for reply in replies if reply.answer.ok), None)
        if passed is not None:
            witness = self._witness(passed, case.expected)
            opened = self.boundaries.opened(passed.answer.question, witness.hops, case.expected.target)
            why, place = (
                (opened.words, opened.place)
                if opened
                else cause(self.site, self.endpoints, case.expected, witness.hops)
            )
            witness = replace(
                witness, sentence=f"{witness.sentence}, because of {place} ({why})", because=why, place=place
            )
            return Outcome(expectation=case.expected, observed=Verdict.REACH, ok=False, witness=witness)
        if unsaid := next((reply for reply in replies if reply.answer.response is Response.NOT_ASKED), None):
            return _not_asked(case.expected, unsaid)
        if is_off := self._router_off(case.expected, replies):
            return self._unproven(case.expected, replies[0], is_off)
        proofs: list[str] = []
        for control in case.controls:
            if not control.lists and not control.strangers:
                why = f"nobody else on {control.where} can show that {case.expected.target} answers at all"
                return self._unproven(case.expected, replies[0], why)
            ok, words = self._proof(case.expected, control)
            if not ok:
                witness = self._witness(replies[0], case.expected)
                observed = UNPROVEN if ok is False else NOT_ASKED
                sentence = f"unproven: {words}; {witness.sentence}" if ok is False else f"not asked, because {words}"
                witness = replace(witness, sentence=sentence, control=words)
                return Outcome(expectation=case.expected, observed=observed, ok=ok, witness=witness)
            proofs.append(words)
        met = self._router(case.expected, replies)
        if between := (met,) if met else self.routers.between(case.expected):
            return self._unproven(case.expected, replies[0], self.routers.words(between))
        if absent := self.routers.absent(case.expected):
            return self._unproven(case.expected, replies[0], absent)
        witness = replace(self._witness(replies[0], case.expected), control="; ".join(proofs))
        return Outcome(expectation=case.expected, observed=Verdict.NO_REACH, ok=True, witness=witness)

    def _proof(self, expected: Expectation, control: Control) -> tuple[bool | None, str]:
        """Whether the same question passes from the target's own network; None where nobody there is ours."""
        goal, lists = control.goal, control.lists
        service = f"{goal.address.ip} by {expected.service}"
        if not lists:
            return (
                None,
                f"nobody on {control.where} that we can ask from can show that {expected.target} answers at all",
            )
        for questions in lists:
            if all(self.replies[question].answer.ok for question in questions):
                return True, f"{questions[0].source.endpoint} reaches {service}"
        failed = next(reply for q in lists[0] if not (reply := self.replies[q]).answer.ok)
        asked = ", ".join(questions[0].source.endpoint for questions in lists)
        words = failed.answer.words
        return False, f"{expected.target} does not answer its own network either ({asked} asked {service}: {words})"

    # witnesses

    def _witness(self, reply: _Reply, expected: Expectation) -> Witness:
        answer, track = reply.answer, reply.track
        is_arp = answer.question.protocol is Protocol.ARP
        searched = () if answer.ok else track.requests if is_arp else track.searches
        if searched:
            hops = self.traces.hops(searched)
            sentence = self.traces.search(searched, answer, expected.target)
        else:
            hops = self.traces.hops(track.requests, expected.target)
            sentence = self.traces.sentence(hops, answer, expected.target)
            if not answer.ok and track.replies and hops and hops[-1].node == expected.target:
                sentence = self.traces.lost_reply(sentence, track, answer)
        seen = self._seen(reply, expected.target)
        seen_as = ""
        if seen is not None:
            owner = self.endpoints.owner(seen)
            seen_as = f"{seen} ({owner})" if owner else str(seen)
        if answer.ok:
            sentence = f"{sentence}, {answer.words}" if hops else answer.words
        stopped = None if answer.ok else self.boundaries.stopped(answer, () if searched else hops, expected.target)
        if stopped is None:
            return Witness(sentence=sentence, hops=hops, reply=answer.words, seen_as=seen_as)
        return Witness(
            sentence=f"{sentence}{'; ' if ': ' in sentence else ': '}{stopped}",
            hops=hops,
            reply=answer.words,
            because=stopped.words,
            place=stopped.place,
        )

    def _seen(self, reply: _Reply, target: str) -> IpAddress | None:
        """The asker's address as the other side saw it: by its own word, else at its own NIC."""
        if reply.answer.seen is not None:
            return reply.answer.seen
        for seen in reply.track.requests:
            if seen.point.node != target or seen.outgoing or not seen.addressed or seen.point.master is not None:
                continue
            packet, arp = seen.frame.packet, seen.frame.arp
            if packet or arp:
                return packet.src if packet else arp.sender if arp else None
        return None


def _not_asked(expected: Expectation, why: str | _Reply) -> Outcome:
    """What is not known is neither a reach nor a no-reach."""
    words = why if isinstance(why, str) else why.answer.words
    witness = Witness(sentence=f"not asked, because {words}")
    return Outcome(expectation=expected, observed=NOT_ASKED, ok=None, witness=witness)


def _ports(ports: Sequence[int]) -> str:
    return f"port{'s' if len(ports) > 1 else ''} {listed(ports, 8)}"
