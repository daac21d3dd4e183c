"""What the programs that try random hosts print of each seed."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

Faults = Callable[[Path, list[str]], Iterator[str]]


def seeds() -> range:
    """Those of the command line: COUNT and FIRST."""
    count, first = int(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 0
    return range(first, first + count)


def report(hosts: Iterable[tuple[str, Faults]]) -> int:
    """What was wrong of each, and what was refused; 1 where something was wrong. The files stay."""
    top = Path(tempfile.mkdtemp(prefix="random-"))
    asked = wrong = 0
    for name, faults in hosts:
        folder = top / name.replace(" ", "-")
        folder.mkdir()
        refused: list[str] = []
        try:
            found = list(faults(folder, refused))
        except AssertionError as error:  # what was to be asked could not be
            found = [str(error)]
        asked, wrong = asked + 1, wrong + bool(found)
        for words in (*(f"refused: {words}" for words in refused), *found):
            print(f"{name}: {words}", flush=True)
    print(f"{asked} hosts, {wrong} of which something was wrong; files: {top}")
    return 1 if wrong else 0
