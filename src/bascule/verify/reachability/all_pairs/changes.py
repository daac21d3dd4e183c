"""Who reaches whom only after a change, and who does no more: the same questions of the host before and after. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import islice

from msgspec import Struct
from msgspec.structs import replace

from bascule.model.kernel_parameters import FORWARDING
from bascule.model.ruleset.openflow import LoadedRule
from bascule.model.ruleset.rules import owned
from bascule.model.site import Host, Site
from bascule.model.state import HostState
from bascule.model.values import Service, grouped
from bascule.policy.guards.flows import COOKIE, LEARNED
from bascule.providers.loaded_guards import OF_NOBODY, rules_on_switches
from bascule.topology.graph import Topology
from bascule.topology.trace.answer import Certainty
from bascule.topology.trace.network import HostNetwork
from bascule.topology.trace.rules.model_reader import rules_of
from bascule.verify.reachability.all_pairs.pairs import PairQuestions
from bascule.verify.reachability.all_pairs.separate_segments import SeparateSegments
from bascule.verify.reachability.host_model import model_host
from bascule.verify.reachability.matrix import services_of
from bascule.verify.reachability.model_verdict import blocker_words
from bascule.verify.reachability.participant import HostModel
from bascule.verify.reachability.question import ask

SHOWN = 4  # pairs that are named

Pair = tuple[str, str]


class ChangedPairs(Struct, frozen=True):
    """Everybody of one class to everybody of another, by the services whose answer changes."""

    sources: tuple[str, ...]
    targets: tuple[str, ...]
    services: tuple[str, ...]

    @property
    def pairs(self) -> Iterator[Pair]:
        """Each of them; nobody asks itself."""
        return ((one, other) for one in self.sources for other in self.targets if one != other)

    @property
    def number(self) -> int:
        """How many pairs they are, without going through them: of 1,000 guests it is a million."""
        return len(self.sources) * len(self.targets) - len({*self.sources} & {*self.targets})


class ReachChange(Struct, frozen=True, kw_only=True):
    """Pairs with the services that they reach each other by only after a change, or only before it."""

    opens: tuple[ChangedPairs, ...]
    closes: tuple[ChangedPairs, ...]
    why: str = ""  # what is in the way of the first pair that is closed

    @property
    def sentences(self) -> Iterator[str]:
        """What it opens and what it closes, for people."""
        if self.closes:
            why = f" ({self.why})" if self.why else ""
            yield f"closes {_listed(self.closes)}{why}"
        if self.opens:
            yield f"opens {_listed(self.opens)}"


def _listed(changed: Sequence[ChangedPairs]) -> str:
    number = sum(some.number for some in changed)
    words = (f"{one} → {other} by {', '.join(some.services)}" for some in changed for one, other in some.pairs)
    more = f" and {number - SHOWN} more" if number > SHOWN else ""
    return f"{number} {'pair' if number == 1 else 'pairs'}: {'; '.join(islice(words, SHOWN))}{more}"


def after_change(now: HostNetwork, wanted: HostState) -> HostNetwork:
    """A host as it will be: of its rules those of others stay, and ours become those that are wanted."""
    ours = {(table.family, table.name) for table in owned(now.state.tables).values()}
    others = {key: chain for key, chain in now.rules.chains.items() if (chain.family, chain.table) not in ours}
    rules = now.rules.with_chains({**others, **rules_of(owned(wanted.tables)).chains})
    kept = dict(now.sysctls)
    routes = FORWARDING[4]  # which sets that of every link
    if wanted.sysctls.get(routes, kept.get(routes)) != kept.get(routes):
        kept = {key: value for key, value in kept.items() if not key.endswith("/forwarding")}
    return replace(
        now,
        state=wanted,
        rules=rules,
        sysctls={**kept, **wanted.sysctls},
        flows=_flows_after(now, wanted),
        fdb=(),
        neighbours=(),
    )


def _flows_after(now: HostNetwork, wanted: HostState) -> dict[str, tuple[LoadedRule, ...]]:
    """The rules of OpenFlow of each switch that stays: those of others, and ours as they are wanted."""
    ours = rules_on_switches(wanted)
    others = {
        name: tuple(one for one in rules if one.cookie not in {COOKIE, LEARNED})
        for name, rules in now.flows.items()
        if name in wanted.links
    }
    every = {name: (*others.get(name, ()), *ours.get(name, ())) for name in (*others, *ours)}
    seen = {name: tuple(one for one in rules if one != OF_NOBODY) for name, rules in every.items() if name in now.flows}
    return {name: rules for name, rules in (every | seen).items() if rules or name in ours}


def what_changes(before: HostModel, site: Site, host: Host, wanted: HostState, topology: Topology) -> ReachChange:
    """The pairs that are opened and closed; of whom nothing is known ``before`` or after, nothing is said."""
    then = after_change(before.network, wanted)
    after = model_host(then, host.name, before.where, site, host, topology=topology)
    services = services_of(site)
    was, becomes = PairQuestions((before,), services), PairQuestions((after,), services)
    apart = [SeparateSegments(one) for one in (before, after)]
    opens, closes = list[ChangedPairs](), list[ChangedPairs]()
    tables = (((Certainty.NO, Certainty.YES), opens), ((Certainty.YES, Certainty.NO), closes))
    for sources, targets in _meeting(_together(was, becomes), apart, (before, after)):
        first = next((name for name in targets if name != sources[0]), None)
        if first is None:
            continue
        old, new = (dict(by.between(of, sources[0], first)) for by, of in ((was, before), (becomes, after)))
        told = [one for one in services if one in old and one in new]
        results = {str(one): (old[one].exchange.result, new[one].exchange.result) for one in told}
        for change, found in tables:
            if names := tuple(name for name, result in results.items() if result == change):
                found.append(ChangedPairs(tuple(sources), tuple(targets), names))
    first_closed = next(((pair, some.services[0]) for some in closes for pair in some.pairs), None)
    return ReachChange(
        opens=tuple(opens),
        closes=tuple(closes),
        why=_why(after, *first_closed[0], first_closed[1], services) if first_closed else "",
    )


def _together(was: PairQuestions, becomes: PairQuestions) -> list[list[str]]:
    """Those who are alike before and after."""
    before, after = (
        {name: number for number, names in enumerate(one.classes) for name in names} for one in (was, becomes)
    )
    found = grouped(((before[name], after[name]), name) for name in becomes.names if name in before)
    return list(found.values())


def _meeting(
    groups: Sequence[list[str]], apart: Sequence[SeparateSegments], models: Sequence[HostModel]
) -> Iterator[tuple[list[str], list[str]]]:
    """Each group with those that it may meet before or after, in their order; most of many bridges' guests never do.

    What is between two who are both outside is not this host's to say: on a site of many hosts that is nearly all.
    """
    outside = {n for n, names in enumerate(groups) if all(one.known[names[0]].is_outside for one in models)}
    segments = [[one.of(names[0]) for one in apart] for names in groups]
    anywhere = {number for number, some in enumerate(segments) if None in some}
    there: dict[tuple[int, str], set[int]] = {}
    for number, some in enumerate(segments):
        for key in ((when, name) for when, names in enumerate(some) for name in names or ()):
            there.setdefault(key, set()).add(number)
    for number, some in enumerate(segments):
        keys = ((when, name) for when, names in enumerate(some) for name in names or ())
        near = set(range(len(groups))) if None in some else anywhere.union(*(there[key] for key in keys))
        met = near - outside if number in outside else near
        yield from ((groups[number], groups[other]) for other in sorted(met))


def _why(given: HostModel, source: str, target: str, service: str, services: Iterable[Service]) -> str:
    by = next(one for one in services if str(one) == service)
    asked = ask(given.network, given.known, given.known[source], given.known[target], by)
    return next(map(blocker_words, asked.answer.blockers), "")
