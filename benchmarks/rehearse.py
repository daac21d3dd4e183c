"""The main job: ``bascule rehearse examples/production.yaml``, whole, from the shell's point of view."""

from __future__ import annotations

import statistics
import sys
from pathlib import Path

from benchmarks.measure import Row, process, wall

SITE = Path(__file__).parents[1] / "examples" / "production.yaml"


def run(*, quick: bool) -> list[Row]:
    argv = (sys.executable, "-m", "bascule", "rehearse", str(SITE))
    process(argv)
    runs = [process(argv) for _ in range(3 if quick else 10)]
    middle = statistics.median(each.wall_s for each in runs)
    return [Row("rehearse examples/production.yaml, whole", wall(runs), "", middle, "s", 2.0)]
