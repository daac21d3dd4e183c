"""A way between two hosts of the file: each host is asked for its own part of it. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from msgspec.structs import replace

from bascule.errors import UsageFault
from bascule.model.values import Service
from bascule.topology.trace.answer import Blocker, Certainty, Code, Leg, Stage
from bascule.topology.trace.packet import key
from bascule.verify.reachability.participant import HostModel, Participant
from bascule.verify.reachability.question import AnsweredQuestion, ask

Part = tuple[HostModel, AnsweredQuestion]


def hosts_between(hosts: Sequence[HostModel], source: str, target: str) -> tuple[HostModel, ...]:
    """The hosts that two run on, or are, in the order of the first packet; none where these are not two."""
    found = [next((one for one in hosts if _runs(one, name)), None) for name in (source, target)]
    return tuple(one for one in found if one) if None not in found and found[0] is not found[1] else ()


def hosts_of(hosts: Sequence[HostModel], source: str, target: str) -> tuple[HostModel, ...]:
    """The hosts that one of two runs on, or is."""
    return tuple(one for one in hosts if _runs(one, source) or _runs(one, target))


def run_on(hosts: Sequence[HostModel], source: str, target: str) -> str:
    """The host that one of two runs on, be the other where it is; empty where neither runs on any."""
    return next((one.here for one in hosts for name in (target, source) if _runs(one, name)), "")


def _runs(given: HostModel, name: str) -> bool:
    party = given.known.get(name)
    return party is not None and (party.is_host or any(not end.outside for end in party.ends))


def parts(between: Sequence[HostModel], source: str, target: str, service: Service) -> list[Part]:
    """What each of the two hosts says; the second is asked for what the first one lets out. Raises UsageFault.

    Both are asked for one address of the target, the one by which it works best.
    """
    here, there = between
    wanted = here.known[target]
    each = [replace(wanted, addresses=(one,)) for one in wanted.addresses] or [wanted]
    found: list[list[Part]] = []
    faults: list[UsageFault] = []
    for one in each:
        try:
            found.append(_parts(here, there, source, one, service))
        except UsageFault as fault:
            faults.append(fault)
    if not found:
        raise faults[0]
    return min(found, key=lambda one: decisive(one)[1].answer.result.rank)


def _parts(here: HostModel, there: HostModel, source: str, target: Participant, service: Service) -> list[Part]:
    first = ask(here.network, here.known, here.known[source], target, service)
    shown = _shown_as(first, there, source)
    if shown is None:
        return [(here, unseen(first, f"with which source address it reaches host {there.here} is not known"))]
    seen = replace(there.known[target.name], addresses=target.addresses or there.known[target.name].addresses)
    second = ask(there.network, there.known, shown, seen, service)
    return [(here, first), (there, second)]


def decisive(found: Sequence[Part]) -> Part:
    """The part that decides: of two that are in the way the first."""
    return max(found, key=lambda one: one[1].answer.result.rank)


def _shown_as(first: AnsweredQuestion, there: HostModel, source: str) -> Participant | None:
    """Whom the second host takes the sender for: NAT may have given it another address."""
    new = next((leg for leg in first.answer.legs if leg.name == "new"), None)
    number = new.fields.get(key(first.version, "saddr")) if new is not None else None
    known = [there.known[source], *there.known.values()] if source in there.known else [*there.known.values()]
    return next((one for one in known if (first.version, number) in one.addresses), None)


def as_seen_here(asked: AnsweredQuestion) -> AnsweredQuestion:
    """What may be said of a way whose other host was not looked at: only what stops it here is certain."""
    there = asked.of.elsewhere or asked.by.elsewhere
    if not there or not asked.answer.result.passes:
        return asked
    return unseen(asked, f"it passes here; what host {there} does with it is not known")


def unseen(asked: AnsweredQuestion, words: str) -> AnsweredQuestion:
    """An answer that depends on what nobody has seen."""
    if not asked.answer.result.passes:
        return asked
    why = Blocker(
        code=Code.UNKNOWN_OUTSIDE, subject=asked.of.elsewhere or asked.by.elsewhere or asked.of.name, text=words
    )
    stage = Stage(name="other host", verdict="unknown", words=words, blockers=(why,))
    legs = tuple(_and(leg, stage) if leg.name == "new" else leg for leg in asked.answer.legs)
    return replace(asked, answer=replace(asked.answer, result=Certainty.UNKNOWN, legs=legs))


def _and(leg: Leg, stage: Stage) -> Leg:
    return replace(leg, stages=(*leg.stages, stage), result=Certainty.UNKNOWN)
