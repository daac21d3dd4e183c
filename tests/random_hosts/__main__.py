"""``python -m tests.random_hosts COUNT [FIRST]``: hosts by their seeds, and what was wrong of each."""

from __future__ import annotations

import sys
from functools import partial

from tests.random_hosts.run import faults
from tests.seeds import report, seeds

if __name__ == "__main__":
    sys.exit(report((str(seed), partial(faults, seed)) for seed in seeds()))
