"""The work that a piece of code does, counted: it is the same on every machine, so tests may compare it.

Seconds are never compared: how long something took says as much about the machine and what else runs on it. How fast it
is stands in benchmarks/, beside something else that was measured in the same run.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from types import FrameType
from typing import Any

FOUR_TIMES = (
    5  # what is linear does 4 times the work for 4 times the input, and a little more; a quadratic one 16 times
)


def work(task: Callable[[], object]) -> int:
    """The lines of Python that ran and the functions that were called, C's as well, while this thread did the task.

    What one call of a C function costs is not seen.
    """
    count = 0

    def profile(frame: FrameType, event: str, arg: object) -> None:
        nonlocal count
        count += 1

    def trace(frame: FrameType, event: str, arg: object) -> Any:
        nonlocal count
        count += 1
        return trace

    tracing, profiling = sys.gettrace(), sys.getprofile()
    sys.settrace(trace)
    sys.setprofile(profile)
    try:
        task()
    finally:
        sys.setprofile(profiling)
        sys.settrace(tracing)
    return count


def assert_linear(task: Callable[[int], Callable[[], object]], number: int) -> None:
    """Four times the input is about four times the work. ``task`` makes an input of a size and the task."""
    quarter, whole = work(task(number // 4)), work(task(number))
    assert whole < FOUR_TIMES * quarter, f"{whole:,} steps for {number:,}, {quarter:,} for a quarter of it"
