"""A field of many packets at once: the value that each member of one side has in it."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterable, Sequence
from itertools import accumulate
from operator import or_

from bascule.topology.trace.rules.tests import Atom, Bounds, Test


class Column:
    """The values of a field. ``masks`` has the bits of each member; ``is_source`` says that these are senders."""

    def __init__(self, values: Sequence[Atom], masks: Sequence[int], *, is_source: bool) -> None:
        self.values = values
        self.masks = masks
        self.is_source = is_source
        self.by_value: dict[Atom, int] = {}
        for value, mask in zip(values, masks, strict=True):
            self.by_value[value] = self.by_value.get(value, 0) | mask
        self._alike: dict[Bounds, int] = {}
        self._tested: dict[int, tuple[Test, int]] = {}
        self._sorted: list[int] = sorted(value for value in self.by_value if isinstance(value, int))
        self._below = [0, *accumulate((self.by_value[value] for value in self._sorted), or_)]

    def within(self, bounds: Bounds) -> int:
        """The members whose value lies within bounds."""
        if isinstance(bounds, str):
            if not bounds.endswith("*"):
                return self.by_value.get(bounds, 0)
            if bounds not in self._alike:
                self._alike[bounds] = _union(
                    mask for value, mask in self.by_value.items() if str(value).startswith(bounds[:-1])
                )
            return self._alike[bounds]
        low, high = bounds
        if low == high:
            return self.by_value.get(low, 0)
        first, last = bisect_left(self._sorted, low), bisect_right(self._sorted, high)
        return self._below[last] & ~self._below[first] if last > first else 0

    def among(self, test: Test) -> int:
        """The members whose value is one of a test's elements, whether that is negated or not."""
        known = self._tested.get(id(test))
        if known is not None:
            return known[1]
        mask = 0
        if len(test.exact) < len(self.by_value):
            for (one,) in test.exact:
                mask |= self.by_value.get(one, 0)
        else:
            for one, bits in self.by_value.items():
                if (one,) in test.exact:
                    mask |= bits
        for (bounds,) in test.ranged:
            mask |= self.within(bounds)
        self._tested[id(test)] = test, mask
        return mask

    def mapped(self, change: Callable[[int], int]) -> Column:
        """The column of a value that each member's is made into."""
        values = [change(value) if isinstance(value, int) else value for value in self.values]
        return Column(values, self.masks, is_source=self.is_source)


class Sampled(int):
    """A number of one packet that stands for those of its column; the walk hands it on as it is."""

    column: Column

    @classmethod
    def of(cls, value: int, column: Column) -> Sampled:
        """A value with its column."""
        found = cls(value)
        found.column = column
        return found


def _union(masks: Iterable[int]) -> int:
    found = 0
    for mask in masks:
        found |= mask
    return found
