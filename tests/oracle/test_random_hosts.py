"""The model against the kernel, on random hosts with real frames."""

from __future__ import annotations

import pytest

from tests.lab import Lab
from tests.oracle.lab import opened
from tests.oracle.run import Tally, one_host

HOSTS = 150  # of each part; `python -m tests.oracle 10000` asks many


@pytest.mark.kernel
@pytest.mark.parametrize("part", [0, 1])
def test_model_and_kernel_agree_on_random_hosts(lab: Lab, part: int) -> None:
    tally = Tally()
    first = 100_000 * (part + 1)
    with opened(lab) as room:
        found = [str(one) for seed in range(first, first + HOSTS) for one in one_host(room, seed, tally)]
    assert found == []
    print(tally)
    assert tally.hosts == HOSTS
    assert tally.arrived > tally.probes / 4  # it would be easy to agree that nothing arrives
    assert tally.replied > tally.probes / 8
    assert tally.open < tally.probes / 20
    assert tally.swept > HOSTS
    assert tally.refused < tally.tables / 3
