"""How long it takes until something is on the screen: ``bascule --help`` against the import of its own toolkit."""

from __future__ import annotations

import sys

from benchmarks.measure import Row, in_turn, process, ratio, wall


def run(*, quick: bool) -> list[Row]:
    ours, peer = in_turn(
        lambda: process((sys.executable, "-m", "bascule", "--help")),
        lambda: process((sys.executable, "-c", "import click")),
        5 if quick else 20,
    )
    return [Row("bascule --help by `python -c 'import click'`", wall(ours), wall(peer), ratio(ours, peer), "×", 2.0)]
