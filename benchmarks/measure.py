"""Time whole processes side by side: ours and a peer's in turn, A B A B, so that drift hits both alike."""

from __future__ import annotations

import json
import math
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from typing import Any, Literal

from msgspec import Struct
from msgspec.structs import asdict

from bascule.system.net.netns import Namespace

# Starts a program and says what it cost. A process of its own, because the kernel counts the memory of whoever starts
# a program as the program's: behind a large benchmark every peer would look as large.
METER = """
import json, os, sys, time
source, answer, *argv = sys.argv[1:]
null = os.open(os.devnull, os.O_RDWR)
inputs = [(os.POSIX_SPAWN_DUP2, int(source), 0), (os.POSIX_SPAWN_DUP2, null, 1)]
start = time.perf_counter()
pid = os.posix_spawn(argv[0], argv, os.environ, file_actions=inputs)
_, status, usage = os.wait4(pid, 0)
wall = time.perf_counter() - start
cost = [os.waitstatus_to_exitcode(status), wall, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024]
os.write(int(answer), json.dumps(cost).encode())
"""
# a user's Python keeps its bytecode; without it every verb would be compiled anew each time
NOT_A_USERS = ("PYTHONDONTWRITEBYTECODE", "PYTHONUNBUFFERED", "PYTHONPROFILEIMPORTTIME")


class Run(Struct, frozen=True):
    """One process from start to end: wall and CPU seconds (with its children), peak memory of the largest in MiB."""

    wall_s: float
    cpu_s: float
    peak_mib: float


class Figures(Struct, frozen=True):
    """Smallest, middle and largest of several runs."""

    minimum: float
    median: float
    maximum: float

    @classmethod
    def of(cls, values: Sequence[float]) -> Figures:
        return cls(min(values), statistics.median(values), max(values))

    def __str__(self) -> str:
        return f"{self.median:.3f} ({self.minimum:.3f}–{self.maximum:.3f})"

    def as_json(self) -> dict[str, float]:
        return {key: round(value, 6) for key, value in asdict(self).items()}


class Usage(Struct, frozen=True):
    """Wall time, CPU time and peak memory of several runs of one program."""

    wall_s: Figures
    cpu_s: Figures
    peak_mib: Figures

    @classmethod
    def of(cls, runs: Sequence[Run]) -> Usage:
        return cls(*(Figures.of([getattr(run, key) for run in runs]) for key in ("wall_s", "cpu_s", "peak_mib")))

    def __str__(self) -> str:
        memory = self.peak_mib
        whole = f"{memory.median:.0f} ({memory.minimum:.0f}–{memory.maximum:.0f}) MiB"
        return f"{self.wall_s} s, CPU {self.cpu_s} s, {whole}"

    def as_json(self) -> dict[str, Any]:
        return {key: getattr(self, key).as_json() for key in ("wall_s", "cpu_s", "peak_mib")}


class Row(Struct, frozen=True):
    """One line of the table: a claim, what was measured, and whether it holds. A ratio is ours by peer, or as named.

    ``ours`` and ``peer`` are programs where programs were timed, else words. A limit of infinity makes no claim: the
    line is there to be known.
    """

    name: str
    ours: Usage | str
    peer: Usage | str
    value: float
    unit: str
    limit: float
    at_most: bool = True
    note: str = ""

    @property
    def passes(self) -> bool:
        return self.value <= self.limit if self.at_most else self.value >= self.limit

    @property
    def claims(self) -> bool:
        return math.isfinite(self.limit)

    def as_json(self) -> dict[str, Any]:
        told = {
            "ours": str(self.ours),
            "peer": str(self.peer),
            "limit": self.limit if self.claims else None,
            "passes": self.passes,
        }
        timed = {
            f"{side}_usage": used.as_json()
            for side, used in (("ours", self.ours), ("peer", self.peer))
            if isinstance(used, Usage)
        }
        return {**asdict(self), **told, **timed}


