"""``python -m tests.random_boots COUNT [FIRST] [DIALECT…]``: hosts by their seeds, and what was wrong of each."""

from __future__ import annotations

import sys
from functools import partial

from tests.random_boots.run import CHOICES, faults
from tests.seeds import report, seeds

if __name__ == "__main__":
    names = sys.argv[3:] or CHOICES
    sys.exit(report((f"{seed} {name}", partial(faults, seed, name)) for seed in seeds() for name in names))
