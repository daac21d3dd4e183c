"""In which order lines that run sideways lie under each other, so that few wires cross them."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Mapping, Sequence
from itertools import permutations

from bascule.model.values import grouped

FEW = 6
"""So many lines are tried in every order."""

Spots = Mapping[str, Sequence[int]]


def in_order(names: Sequence[str], above: Spots, below: Spots) -> list[str]:
    """The lines from the top; ``above`` and ``below`` say where the wires of each come in, from either side.

    A wire from above crosses the lines over its own, one from below those under it. Among equal orders the one that
    is nearest to the given one comes first.
    """
    cost = _crossings(names, above, below)
    beside = grouped(pair for one, other in cost for pair in ((one, other), (other, one)))

    def whole(order: Sequence[str]) -> int:
        return sum(cost[one, other] for place, one in enumerate(order) for other in order[place + 1 :])

    if len(names) <= FEW:
        best_of_all: Sequence[str] = min(permutations(names), key=whole)
        return list(best_of_all)
    order = list(names)
    for name in names:  # each once to its best place among the others
        rest = [other for other in order if other != name]
        near = set(beside.get(name, ()))
        here = sum(cost[name, other] for other in near)
        best, least = 0, here
        for place, other in enumerate(rest) if near else ():
            if other in near:
                here += cost[other, name] - cost[name, other]
            if here < least:
                best, least = place + 1, here
        order = [*rest[:best], name, *rest[best:]]
    return order


def _crossings(names: Sequence[str], above: Spots, below: Spots) -> Counter[tuple[str, str]]:
    """How many wires cross one of two lines where the first lies over the second; most pairs have none."""
    spots = {name: [*above.get(name, ()), *below.get(name, ())] for name in names}
    lines = deque(sorted((min(own), max(own), name) for name, own in spots.items() if own))
    wires = [(x, name, True) for name in names for x in above.get(name, ())]
    wires += [(x, name, False) for name in names for x in below.get(name, ())]
    cost, ends = Counter[tuple[str, str]](), dict[str, int]()
    for x, name, from_above in sorted(wires):  # and which lines begin before it, and have not ended
        while lines and lines[0][0] < x:
            _, end, line = lines.popleft()
            ends[line] = end
        ends = {line: end for line, end in ends.items() if end > x}
        cost.update((line, name) if from_above else (name, line) for line in ends if line != name)
    return cost
