"""``python -m tests.random_hosts COUNT [FIRST]``: hosts by their seeds, and what was wrong of each."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from tests.random_hosts.run import faults


def main() -> int:
    """1 where something was wrong; the files of those stay."""
    count, first = int(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 0
    top = Path(tempfile.mkdtemp(prefix="random-hosts-"))
    wrong = 0
    for seed in range(first, first + count):
        folder = top / str(seed)
        folder.mkdir()
        refused: list[str] = []
        found = list(faults(seed, folder, refused))
        for words in refused:
            print(f"{seed}: refused: {words}", flush=True)
        wrong += bool(found)
        for words in found:
            print(f"{seed}: {words}", flush=True)
    print(f"{count} hosts, {wrong} of which something was wrong; files: {top}")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
