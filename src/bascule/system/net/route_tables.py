"""Reading the names that a host gives to its routing tables."""

from __future__ import annotations

from pathlib import Path

from bascule.model.route_tables import FILES
from bascule.system.disk.files import find_below, read_below


def table_files(root: str | Path = "/") -> dict[str, str]:
    """The files below ``root`` with such names, in the order in which they count; one that cannot be read is none."""
    found = {}
    for pattern in FILES:
        for path in sorted(find_below(Path(root), pattern)):
            try:
                found[path] = read_below(Path(root), path)
            except (OSError, ValueError):
                continue
    return found
