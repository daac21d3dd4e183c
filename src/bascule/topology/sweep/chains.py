"""A base chain, run once for many packets."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from itertools import takewhile
from typing import Any

from msgspec import Struct, field
from msgspec.structs import replace

from bascule.topology.sweep.matching import NOTHING, DependsOnBothEnds, Matcher, PacketSet, Rows, bits
from bascule.topology.trace.rules.evaluate import MOST_JUMPS
from bascule.topology.trace.rules.lines import (
    Decision,
    DecisionMap,
    NoTrack,
    Part,
    RuleChain,
    RuleLine,
    Rules,
    SetField,
    Translate,
)
from bascule.topology.trace.rules.tests import ALWAYS, HEADERS, AnyFlag, Field, Test, UncertainTest, as_bounds

Changes = frozenset[tuple[str, Any]]
"""What rules have changed in the fields of some packets since they came to the chain."""
ALIKE: Changes = frozenset()
OF_SERVICES = ("tcp ", "udp ", "th ", "icmp", "meta l4proto", "meta protocol", "meta nfproto", "ip protocol", "ct ")


class ForwardedSet(Struct, frozen=True, kw_only=True):
    """Packets that go on alike: with the same changes, and the same NAT."""

    rows: Rows
    changes: Changes = ALIKE
    nat: Translate | None = None


class ChainResult(Struct, frozen=True, kw_only=True):
    """What a base chain stops, surely or perhaps, and how the packets go on; ``left`` must be walked one by one."""

    stopped: Rows
    perhaps: Rows
    ways: tuple[ForwardedSet, ...]
    left: Rows


class _Run(Struct, kw_only=True):
    passed: dict[tuple[Changes, int], Rows] = field(default_factory=dict)
    stopped: dict[Changes, Rows] = field(default_factory=dict)
    nats: dict[int, Translate] = field(default_factory=dict)
    left: Rows = field(default_factory=dict)


class _Way(Struct, kw_only=True):
    """Packets in one chain, with the same changes; ``falls`` gets those that fall off its end or return."""

    chain: RuleChain
    live: Rows
    changes: Changes = ALIKE
    falls: dict[Changes, Rows] = field(default_factory=dict)
    depth: int = 0


class ChainRun:
    """Runs chains for packets of one group."""

    def __init__(
        self, rules: Rules, matcher: Callable[[Mapping[str, Any]], Matcher], fields: Mapping[str, Any]
    ) -> None:
        self.rules = rules
        self.fields = fields
        self._matcher = matcher
        self._matchers: dict[Changes, Matcher] = {}

    def meet(self, chain: RuleChain, members: Rows) -> ChainResult:
        """What becomes of the packets in a base chain."""
        self.run = _Run()
        way = _Way(chain=chain, live=dict(members))
        self._through(way)
        accepts = chain.base is None or chain.base.policy == "accept"
        for changes, rows in way.falls.items():
            add(self.run.passed.setdefault((changes, 0), {}) if accepts else self._stopped(changes), rows)
        return self._result(chain, members)

    def _stopped(self, changes: Changes) -> Rows:
        return self.run.stopped.setdefault(changes, {})

    def _result(self, chain: RuleChain, members: Rows) -> ChainResult:
        run = self.run
        passed: Rows = {}
        stopped: Rows = {}
        left = run.left
        for rows in run.passed.values():
            _overlaps(passed, rows, left)
            add(passed, rows)
        for rows in run.stopped.values():
            _overlaps(stopped, without(rows, passed), left)
            add(stopped, rows)
        found = []
        kinds = {*run.passed, *((changes, 0) for changes in run.stopped)}
        if len(kinds) == 1 and not left:
            ((changes, nat),) = kinds
            found.append(ForwardedSet(rows=members, changes=changes, nat=run.nats.get(nat)))
        else:
            onward: dict[tuple[Changes, int], Rows] = {key: without(rows, left) for key, rows in run.passed.items()}
            for changes, rows in run.stopped.items():
                add(onward.setdefault((changes, 0), {}), without(without(rows, passed), left))
            for (changes, nat), rows in onward.items():
                if rows:
                    found.append(ForwardedSet(rows=rows, changes=changes, nat=run.nats.get(nat)))
        return ChainResult(
            stopped=without(stopped, passed), perhaps=common(stopped, passed), ways=tuple(found), left=left
        )

    def _with(self, changes: Changes) -> Matcher:
        if changes not in self._matchers:
            self._matchers[changes] = self._matcher({**self.fields, **dict(changes)} if changes else self.fields)
        return self._matchers[changes]

    def _in_order(self, chain: RuleChain) -> list[tuple[tuple[Part, ...], str]]:
        """A chain's lines; of the tests that a line begins with first those which all packets answer alike.

        Beside each stands the header without which it matches nothing, if it begins with such a test.
        """
        kept: dict[int, list[tuple[tuple[Part, ...], str]]] = self.rules.__dict__.setdefault("_in_order", {})
        known = kept.get(id(chain))
        if known is None:
            known = kept[id(chain)] = [_ordered(line) for line in chain.lines]
        return known

    # ---- line after line

    def _through(self, way: _Way, first: int = 0, part: int = 0) -> None:
        """From a part of a line on; what falls off the end, or returns, is added to ``falls``. ``live`` is used up."""
        fields = self._with(way.changes).fields
        lines = self._in_order(way.chain)
        for place in range(first, len(lines)):
            if not way.live:
                return
            header = lines[place][1]
            if header and header not in fields:
                continue
            self._line(way, place, part if place == first else 0)
        if way.live:
            add(way.falls.setdefault(way.changes, {}), way.live)

    def _line(self, way: _Way, place: int, first: int) -> None:
        matcher, live = self._with(way.changes), way.live
        low = up = matcher.every
        parts = self._in_order(way.chain)[place][0]
        for number in range(first, len(parts)):
            part = parts[number]
            if isinstance(part, Decision | DecisionMap | Translate):
                hit, sure = _hits(low, up, live)
                if not hit:
                    return
                if isinstance(part, DecisionMap):
                    self._by_map(way, place, part, hit, sure)
                elif isinstance(part, Translate):
                    self._translated(way, part, hit, sure)
                else:
                    self._decide(way, place, part, hit, sure)
                return
            if isinstance(part, SetField | NoTrack):
                self._changed(way, place, number, part, _hits(low, up, live))
                return
            try:
                sure_match, match = matcher.of(part)
            except DependsOnBothEnds:
                add(self.run.left, _hits(low, up, live)[0])
                return
            if not (match.sources and match.row):
                return
            same = up is low and match is sure_match
            up = up.both(match) if up is not matcher.every else match
            low = up if same else low.both(sure_match)

    def _changed(self, way: _Way, place: int, number: int, part: SetField | NoTrack, hits: tuple[Rows, Rows]) -> None:
        hit, sure = hits
        add(self.run.left, without(hit, sure))
        try:
            effects = self._with(way.changes).effects(part)
        except DependsOnBothEnds:
            add(self.run.left, sure)
            return
        own = dict(sure)
        subtract(way.live, own)
        after = frozenset({**dict(way.changes), **effects}.items()) if effects else way.changes
        if after == way.changes:
            self._line(replace(way, live=own), place, number + 1)
            add(way.live, own)
        else:
            self._through(replace(way, live=own, changes=after), place, number + 1)

    def _translated(self, way: _Way, nat: Translate, hit: Rows, sure: Rows) -> None:
        if not self._with(way.changes).is_one(nat):
            add(self.run.left, hit)
        self.run.nats[id(nat)] = nat
        add(self.run.passed.setdefault((way.changes, id(nat)), {}), hit)
        subtract(way.live, sure)

    def _by_map(self, way: _Way, place: int, part: DecisionMap, hit: Rows, sure: Rows) -> None:
        matcher = self._with(way.changes)
        exact = ((as_bounds(atoms), decision) for atoms, decision in part.exact.items())
        rest = dict(hit)
        for bounds, decision in (*part.entries, *exact):
            if not rest:
                return
            try:
                low, up = (NOTHING, matcher.every) if part.moving else matcher.within(part.keys, bounds)
            except DependsOnBothEnds:
                add(self.run.left, hit)
                return
            if not (up.sources and up.row):
                continue
            maybe, certain = _hits(low, up, rest)
            subtract(rest, certain)
            if maybe:
                self._decide(way, place, decision, maybe, common(certain, sure))

    def _decide(self, way: _Way, place: int, decision: Decision, hit: Rows, sure: Rows) -> None:
        name, target, changes = decision.name, None, way.changes
        if name == "continue":
            return
        if name in {"accept", "unknown"}:
            add(self.run.passed.setdefault((changes, 0), {}), hit)
        if name in {"drop", "reject", "unknown"}:
            add(self._stopped(changes), hit)
        elif name == "return":
            add(way.falls.setdefault(changes, {}), hit)
        elif name in {"jump", "goto"}:
            target = self.rules.chains.get((way.chain.key[0], way.chain.table, decision.target))
            if target is None or way.depth >= MOST_JUMPS:  # as the walk has it: lost perhaps, and perhaps not
                add(self._stopped(changes), hit)
                return
        subtract(way.live, sure)
        if target is None:
            return
        there = _Way(chain=target, live=dict(hit), changes=changes, depth=way.depth + 1)
        self._through(there)
        for after, rows in there.falls.items():
            if decision.name == "goto":
                add(way.falls.setdefault(after, {}), rows)
            elif after == changes:
                add(way.live, rows)
            else:
                self._through(replace(way, live=rows, changes=after), place + 1)


def _is_of_ends(part: Part) -> bool:
    """Whether a test looks at what tells ends apart."""
    keys = part.keys if isinstance(part, Test) else ()
    return any(not isinstance(key, Field) or not key.key.startswith(OF_SERVICES) for key in keys)


def _ordered(line: RuleLine) -> tuple[tuple[Part, ...], str]:
    tests = list(takewhile(lambda part: isinstance(part, Test | AnyFlag | UncertainTest), line.parts))
    parts = (*sorted(tests, key=_is_of_ends), *line.parts[len(tests) :])
    head = parts[0].keys[0] if parts and isinstance(parts[0], Test) else None
    known = isinstance(head, Field) and not head.key.startswith((*ALWAYS, "@", "th "))
    header = HEADERS.get(head.key.partition(" ")[0], head.key) if isinstance(head, Field) and known else ""
    return parts, header


# ---- sets of packets


def _hits(low: PacketSet, up: PacketSet, live: Rows) -> tuple[Rows, Rows]:
    hit = _of(up, live)
    return hit, hit if low is up or not hit else _of(low, live)


def _of(match: PacketSet, live: Rows) -> Rows:
    sources, row, rows = match
    if rows is not None:
        found = {}
        for place, own in rows.items():
            if sources >> place & 1 and place in live and (both := live[place] & own & row):
                found[place] = both
        return found
    if sources.bit_count() * 4 < len(live):
        return {place: both for place in bits(sources) if place in live and (both := live[place] & row)}
    return {place: both for place, own in live.items() if (both := own & row) and sources >> place & 1}


def add(rows: Rows, more: Rows) -> None:
    """Put packets into a set."""
    if not rows:
        rows.update(more)
        return
    for place, row in more.items():
        rows[place] = rows.get(place, 0) | row


def subtract(rows: Rows, less: Rows) -> None:
    """Take packets out of a set."""
    for place, row in less.items():
        rest = rows.get(place, 0) & ~row
        if rest:
            rows[place] = rest
        else:
            rows.pop(place, None)


def without(rows: Rows, less: Rows) -> Rows:
    """The packets of one set that are not in another."""
    return {place: rest for place, row in rows.items() if (rest := row & ~less.get(place, 0))} if less else rows


def common(rows: Rows, others: Rows) -> Rows:
    """The packets that are in both sets."""
    if not (rows and others):
        return {}
    return {place: both for place, row in rows.items() if (both := row & others.get(place, 0))}


def _overlaps(known: Rows, rows: Rows, left: Rows) -> None:
    add(left, common(known, rows))
