"""The three-way merge of named values, for every provider whose part is a mapping of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TypeVar

T = TypeVar("T")


def merge_mapping(
    before: Mapping[str, T],
    wanted: Mapping[str, T],
    now: Mapping[str, T],
    after: Mapping[str, T],
    *,
    kept: list[str],
    words: Callable[[str, T], str] = "{} is now {}".format,
) -> dict[str, T]:
    """What each goes back to; ``kept`` gets a line, by ``words``, for each that others have changed since."""
    found = {}
    for key, value in before.items():
        seen = now.get(key)
        if seen is None or seen == value or wanted.get(key) != value or after.get(key) != value:
            found[key] = value
        else:
            kept.append(words(key, seen))
            found[key] = seen
    return found | {key: value for key, value in now.items() if key not in before and key not in wanted}


def changed(before: Mapping[str, object], after: Mapping[str, object]) -> tuple[str, ...]:
    """The names whose values differ, or that only one of the two has."""
    return tuple(name for name in {**before, **after} if before.get(name) != after.get(name))
