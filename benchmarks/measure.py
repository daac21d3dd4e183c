"""Time whole processes side by side: ours and a peer's in turn, A B A B, so that drift hits both alike."""

from __future__ import annotations

import os
import statistics
import subprocess
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

MIB = 1024  # ru_maxrss is in KiB on Linux


@dataclass(frozen=True, slots=True)
class Run:
    """One process from start to end: wall and CPU seconds (with its children), peak memory of the largest in MiB."""

    wall_s: float
    cpu_s: float
    peak_mib: float


@dataclass(frozen=True, slots=True)
class Figures:
    """Smallest, middle and largest of several runs."""

    minimum: float
    median: float
    maximum: float

    @classmethod
    def of(cls, values: Sequence[float]) -> Figures:
        return cls(min(values), statistics.median(values), max(values))

    def __str__(self) -> str:
        return f"{self.median:.3f} ({self.minimum:.3f}–{self.maximum:.3f})"


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the table: a claim, what was measured, and whether it holds. A ratio is ours by peer, or as named."""

    name: str
    ours: str
    peer: str
    value: float
    unit: str
    limit: float
    at_most: bool = True
    note: str = ""

    @property
    def passes(self) -> bool:
        return self.value <= self.limit if self.at_most else self.value >= self.limit

    def as_json(self) -> dict[str, Any]:
        return {**asdict(self), "passes": self.passes}


def process(
    argv: Sequence[str], *, env: dict[str, str] | None = None, stdin: bytes = b"", ok: tuple[int, ...] = (0,)
) -> Run:
    """Run a program to its end; what it prints is thrown away, unless it fails."""
    start = time.perf_counter()
    child = subprocess.Popen(
        argv,
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        env={**os.environ, **(env or {})},
    )
    _, stderr = b"", b""
    if child.stdin:
        child.stdin.write(stdin)
        child.stdin.close()
    if child.stderr:
        stderr = child.stderr.read()
        child.stderr.close()
    _, status, usage = os.wait4(child.pid, 0)
    wall = time.perf_counter() - start
    child.returncode = os.waitstatus_to_exitcode(status)
    if child.returncode not in ok:
        raise RuntimeError(f"{' '.join(argv)} ended with {child.returncode}: {stderr.decode(errors='replace')[-2000:]}")
    return Run(wall, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / MIB)


def in_turn(ours: Callable[[], Run], peer: Callable[[], Run], runs: int) -> tuple[list[Run], list[Run]]:
    """Both once to warm up, then ``runs`` times in turn."""
    ours()
    peer()
    pairs = [(ours(), peer()) for _ in range(runs)]
    return [a for a, _ in pairs], [b for _, b in pairs]


def ratio(ours: Sequence[Run], peer: Sequence[Run]) -> float:
    """The ratio of the medians of wall time."""
    return statistics.median(run.wall_s for run in ours) / statistics.median(run.wall_s for run in peer)


def wall(runs: Sequence[Run]) -> str:
    """Wall time of several runs, in words."""
    return f"{Figures.of([run.wall_s for run in runs])} s"
