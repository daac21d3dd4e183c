"""How long tests wait for something. It costs nothing to wait long: a wait ends when what it waits for has come.

A limit says that something hangs, never that a machine is slow. That work is linear is counted (tests/work.py), and how
fast it is stands in benchmarks/.
"""

from __future__ import annotations

HUNG_S = 300.0  # what has not come by then never will


def patient(seconds: float) -> float:
    """The limit of a wait for what a quiet machine does in so many seconds at the latest."""
    return max(10 * seconds, 60.0)
