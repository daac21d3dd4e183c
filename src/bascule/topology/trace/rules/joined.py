"""Two ``!=`` beside each other that nft loads as one: ``tcp sport != 22 tcp dport != 22`` (nft 1.0.6, measured).

nft joins tests of fields that lie side by side in a header into one comparison. Of two ``!=`` that makes "not both
the same" of "neither the same", and the listing still shows what was written. Newer versions may differ, so a packet
of which the two readings say different things meets the rule perhaps.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

from msgspec.structs import replace

from bascule.topology.trace.rules.lines import Part, RuleLine
from bascule.topology.trace.rules.raw import ARP, ETHERNET, TRANSPORT
from bascule.topology.trace.rules.tests import Field, Test, UncertainTest

PLACES = {name: (offset, offset + length) for layout in (ETHERNET, ARP) for offset, length, name in layout}
PLACES |= {f"{header} {str(name)[3:]}": (offset, offset + length)
           for offset, length, name in TRANSPORT for header in ("th", "tcp", "udp")}  # fmt: skip
WHY = "nft may have loaded its two != as one"


def spread(line: RuleLine) -> Iterator[RuleLine]:
    """The line; where two of its tests may be one, the part of it that is sure, and those that are not."""
    parts = line.parts
    for place, (one, other) in enumerate(pairwise(parts)):
        if isinstance(one, Test) and isinstance(other, Test) and _are_joined(one, other):
            before, after = parts[:place], parts[place + 2 :]
            yield line
            for first, second in ((_same(one), other), (one, _same(other))):
                unsure: tuple[Part, ...] = (*before, first, second, UncertainTest(WHY), *after)
                yield replace(line, parts=unsure)
            return
    yield line


def _same(test: Test) -> Test:
    return replace(test, negated=False)


def _are_joined(one: Test, other: Test) -> bool:
    ends = []
    for test in (one, other):
        key = test.keys[0]
        plain = len(test.keys) == 1 and len(test.exact) == 1 and not test.ranged and not test.moving
        if not (test.negated and plain and isinstance(key, Field) and key.key in PLACES):
            return False
        ends.append((key.key.split(" ", 1)[0], *PLACES[key.key]))
    (header, _, end), (second, start, _) = ends
    return header == second and end == start
