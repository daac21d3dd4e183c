"""The main job: ``bascule rehearse examples/production.yaml``, whole, from the shell's point of view."""

from __future__ import annotations

from pathlib import Path

from benchmarks.makers import BASCULE
from benchmarks.measure import Row, process, repeated

SITE = Path(__file__).parents[1] / "examples" / "production.yaml"


def run(*, quick: bool) -> list[Row]:
    argv = (*BASCULE, "rehearse", str(SITE))
    whole = repeated(lambda: process(argv), 3 if quick else 10)
    return [Row("rehearse examples/production.yaml, whole", whole, "", whole.wall_s.median, "s", 2.0)]
