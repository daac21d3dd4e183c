"""In which order lines that run sideways lie under each other, so that few wires cross them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import permutations

FEW = 6
"""So many lines are tried in every order."""

Spots = Mapping[str, Sequence[int]]


def in_order(names: Sequence[str], above: Spots, below: Spots) -> list[str]:
    """The lines from the top; ``above`` and ``below`` say where the wires of each come in, from either side.

    A wire from above crosses the lines over its own, one from below those under it. Among equal orders the one that
    is nearest to the given one comes first.
    """
    cost = {(one, other): _crossed(one, other, above, below) for one in names for other in names if one != other}

    def whole(order: Sequence[str]) -> int:
        return sum(cost[one, other] for place, one in enumerate(order) for other in order[place + 1 :])

    if len(names) <= FEW:
        best_of_all: Sequence[str] = min(permutations(names), key=whole)
        return list(best_of_all)
    order = list(names)
    for name in names:  # each once to its best place among the others
        rest = [other for other in order if other != name]
        here = sum(cost[name, other] for other in rest)
        best, least = 0, here
        for place, other in enumerate(rest):
            here += cost[other, name] - cost[name, other]
            if here < least:
                best, least = place + 1, here
        order = [*rest[:best], name, *rest[best:]]
    return order


def _crossed(upper: str, lower: str, above: Spots, below: Spots) -> int:
    """How many wires cross one of two lines if the first lies over the second."""

    def within(name: str, spots: Sequence[int]) -> int:
        own = [*above.get(name, ()), *below.get(name, ())]
        return sum(min(own) < x < max(own) for x in spots) if own else 0

    return within(upper, above.get(lower, ())) + within(lower, below.get(upper, ()))
