"""Small words that several pages of a survey share."""

from __future__ import annotations

from collections.abc import Iterable

from bascule.survey.frame import Tags


def several(number: int, noun: str) -> str:
    """``1 frame``, ``2 frames``."""
    return f"{number} {noun if number == 1 else noun + 's'}"


def tag_words(tags: Tags) -> str:
    """``untagged``, ``VLAN 30``, ``VLAN 30 in 100``."""
    if not tags:
        return "untagged"
    return f"VLAN {tags[0]}" if len(tags) == 1 else f"VLAN {'.'.join(map(str, tags[1:]))} in {tags[0]}"


def listed(words: Iterable[str], *, most: int = 6) -> str:
    """``a, b and 3 more``."""
    every = list(words)
    if len(every) <= most:
        return ", ".join(every)
    return f"{', '.join(every[:most])} and {len(every) - most} more"
