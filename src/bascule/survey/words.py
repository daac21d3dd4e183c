"""Small words that several pages of a survey share."""

from __future__ import annotations

from collections.abc import Iterable


def several(number: int, noun: str) -> str:
    """``1 frame``, ``2 frames``."""
    return f"{number} {noun if number == 1 else noun + 's'}"


def listed(words: Iterable[str], *, most: int = 6) -> str:
    """``a, b and 3 more``."""
    every = list(words)
    if len(every) <= most:
        return ", ".join(every)
    return f"{', '.join(every[:most])} and {len(every) - most} more"
