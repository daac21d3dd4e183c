"""The model against the kernel, on random hosts with real frames."""

from __future__ import annotations

import time

import pytest

from tests.lab import Lab
from tests.oracle import asking
from tests.oracle.lab import TRACKED_S, opened
from tests.oracle.random_host import Generator
from tests.oracle.run import Tally, differences_of, one_host

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


@pytest.mark.kernel
def test_an_answer_that_comes_late_is_still_of_its_connection(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    assert TRACKED_S > 5 * asking.LONGEST_S  # a busy machine sends and answers no probe that much later
    collect = asking._collect
    waits = [2.5, *[0.0] * 9]

    def late(*given: object) -> None:
        time.sleep(waits.pop(0))
        collect(*given)  # type: ignore[arg-type]  # as it came

    monkeypatch.setattr(asking, "_collect", late)
    with opened(lab) as room:  # a host with NAT, which the kernel takes back only while it knows the connection
        found = differences_of(room, Generator(4262).host(), Tally(), 4262)
    assert [str(one) for one in found] == []
    assert len(waits) == 9  # and it was not asked again
