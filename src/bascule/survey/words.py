"""Small words that several pages of a survey share."""

from __future__ import annotations


def several(number: int, noun: str) -> str:
    """``1 frame``, ``2 frames``."""
    return f"{number} {noun if number == 1 else noun + 's'}"
