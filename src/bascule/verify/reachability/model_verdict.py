"""What the model of the hosts says of an expectation, beside what frames say. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType

from msgspec import Struct

from bascule.errors import UsageFault
from bascule.model.ruleset.owners import owner
from bascule.model.site import Expectation
from bascule.topology.sweep.port_ranges import told_apart
from bascule.topology.trace.answer import Blocker, Certainty, of_range
from bascule.topology.trace.ends.wire_ends import ASSUMED_MAC
from bascule.topology.trace.walk import Walks
from bascule.verify.reachability.other_hosts import decisive, hosts_between, parts
from bascule.verify.reachability.participant import HostModel
from bascule.verify.reachability.question import AnsweredQuestion, ask_each_port, walks_of

SHOWN = 3  # things in the way that are named
THERE = {"l2", "new"}  # legs before the answer


class ModelVerdict(Struct, frozen=True, kw_only=True):
    """Whether one reaches another by the model, and what it names: what is in the way, or why it cannot tell."""

    result: Certainty
    words: str = ""
    asked: tuple[AnsweredQuestion, ...] = ()

    @property
    def stopped_at(self) -> tuple[str, ...]:
        """The links and endpoints at which what is sent is lost; none where it arrives and the answer is lost."""
        stages = (x for one in self.asked for leg in one.answer.legs if leg.name in THERE for x in leg.stages)
        return tuple(stage.where.partition(" → ")[0] for stage in stages if stage.verdict == "no")

    @property
    def assumes_macs(self) -> bool:
        """Whether it depends on the MAC of a machine, which nobody has said or seen."""
        return any(words.endswith(ASSUMED_MAC) for one in self.asked for leg in one.answer.legs for words in leg.unsure)

    def as_json(self) -> dict[str, object]:
        """For ``--json``."""
        return {"result": self.result.value, "words": self.words}


SEEN_BY_NONE = ModelVerdict(result=Certainty.UNKNOWN, words="the path goes over devices that no host of the file sees")


def walks_by_host(hosts: Sequence[HostModel]) -> Mapping[str, Walks]:
    """The walks on each host, for who asks many questions."""
    return {given.here: walks_of(given.network, given.known) for given in hosts}


def model_says(
    hosts: Sequence[HostModel], expected: Expectation, walks: Mapping[str, Walks] = MappingProxyType({})
) -> ModelVerdict:
    """The model's answer to an expectation, from the host that both are at; ``walks`` are those of walks_by_host."""
    if (
        len(between := hosts_between(hosts, expected.source, expected.target)) > 1
        and expected.service.protocol != "arp"
    ):
        return _of_both(between, expected)
    told = [one for given in hosts if (one := _by(given, expected, walks.get(given.here))) is not None]
    for result in (Certainty.YES, Certainty.NO, Certainty.PERHAPS, Certainty.UNKNOWN):
        for one in told:
            if one.result is result:
                return one
    return SEEN_BY_NONE


def _of_both(between: Sequence[HostModel], expected: Expectation) -> ModelVerdict:
    """What the two hosts say together, each of its part of the way."""
    try:
        ends = (end for host in between for party in host.known.values() for end in party.ends)
        asked = told_apart([one.network for one in between], ends, expected.service)
        told = [decisive(parts(between, expected.source, expected.target, one))[1] for one in asked]
    except UsageFault as fault:
        return ModelVerdict(result=Certainty.UNKNOWN, words=fault.problems[0].message)
    return ModelVerdict(result=of_range(one.answer.result for one in told), words=_words(told), asked=tuple(told))


def _by(given: HostModel, expected: Expectation, walks: Walks | None) -> ModelVerdict | None:
    """What one host's model says; None where that is not this host's to say."""
    by, of = given.known.get(expected.source), given.known.get(expected.target)
    if by is None or of is None or expected.service.protocol == "arp":
        return None
    if by.elsewhere or of.elsewhere or (by.is_outside and of.is_outside):
        return None
    try:
        told = ask_each_port(given.network, given.known, by, of, expected.service, walks)
    except UsageFault as fault:  # no address of one family is known
        return ModelVerdict(result=Certainty.UNKNOWN, words=fault.problems[0].message)
    result = of_range(one.answer.result for one in told)
    words = "; ".join(given.network.rules.unread) if result is Certainty.UNKNOWN else ""
    return ModelVerdict(result=result, words=words or _words(told), asked=tuple(told))


def _words(told: Sequence[AnsweredQuestion]) -> str:
    words = []
    alike = len({one.answer.result for one in told}) == 1
    for one in told:
        which = "" if alike else f"{one.service}: "
        words += [f"{which}{blocker_words(blocker)}" for blocker in one.answer.blockers]
        words += [f"{which}{unsure}" for leg in one.answer.legs for unsure in leg.unsure]
    return "; ".join(list(dict.fromkeys(words))[:SHOWN])


def blocker_words(blocker: Blocker) -> str:
    """One thing in the way in a few words: ``policy DROP of ip filter FORWARD (Docker)``."""
    if blocker.chain is None:
        return blocker.text
    own = blocker.hit.chain if blocker.hit is not None else blocker.chain
    whose = owner(own.table, own.name)
    where = f"{own} ({whose})" if whose else str(own)
    if blocker.hit is None:
        return f"policy {own.base.policy.upper() if own.base else 'DROP'} of {where}"
    return f"'{blocker.hit.line.text or f'handle {blocker.hit.line.handle}'}' of {where}"
