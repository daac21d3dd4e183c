"""Rules that no packet can meet: an earlier one of their chain answers for them, or their link is lost. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import chain as joined

from msgspec import Struct

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
    keys_of,
)
from bascule.topology.trace.rules.tests import AnyFlag, AnyTest, Bounds, Expr, Field, Lookup, Test, UncertainTest
from bascule.topology.trace.rules.words import behind

LAST = {"accept", "drop", "reject", "return", "goto"}  # after which nothing of the chain is met
PASSING = {"accept", "return", "continue", "jump", "goto"}  # that lose nothing by themselves
MOST = 400  # lines of a chain in which every one is held against every other; of longer ones equal tests are found
INDEXES = frozenset({"meta iif", "meta oif"})
PROTOCOL, STATE = Field("meta l4proto"), Field("ct state")
PROTOCOLS = {"tcp": 6, "udp": 17, "icmp": 1, "icmpv6": 58}


class ShadowedLine(Struct, frozen=True):
    """A line that never matches, and the earlier one that takes whatever it asks for."""

    line: RuleLine
    by: RuleLine


def unmet(chain: RuleChain) -> Iterator[ShadowedLine]:
    """The lines of a chain that an earlier one leaves nothing for."""
    taking: list[tuple[frozenset[AnyTest], RuleLine]] = []
    equal: dict[frozenset[AnyTest], RuleLine] = {}
    for line in chain.lines:
        if any(_changes(part) for part in line.parts):  # what a packet is asked for may be another from here on
            taking = [one for one in taking if not _may_change(one[0])]
            equal = {tests: one for tests, one in equal.items() if not _may_change(tests)}
        tests = frozenset(part for part in line.parts if isinstance(part, AnyTest))
        tests |= frozenset(_implied(tests))
        by = equal.get(tests) or equal.get(frozenset())
        if by is None and len(chain.lines) <= MOST:
            by = next((other for wide, other in taking if _covers(wide, tests)), None)
        if by is not None:
            yield ShadowedLine(line, by)
        elif _ends(line) and not any(isinstance(one, UncertainTest) or _moves(one) for one in tests):
            taking.append((tests, line))
            equal[tests] = line


def lost_links(chain: RuleChain) -> Iterator[RuleLine]:
    """Lines that ask for a link by a number that no link has any more (nft then shows the number)."""
    return (line for line in chain.lines if any(_asks_a_lost_one(part) for part in line.parts))


def _asks_a_lost_one(part: Part) -> bool:
    looked_up: list[tuple[Sequence[Expr], Sequence[Bounds | int]]] = []
    if isinstance(part, Test | DecisionMap):
        looked_up += [(part.keys, row) for row in _elements(part)]
    elif isinstance(part, SetField) and isinstance(part.value, Lookup):
        looked_up += [(part.value.keys, row) for row, _ in part.value.entries]
    return any(
        isinstance(key, Field) and key.key in INDEXES and isinstance(name, str) and name.isdigit()
        for keys, row in looked_up
        for key, name in zip(keys, row, strict=False)
    )


def is_harmless(rules: Rules, chain: RuleChain) -> bool:
    """Whether whatever meets a base chain passes it as it came: nothing there drops, changes or translates it."""
    lines = (line for one in (chain, *behind(rules, chain)) for line in one.lines)
    parts = (part for line in lines for part in line.parts if not isinstance(part, AnyTest))
    decisions = joined.from_iterable(one.decisions if isinstance(one, DecisionMap) else (one,) for one in parts)
    is_open = chain.base is None or chain.base.policy == "accept"
    return is_open and all(isinstance(one, Decision) and one.name in PASSING for one in decisions)


def _changes(part: Part) -> bool:
    return isinstance(part, SetField | NoTrack | DecisionMap) or (isinstance(part, Decision) and part.name == "jump")


def _may_change(tests: frozenset[AnyTest]) -> bool:
    keys = keys_of(RuleLine(parts=tuple(tests)))
    return any("mark" in key or key.startswith("ct ") or key.endswith("dscp") for key in keys)


def _elements(test: Test | DecisionMap) -> Sequence[tuple[Bounds | int, ...]]:
    return tuple(joined(test.exact, test.ranged))


def _ends(line: RuleLine) -> bool:
    """Whether a packet that meets the line goes no further in its chain, and the line does nothing else."""
    rest = [part for part in line.parts if not isinstance(part, AnyTest)]
    only = rest[0] if len(rest) == 1 else None
    return isinstance(only, Translate) or (isinstance(only, Decision) and only.name in LAST)


def _moves(test: AnyTest) -> bool:
    return isinstance(test, Test) and (test.moving or test.lapse)


def _covers(wide: frozenset[AnyTest], tests: frozenset[AnyTest]) -> bool:
    """Whether whatever passes ``tests`` passes the wider ones as well."""
    return all(one in tests or any(_within(other, one) for other in tests) for one in wide)


def _implied(tests: frozenset[AnyTest]) -> Iterator[AnyTest]:
    """What a test of a header asks for as well, and nft leaves out: the protocol whose it is."""
    for test in tests:
        for key in test.keys if isinstance(test, Test) else ():
            number = PROTOCOLS.get(key.key.partition(" ")[0]) if isinstance(key, Field) else None
            if number is not None:
                yield Test((PROTOCOL,), frozenset({(number,)}))


def _within(narrow: AnyTest, wide: AnyTest) -> bool:
    if isinstance(narrow, AnyFlag) and isinstance(wide, AnyFlag):
        if narrow.key != wide.key or narrow.negated:
            return False
        if wide.negated:  # of a connection's state there is but one, of other flags there may be several
            return narrow.key == STATE and narrow.flags & wide.flags == 0
        return narrow.flags & ~wide.flags == 0
    if not isinstance(narrow, Test) or not isinstance(wide, Test) or narrow.keys != wide.keys:
        return False
    if narrow.negated or narrow.moving:
        return False
    if wide.negated:
        return not any(_meet(one, other) for one in _elements(narrow) for other in _elements(wide))
    return all(any(_part_of(one, other) for other in _elements(wide)) for one in _elements(narrow))


def _meet(one: Sequence[Bounds | int], other: Sequence[Bounds | int]) -> bool:
    """Whether two elements may have something in common."""
    return all(map(_touch, one, other))


def _touch(one: Bounds | int, other: Bounds | int) -> bool:
    if isinstance(one, str) or isinstance(other, str):
        return True  # names with a wildcard: nobody needs to know more
    low, high = (one, one) if isinstance(one, int) else one
    first, last = (other, other) if isinstance(other, int) else other
    return low <= last and first <= high


def _part_of(one: Sequence[Bounds | int], other: Sequence[Bounds | int]) -> bool:
    return len(one) == len(other) and all(map(_inside, one, other))


def _inside(one: Bounds | int, other: Bounds | int) -> bool:
    if isinstance(other, str):
        return isinstance(one, str) and (one == other or (other.endswith("*") and one.startswith(other[:-1])))
    low, high = (one, one) if isinstance(one, int) else one if isinstance(one, tuple) else (-1, -1)
    first, last = (other, other) if isinstance(other, int) else other
    return low >= 0 and first <= low and high <= last
