"""How long things take."""

from __future__ import annotations

from time import perf_counter


class Clock:
    """Laps by name, in seconds."""

    def __init__(self) -> None:
        self.start = self._last = perf_counter()
        self.laps: dict[str, float] = {}

    def lap(self, name: str) -> None:
        """The time since the last lap."""
        now = perf_counter()
        self.laps[name] = now - self._last
        self._last = now

    def total(self) -> float:
        """The time since the beginning."""
        return perf_counter() - self.start
