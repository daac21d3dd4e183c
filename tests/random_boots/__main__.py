"""``python -m tests.random_boots COUNT [FIRST] [DIALECT…]``: hosts by their seeds, and what was wrong of each."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from tests.persist.test_takeover import HOSTS
from tests.random_boots.run import faults


def main() -> int:
    """1 where something was wrong; what was seen of those stays."""
    count, first = int(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 0
    top = Path(tempfile.mkdtemp(prefix="random-boots-"))
    wrong = 0
    for seed in range(first, first + count):
        for dialect in sys.argv[3:] or HOSTS:
            refused: list[str] = []
            try:
                found = list(faults(seed, dialect, top / f"{seed}-{dialect}", refused))
            except AssertionError as error:
                found = [str(error)]
            for words in refused:
                print(f"{seed} {dialect}: refused: {words}", flush=True)
            wrong += bool(found)
            for words in found:
                print(f"{seed} {dialect}: {words}", flush=True)
    print(f"{count} hosts of each dialect, {wrong} of which something was wrong; files: {top}")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
