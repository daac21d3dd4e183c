"""The main job: ``bascule rehearse examples/production.yaml``, whole, from the shell's point of view."""

from __future__ import annotations

from pathlib import Path

from benchmarks.floors import Interpreter
from benchmarks.makers import BASCULE
from benchmarks.measure import Row, in_turn, process, ratio

SITE = Path(__file__).parents[1] / "examples" / "production.yaml"


def run(*, quick: bool) -> list[Row]:
    argv = (*BASCULE, "rehearse", str(SITE))
    floor = Interpreter("rehearse", str(SITE))
    whole, bare = in_turn(lambda: process(argv), floor, 3 if quick else 10)
    what = "rehearse examples/production.yaml, whole, by the interpreter with the same imports"
    note = "to see that nobody answers takes a wait"
    return [Row(what, whole, bare, ratio(whole, bare), "×", 10.0, note=note)]
