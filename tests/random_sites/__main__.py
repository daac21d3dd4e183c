"""``python -m tests.random_sites COUNT [FIRST]``: sites by their seeds, and what was said falsely of each."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from tests.random_sites.run import faults


def main() -> int:
    """1 where something was said falsely; the files of those stay."""
    count, first = int(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 0
    folder = Path(tempfile.mkdtemp(prefix="random-sites-"))
    wrong = 0
    for seed in range(first, first + count):
        found = list(faults(seed, folder))
        wrong += bool(found)
        for words in found:
            print(f"{folder}/{seed}.yaml: {words}", flush=True)
        if not found:
            (folder / f"{seed}.yaml").unlink()
    print(f"{count} sites, {wrong} of which something was said falsely")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
