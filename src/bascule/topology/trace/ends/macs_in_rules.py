"""The MACs that rules ask for."""

from __future__ import annotations

from collections.abc import Iterator

from bascule.topology.trace.rules.lines import Rules
from bascule.topology.trace.rules.tests import Field, Test
from bascule.topology.trace.rules.values import MACS


def macs_in_rules(rules: Rules, *, bridged: bool) -> set[int]:
    """All that stand in tests as they are; of ranges and masks the first and the last.

    ``bridged``: also those of rules that frames meet in bridges alone.
    """
    chains = (chain for chain in rules.chains.values() if bridged or chain.family != "bridge")
    lines = (line for chain in chains for line in chain.lines)
    return {mac for line in lines for part in line.parts if isinstance(part, Test) for mac in _macs(part)}


def _macs(test: Test) -> Iterator[int]:
    for place, key in enumerate(test.keys):
        if isinstance(key, Field) and key.key in MACS:
            yield from (one for atoms in test.exact if isinstance(one := atoms[place], int))
            for bounds in test.ranged:
                yield from (one for one in bounds[place] if isinstance(one, int))
