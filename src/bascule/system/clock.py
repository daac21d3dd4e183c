"""How long things take, and what is going on meanwhile."""

from __future__ import annotations

from collections.abc import Callable
from time import monotonic, perf_counter, sleep

Progress = Callable[[str], None]  # is told what goes on now; nothing when that is over


def unseen(_: str) -> None:
    """Progress that nobody watches."""


SOON_S = 1.0  # what takes longer is told
_watching: list[Progress] = []


def watch_waits(tell: Progress) -> None:
    """Who is told what this process waits for, where that takes longer than a second."""
    _watching[:] = [tell]


def still_waiting(words: str) -> None:
    """Say what is waited for."""
    for tell in _watching:
        tell(words)


def wait_until(so: Callable[[], bool], *, within_s: float, every_s: float) -> bool:
    """Ask again and again whether it is so, for so long at most; whether it came so."""
    end = monotonic() + within_s
    while not so():
        if monotonic() > end:
            return False
        sleep(every_s)
    return True


class Clock:
    """Laps by name, in seconds; ``progress`` is told the name of each lap when it begins."""

    def __init__(self, progress: Progress | None = None) -> None:
        self.laps: dict[str, float] = {}
        self._start = perf_counter()
        self._begun = 0.0
        self._name = ""
        self._progress = progress

    def lap(self, name: str) -> None:
        """A lap begins, and the one before ends."""
        self.end()
        self._name, self._begun = name, perf_counter()
        if self._progress:
            self._progress(name)

    def end(self) -> None:
        """The lap ends."""
        if self._name:
            self.laps[self._name] = self.laps.get(self._name, 0.0) + perf_counter() - self._begun
        self._name = ""

    def total(self) -> float:
        """The time since the beginning."""
        return perf_counter() - self._start
