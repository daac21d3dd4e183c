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
    SetField,
    keys_of,
)
from bascule.topology.trace.rules.tests import AnyFlag, AnyTest, Bounds, Field, Test, UncertainTest

LAST = {"accept", "drop", "reject", "return", "goto"}  # after which nothing of the chain is met
MOST = 400  # lines of a chain in which every one is held against every other; of longer ones equal tests are found
INDEXES = frozenset({"meta iif", "meta oif"})


class ShadowedLine(Struct, frozen=True):
    """A line that never matches, and the earlier one that takes whatever it asks for."""

    chain: RuleChain
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
        by = equal.get(tests) or equal.get(frozenset())
        if by is None and len(chain.lines) <= MOST:
            by = next((other for wide, other in taking if _covers(wide, tests)), None)
        if by is not None:
            yield ShadowedLine(chain, line, by)
        elif _ends(line) and not any(isinstance(one, UncertainTest) or _moves(one) for one in tests):
            taking.append((tests, line))
            equal[tests] = line


def lost_links(chain: RuleChain) -> Iterator[tuple[RuleLine, str]]:
    """Lines that ask for a link by a number that no link has any more (nft then shows the number)."""
    for line in chain.lines:
        for part in line.parts:
            if isinstance(part, Test):
                for key, names in zip(part.keys, zip(*_elements(part), strict=False), strict=False):
                    for name in names:
                        if isinstance(key, Field) and key.key in INDEXES and isinstance(name, str) and name.isdigit():
                            yield line, name


def _changes(part: Part) -> bool:
    return isinstance(part, SetField | NoTrack | DecisionMap) or (isinstance(part, Decision) and part.name == "jump")


def _may_change(tests: frozenset[AnyTest]) -> bool:
    keys = keys_of(RuleLine(parts=tuple(tests)))
    return any("mark" in key or key.startswith("ct ") or key.endswith("dscp") for key in keys)


def _elements(test: Test) -> Sequence[tuple[Bounds | int, ...]]:
    return tuple(joined(test.exact, test.ranged))


def _ends(line: RuleLine) -> bool:
    """Whether a packet that meets the line goes no further in its chain, and the line does nothing else."""
    rest = [part for part in line.parts if not isinstance(part, AnyTest)]
    return len(rest) == 1 and isinstance(rest[0], Decision) and rest[0].name in LAST


def _moves(test: AnyTest) -> bool:
    return isinstance(test, Test) and test.moving


def _covers(wide: frozenset[AnyTest], tests: frozenset[AnyTest]) -> bool:
    """Whether whatever passes ``tests`` passes the wider ones as well."""
    return all(one in tests or any(_within(other, one) for other in tests) for one in wide)


def _within(narrow: AnyTest, wide: AnyTest) -> bool:
    if isinstance(narrow, AnyFlag) and isinstance(wide, AnyFlag):
        same = narrow.key == wide.key and not narrow.negated and not wide.negated
        return same and narrow.flags & ~wide.flags == 0
    if not isinstance(narrow, Test) or not isinstance(wide, Test) or narrow.keys != wide.keys:
        return False
    if narrow.negated or wide.negated or narrow.moving:
        return False
    return all(any(_part_of(one, other) for other in _elements(wide)) for one in _elements(narrow))


def _part_of(one: Sequence[Bounds | int], other: Sequence[Bounds | int]) -> bool:
    return len(one) == len(other) and all(map(_inside, one, other))


def _inside(one: Bounds | int, other: Bounds | int) -> bool:
    if isinstance(other, str):
        return isinstance(one, str) and (one == other or (other.endswith("*") and one.startswith(other[:-1])))
    low, high = (one, one) if isinstance(one, int) else one if isinstance(one, tuple) else (-1, -1)
    first, last = (other, other) if isinstance(other, int) else other
    return low >= 0 and first <= low and high <= last
