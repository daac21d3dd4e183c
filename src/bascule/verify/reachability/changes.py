"""Who reaches whom only after a change, and who does no more: the same questions of the host before and after. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from msgspec import Struct
from msgspec.structs import replace

from bascule.model.kernel_parameters import FORWARDING
from bascule.model.ruleset.openflow import LoadedRule
from bascule.model.ruleset.rules import owned
from bascule.model.site import Host, Site
from bascule.model.state import HostState
from bascule.model.values import listed
from bascule.policy.guards.flows import COOKIE, LEARNED
from bascule.providers.loaded_guards import OF_NOBODY, rules_on_switches
from bascule.topology.trace.answer import Certainty
from bascule.topology.trace.network import HostNetwork
from bascule.topology.trace.rules.model_reader import rules_of
from bascule.verify.reachability.live import host_to_ask
from bascule.verify.reachability.matrix import Matrix, matrix
from bascule.verify.reachability.model_verdict import blocker_words
from bascule.verify.reachability.participant import AskedHost
from bascule.verify.reachability.question import ask

SHOWN = 4  # pairs that are named

Pair = tuple[str, str]


class ReachChange(Struct, frozen=True, kw_only=True):
    """Pairs with the services that they reach each other by only after a change, or only before it."""

    opens: Mapping[Pair, tuple[str, ...]]
    closes: Mapping[Pair, tuple[str, ...]]
    why: str = ""  # what is in the way of the first pair that is closed

    @property
    def sentences(self) -> Iterator[str]:
        """What it opens and what it closes, for people."""
        if self.closes:
            why = f" ({self.why})" if self.why else ""
            yield f"closes {_listed(self.closes)}{why}"
        if self.opens:
            yield f"opens {_listed(self.opens)}"


def _listed(pairs: Mapping[Pair, tuple[str, ...]]) -> str:
    words = (f"{one} → {other} by {', '.join(services)}" for (one, other), services in pairs.items())
    return f"{len(pairs)} {'pair' if len(pairs) == 1 else 'pairs'}: {listed(words, SHOWN, between='; ')}"


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


def what_changes(site: Site, host: Host, now: HostNetwork, wanted: HostState) -> ReachChange:
    """The pairs that are opened and closed; of whom nothing is known before or after, nothing is said."""
    before, after = (
        host_to_ask(network, host.name, "this host", site, host) for network in (now, after_change(now, wanted))
    )
    was, becomes = matrix(before, site), matrix(after, site)
    opens: dict[Pair, list[str]] = {}
    closes: dict[Pair, list[str]] = {}
    groups = _together(was, becomes)
    for one, sources in groups.items():
        for other, targets in groups.items():
            for service in becomes.services:
                old = was.cells.get((one[0], other[0], str(service)))
                new = becomes.cells.get((one[1], other[1], str(service)))
                told = {(Certainty.NO, Certainty.YES): opens, (Certainty.YES, Certainty.NO): closes}
                found = told.get((old.result, new.result)) if old is not None and new is not None else None
                if found is not None:
                    for pair in ((x, y) for x in sources for y in targets if x != y):
                        found.setdefault(pair, []).append(str(service))
    return ReachChange(
        opens={pair: tuple(names) for pair, names in opens.items()},
        closes={pair: tuple(names) for pair, names in closes.items()},
        why=next((_why(after, *pair, closes[pair][0], becomes) for pair in closes), ""),
    )


def _together(was: Matrix, becomes: Matrix) -> dict[tuple[int, int], list[str]]:
    """Those who are alike before and after."""
    before, after = (
        {name: number for number, names in enumerate(one.classes) for name in names} for one in (was, becomes)
    )
    found: dict[tuple[int, int], list[str]] = {}
    for name in becomes.endpoints:
        if name in before:
            found.setdefault((before[name], after[name]), []).append(name)
    return found


def _why(given: AskedHost, source: str, target: str, service: str, found: Matrix) -> str:
    by = next(one for one in found.services if str(one) == service)
    asked = ask(given.network, given.known, given.known[source], given.known[target], by)
    return next(map(blocker_words, asked.answer.blockers), "")
