"""How long it takes until something is on the screen: ``bascule --help`` against the import of its own toolkit."""

from __future__ import annotations

import sys

from benchmarks.makers import BASCULE
from benchmarks.measure import Row, in_turn, process, ratio


def run(*, quick: bool) -> list[Row]:
    ours, peer = in_turn(
        lambda: process((*BASCULE, "--help")),
        lambda: process((sys.executable, "-c", "import click")),
        5 if quick else 20,
    )
    return [Row("bascule --help by `python -c 'import click'`", ours, peer, ratio(ours, peer), "×", 2.0)]
