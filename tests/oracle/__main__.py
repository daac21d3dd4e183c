"""Random hosts against the kernel: ``python -m tests.oracle HOSTS [FIRST_SEED]``."""

from __future__ import annotations

import sys
import time

from tests.lab import open_lab
from tests.oracle.lab import opened
from tests.oracle.run import Tally, one_host


def main() -> int:
    hosts = int(sys.argv[1]) if len(sys.argv) > 1 else 100
    first = int(sys.argv[2]) if len(sys.argv) > 2 else 0
    stop = int(sys.argv[3]) if len(sys.argv) > 3 else 5
    tally = Tally()
    started = time.monotonic()
    with open_lab() as lab, opened(lab) as room:
        for seed in range(first, first + hosts):
            found = one_host(room, seed, tally)
            for difference in found[:2]:
                print(f"seed {seed}: {difference}\n", flush=True)
            if len(tally.wrong) >= stop:
                break
    print(f"{tally}, {time.monotonic() - started:.1f} s")
    return 1 if tally.wrong else 0


if __name__ == "__main__":
    raise SystemExit(main())
