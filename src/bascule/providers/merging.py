"""The three-way merge of named values, for every provider whose part is a mapping of them."""

from __future__ import annotations

from collections.abc import Mapping


def merge_mapping(
    before: Mapping[str, str],
    wanted: Mapping[str, str],
    now: Mapping[str, str],
    after: Mapping[str, str],
    *,
    kept: list[str],
) -> dict[str, str]:
    """What each goes back to; ``kept`` gets a line for each that others have changed since."""
    found = {}
    for key, value in before.items():
        seen = now.get(key)
        if seen in {value, None} or wanted.get(key) != value or after.get(key) != value:
            found[key] = value
        else:
            kept.append(f"{key} is now {seen}")
            found[key] = seen or ""
    return found | {key: value for key, value in now.items() if key not in before and key not in wanted}
