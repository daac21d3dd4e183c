"""How long tests wait for something. It costs nothing to wait long: a wait ends when what it waits for has come.

A limit says that something hangs, never that a machine is slow. That work is linear is counted (tests/work.py), and how
fast it is stands in benchmarks/.
"""

from __future__ import annotations

import time
from collections.abc import Callable

HUNG_S = 300.0  # what has not come by then never will


def patient(seconds: float) -> float:
    """The limit of a wait for what a quiet machine does in so many seconds at the latest."""
    return max(10 * seconds, 60.0)


def rest_s(begun: float) -> float:
    """How long to rest before asking again what was asked since ``begun``: it leaves the processors to the others."""
    return min(max(0.05, 2 * (time.monotonic() - begun)), 0.5)


def wait_until(done: Callable[[], bool], seconds: float, what: str) -> None:
    """Wait for what a quiet machine has in so many seconds at the latest."""
    begun = last = time.monotonic()
    while not done():
        assert last < begun + patient(seconds), f"waited {patient(seconds):g} s for {what}"
        time.sleep(rest_s(last))
        last = time.monotonic()
