from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest
from benchmarks.parallel import cores, side_by_side

from bascule.errors import BasculeError


def test_results_come_in_order_from_processes_of_their_own() -> None:
    results = side_by_side(lambda part: (part * 2, os.getpid()), [1, 2, 3])
    assert [doubled for doubled, _ in results] == [2, 4, 6]
    assert len({pid for _, pid in results}) == 3
    assert results[0][1] == os.getpid()
    assert cores() >= 1


def test_what_a_part_raises_is_raised_here() -> None:
    def work(part: int) -> int:
        if part == 2:
            raise BasculeError.of("PART", "this part failed")
        return part

    with pytest.raises(BasculeError, match="this part failed"):
        side_by_side(work, [1, 2, 3])


def test_a_part_that_is_killed_is_an_error() -> None:
    def work(part: int) -> int:
        if part == 2:
            os.kill(os.getpid(), signal.SIGKILL)
        return part

    with pytest.raises(BasculeError, match="a process that did part of the work was killed"):
        side_by_side(work, [1, 2])


def test_nobody_is_left_behind() -> None:
    def work(part: int) -> int:
        if part == 1:
            raise BasculeError.of("FIRST", "the first failed")
        signal.pause()
        return part

    children = Path(f"/proc/self/task/{os.getpid()}/children")
    before = children.read_text()
    with pytest.raises(BasculeError, match="the first failed"):
        side_by_side(work, [1, 2, 3])
    assert children.read_text() == before
