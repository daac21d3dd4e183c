"""A packet through the lines of one base chain: every way in which it may come out.

Where a test is unknown, both ways are followed. So one outcome is certain, and several say *perhaps*.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from msgspec import Struct
from msgspec.structs import replace

from bascule.topology.trace.rules.lines import (
    Decision,
    DecisionMap,
    NoTrack,
    RuleChain,
    RuleLine,
    Rules,
    SetField,
    Translate,
)
from bascule.topology.trace.rules.tests import (
    MISSING,
    AnyFlag,
    Fields,
    Test,
    UncertainTest,
    all_of,
    as_bounds,
    holds,
    read,
    value_of,
)

MOST = 24  # ways that are followed at once; beyond these the answer is unknown, not wrong
MOST_JUMPS = 16  # the kernel's own limit, NFT_JUMP_STACK_SIZE


class MatchedLine(Struct, frozen=True):
    """A line that a packet met whole."""

    chain: RuleChain
    line: RuleLine
    verdict: str


class UncertainLine(Struct, frozen=True):
    """A line of which it is unknown whether it meets the packet."""

    chain: RuleChain
    line: RuleLine
    reason: str

    def __str__(self) -> str:
        return f"{self.reason} ({self.chain}: {self.line.text})" if self.line.text else f"{self.reason} ({self.chain})"


class ChainEnd(Struct, frozen=True, kw_only=True):
    """One way out of a base chain: ``verdict`` is accept, drop or reject; ``hits`` has all lines that it met.

    ``by`` is the line that decided; None where it was the chain's policy. ``nat`` is what shall become of its
    addresses, and ``nat_fields`` the packet at that line.
    """

    verdict: str
    fields: Fields
    by: MatchedLine | None = None
    hits: tuple[MatchedLine, ...] = ()
    doubts: tuple[UncertainLine, ...] = ()
    nat: Translate | None = None


class _Case(Struct, frozen=True):
    fields: Fields
    hits: tuple[MatchedLine, ...] = ()
    doubts: tuple[UncertainLine, ...] = ()
    plain: bool = False  # it meets no line that it does not meet for certain
    brief: bool = False  # doubts are not kept: of a frame about which little is known, nearly every line is one


Ends = list[ChainEnd]
Step = tuple[str, _Case, Decision | Translate | None]
"""What a line does with a packet: ``next`` (it did not meet it), ``met`` (and goes on), or ``end`` with a decision."""


def run(rules: Rules, chain: RuleChain, fields: Fields) -> list[ChainEnd]:
    """All outcomes of a base chain; the policy where no line decides."""
    return _distinct(_ends(rules, chain, _Case(fields)))


def every_end(rules: Rules, chain: RuleChain, fields: Fields) -> list[ChainEnd]:
    """Each line by which a packet of which little is known may come out, without the doubts."""
    return _ends(rules, chain, _Case(fields, brief=True))


def plain_end(rules: Rules, chain: RuleChain, fields: Fields) -> ChainEnd:
    """The way out of a packet that meets only those lines that it meets for certain."""
    return _ends(rules, chain, _Case(fields, plain=True))[0]


def _ends(rules: Rules, chain: RuleChain, case: _Case) -> Ends:
    ends: Ends = []
    for fallen in _through(rules, chain, [case], ends, depth=0):
        policy = chain.base.policy if chain.base else "accept"
        ends.append(ChainEnd(verdict=policy, fields=fallen.fields, hits=fallen.hits, doubts=fallen.doubts))
    return ends


def _distinct(ends: Sequence[ChainEnd]) -> list[ChainEnd]:
    """One for each verdict and packet: the one that fewest doubts stand in the way of."""
    if len(ends) < 2:
        return list(ends)
    found: list[ChainEnd] = []
    for end in sorted(ends, key=lambda one: len(one.doubts)):
        if not any((one.verdict, one.fields, one.nat) == (end.verdict, end.fields, end.nat) for one in found):
            found.append(end)
    return found


def _through(rules: Rules, chain: RuleChain, cases: list[_Case], ends: Ends, *, depth: int) -> list[_Case]:
    """The packets that fall off a chain's end; those that a line decides of are added to ``ends``."""
    returned: list[_Case] = []
    for line in _worth_asking(chain, lambda: cases):  # noqa: B023  # those of each moment are asked for
        if len(cases) == 1 and not line.may_meet(cases[0].fields):
            continue
        after: list[_Case] = []
        for case in cases:
            for kind, now, decision in _steps(chain, line, case):
                if kind == "next":
                    after.append(now)
                elif isinstance(decision, Translate):
                    ends.append(_end("accept", now, chain, line, nat=decision))
                elif decision is None or decision.name == "continue":
                    after.append(_with(now, chain, line, "continue"))
                elif decision.name == "return":
                    returned.append(_with(now, chain, line, "return"))
                elif decision.name in {"jump", "goto"}:
                    fallen = _jumped(rules, chain, line, decision, now, ends, depth=depth)
                    (after if decision.name == "jump" else returned).extend(fallen)
                elif decision.name == "unknown":
                    unsure = _doubting(now, chain, line, decision.target)
                    ends += [_end(verdict, unsure, chain, line) for verdict in ("accept", "drop")]
                else:
                    ends.append(_end(decision.name, now, chain, line))
        cases = _merged(after)
        if len(cases) > MOST:  # either verdict for those that are followed no further
            ends += [_end(verdict, one, chain, line) for one in cases[MOST:] for verdict in ("accept", "drop")]
            cases = cases[:MOST]
        if not cases:
            break
    return _merged([*cases, *returned])


