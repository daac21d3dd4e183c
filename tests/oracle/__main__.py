"""Random hosts against the kernel: ``python -m tests.oracle HOSTS [FIRST_SEED [MOST_WRONG]]``.

Each disagreement is made as small as it goes and kept in ``tests/oracle/found`` with what the kernel did. Stopped by
SIGINT, it says how far it came.
"""

from __future__ import annotations

import contextlib
import sys
import time

from tests.lab import open_lab
from tests.oracle.compare import Difference
from tests.oracle.lab import opened
from tests.oracle.random_host import Generator
from tests.oracle.run import Tally, one_host
from tests.oracle.shrink import shrunk, write_case

REPORTED = 500  # hosts between two lines that say how far it is


def main() -> int:
    numbers = [int(word) for word in sys.argv[1:]]
    hosts, first, stop = (*numbers, *(100, 0, 5)[len(numbers) :])
    tally, started = Tally(), time.monotonic()
    with open_lab() as lab, opened(lab) as room, contextlib.suppress(KeyboardInterrupt):
        for seed in range(first, first + hosts):
            found = one_host(room, seed, tally)
            for difference in found[:2]:
                print(f"seed {seed}: {difference}\n", flush=True)
            wrong = next((one for one in found if isinstance(one, Difference)), None)
            if wrong is not None:
                print(f"case {write_case(seed, shrunk(room, Generator(seed).host(), wrong), wrong)}", flush=True)
            if len(tally.wrong) >= stop:
                break
            if tally.hosts % REPORTED == 0:
                print(f"{tally}, {time.monotonic() - started:.1f} s", flush=True)
    print(f"{tally}, {time.monotonic() - started:.1f} s")
    return 1 if tally.wrong else 0


if __name__ == "__main__":
    raise SystemExit(main())