class Curve(Struct, frozen=True):
    """One job over growing sizes: ``unit`` is what is counted (bridges, guests), ``points`` the usage at each size."""

    name: str
    unit: str
    points: Mapping[int, Usage]
    by: Literal["cpu_s", "wall_s"] = "cpu_s"

    @property
    def exponent(self) -> float | None:
        """How the time beyond that of the smallest size grows: 1 is linear, 2 quadratic; None with too few points.

        CPU time where it can be had, because a busy machine blurs it less; its minimum, because noise only adds.
        """
        sizes = sorted(self.points)
        times: dict[int, Figures] = {size: getattr(self.points[size], self.by) for size in sizes}
        first = times[sizes[0]].minimum
        grown = [(n, times[n].minimum - first) for n in sizes[1:]]
        return slope([(n, cost) for n, cost in grown if cost > MEASURABLE_S])

    def each_kib(self) -> float | None:
        """Memory for each further object, in KiB, between the smallest and the largest size."""
        sizes = sorted(self.points)
        if len(sizes) < 2:
            return None
        low, high = (self.points[n].peak_mib.median for n in (sizes[0], sizes[-1]))
        return (high - low) * 1024 / (sizes[-1] - sizes[0])

    def as_json(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "unit": self.unit,
            "points": {str(size): usage.as_json() for size, usage in self.points.items()},
            "exponent": self.exponent,
            "memory_each_kib": self.each_kib(),
        }


MEASURABLE_S = 0.02  # of CPU time: below that the clock and the start-up say more than the work


class Findings(Struct, frozen=True):
    """What a benchmark found: claims, curves, and what it could not run, with the reason."""

    rows: Sequence[Row] = ()
    curves: Sequence[Curve] = ()
    left_out: Mapping[str, str] | None = None


def slope(points: Sequence[tuple[float, float]]) -> float | None:
    """The exponent of a power law through the points: least squares in log-log."""
    if len(points) < 2:
        return None
    xs, ys = zip(*((math.log(x), math.log(y)) for x, y in points), strict=True)
    return statistics.linear_regression(xs, ys).slope


def process(
    argv: Sequence[str],
    *,
    env: Mapping[str, str] | None = None,
    stdin: bytes = b"",
    ok: tuple[int, ...] = (0,),
    namespace: Namespace | None = None,
    timeout_s: float = 900,
) -> Run:
    """Run a program to its end; what it prints is thrown away, unless it fails.

    Raises LookupError where the program is not installed, RuntimeError with its words where it fails.
    """
    whole = {key: value for key, value in {**os.environ, **(env or {})}.items() if key not in NOT_A_USERS}
    with (
        tempfile.TemporaryFile() as source,
        tempfile.TemporaryFile() as answer,
        tempfile.TemporaryFile() as words,
        namespace.entered() if namespace else nullcontext(),
    ):
        source.write(stdin)
        source.flush()
        source.seek(0)
        fds = (source.fileno(), answer.fileno())
        meter = (sys.executable, "-S", "-E", "-c", METER, *map(str, fds), tool(argv[0]), *argv[1:])
        subprocess.run(
            meter, stdout=subprocess.DEVNULL, stderr=words, env=whole, pass_fds=fds, timeout=timeout_s, check=False
        )
        answer.seek(0)
        words.seek(0)
        told, said = answer.read(), words.read().decode(errors="replace")[-2000:].strip()
    if not told:
        raise RuntimeError(f"{' '.join(argv)} could not be started: {said}")
    status, wall_s, cpu_s, peak_mib = json.loads(told)
    if status not in ok:
        raise RuntimeError(f"{' '.join(argv)} ended with {status}: {said}")
    return Run(wall_s, cpu_s, peak_mib)


def tool(name: str) -> str:
    """The path of a program. Raises LookupError where it is not installed."""
    found = shutil.which(name, path=os.environ.get("PATH", os.defpath) + ":/usr/sbin:/sbin")
    if found is None:
        raise LookupError(f"{name} is not installed (make bench-tools)")
    return found


def in_turn(ours: Callable[[], Run], peer: Callable[[], Run], runs: int) -> tuple[Usage, Usage]:
    """Both once to warm up, then ``runs`` times in turn."""
    ours()
    peer()
    pairs = [(ours(), peer()) for _ in range(runs)]
    return Usage.of([a for a, _ in pairs]), Usage.of([b for _, b in pairs])


def ratio(ours: Usage, peer: Usage) -> float:
    """The ratio of the medians of wall time."""
    return ours.wall_s.median / peer.wall_s.median