def _worth_asking(chain: RuleChain, now: Callable[[], list[_Case]]) -> Iterator[RuleLine]:
    """The lines of a chain without those that no packet meets which stays one and as it is."""
    cases, place = now(), 0
    if chain.index is not None and len(cases) == 1:
        start = cases[0].fields
        for number in (*chain.index.numbers(start), len(chain.lines)):
            cases = now()
            if len(cases) != 1 or cases[0].fields is not start:
                break
            if number < len(chain.lines):
                yield chain.lines[number]
            place = number + 1
    yield from chain.lines[place:]


def _jumped(
    rules: Rules,
    chain: RuleChain,
    line: RuleLine,
    decision: Decision,
    now: _Case,
    ends: Ends,
    *,
    depth: int,
) -> list[_Case]:
    prefix = chain.key[0]
    target = rules.chains.get((prefix, chain.table, decision.target))
    met = _with(now, chain, line, decision.name)
    if target is None or depth >= MOST_JUMPS:
        if met.plain:
            return [met]
        unsure = _doubting(met, chain, line, f"chain {decision.target} is not there")
        ends.append(_end("drop", unsure, chain, line))
        return [unsure]
    return _through(rules, target, [met], ends, depth=depth + 1)


def _with(case: _Case, chain: RuleChain, line: RuleLine, verdict: str) -> _Case:
    return replace(case, hits=(*case.hits, MatchedLine(chain, line, verdict)))


def _doubting(case: _Case, chain: RuleChain, line: RuleLine, reason: str) -> _Case:
    if case.brief or not line.acts:  # a line that counts or logs changes nothing, be it met or not
        return case
    return replace(case, doubts=(*case.doubts, UncertainLine(chain, line, reason)))


def _end(verdict: str, case: _Case, chain: RuleChain, line: RuleLine, nat: Translate | None = None) -> ChainEnd:
    hit = MatchedLine(chain, line, verdict)
    return ChainEnd(verdict=verdict, fields=case.fields, by=hit, hits=(*case.hits, hit), doubts=case.doubts, nat=nat)


def _merged(cases: list[_Case]) -> list[_Case]:
    """Packets that are alike are one, with the doubts of the surer; too many become the first with a doubt."""
    if len(cases) < 2:
        return cases
    found: list[_Case] = []
    for case in cases:
        for place, one in enumerate(found):
            if one.fields is case.fields or one.fields == case.fields:
                if len(case.doubts) < len(one.doubts):
                    found[place] = case
                break
        else:
            found.append(case)
    return found


def _steps(chain: RuleChain, line: RuleLine, case: _Case) -> Iterator[Step]:
    """The ways of a packet through one line."""
    fields = case.fields
    decision: Decision | Translate | None = None
    for part in line.parts:
        if isinstance(part, Test | AnyFlag):
            answer = part.holds(fields)
            if answer:
                continue
            if answer is False or case.plain:
                yield "next", replace(case, fields=fields), None
                return
            case = _doubting(case, chain, line, _asked(part))
            yield "next", replace(case, fields=fields), None
        elif isinstance(part, UncertainTest):
            case = _doubting(case, chain, line, part.reason)
            yield "next", replace(case, fields=fields), None
            if case.plain:
                return
        elif isinstance(part, SetField | NoTrack):
            fields = {**fields, **effects_of(part, fields)}
        elif isinstance(part, DecisionMap):
            options = _decisions(part, fields)
            unsure = len(options) > 1
            if unsure:
                case = _doubting(case, chain, line, "vmap")
            for one in [None] if unsure and case.plain else options:
                if one is None:
                    yield "next", replace(case, fields=fields), None
                else:
                    yield "end", replace(case, fields=fields), one
            return
        else:
            decision = part
            break
    yield "met", replace(case, fields=fields), decision


def effects_of(part: SetField | NoTrack, fields: Fields) -> dict[str, Any]:
    """The fields that a line changes."""
    if isinstance(part, NoTrack):
        return {} if fields.get("ct entry") else {"ct state": 64}
    found = value_of(part.value, fields) if part.value is not None else None
    if MISSING in {found, read(fields, part.key)}:  # a mark of a connection that is not tracked, or not yet
        return {}
    effects: dict[str, Any] = {part.key: found}
    if part.key == "meta mark":  # a route that was asked for by the mark may be another now
        effects |= {key: None for key in fields if key.startswith("fib ") and "mark" in key}
    return effects


def _decisions(part: DecisionMap, fields: Fields) -> list[Decision | None]:
    """What a map may decide; None for a packet that it does not have, which ends the line."""
    values = tuple([value_of(key, fields) for key in part.keys])
    if MISSING in values:
        return [None]
    if part.moving:
        return [None, *dict.fromkeys(part.decisions)]
    if (found := part.exact.get(values)) is not None:  # type: ignore[arg-type]  # what is no atom is in no map
        return [found]
    unsure: list[Decision | None] = []
    edges = [(as_bounds(atoms), decision) for atoms, decision in part.exact.items()]
    plain = not any(value is None or isinstance(value, tuple) for value in values)
    for bounds, decision in (*part.entries, *([] if plain else edges)):
        match = all_of(map(holds, bounds, values))
        if match:
            return [decision, *unsure]
        if match is None:
            unsure.append(decision)
    return [None, *unsure]


def _asked(part: Test | AnyFlag) -> str:
    keys = part.keys if isinstance(part, Test) else (part.key,)
    return " . ".join(filter(None, (getattr(key, "key", "") for key in keys))) or "a test"
