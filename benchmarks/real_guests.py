"""The production scenario with real guests: three virtual machines booted, proven and gone."""

from __future__ import annotations

import statistics
import sys

from bascule.guests.kernel import guest_image
from benchmarks.measure import Row, process, tool, wall
from benchmarks.rehearse import SITE


def run(*, quick: bool) -> list[Row]:
    """Raises LookupError where QEMU or a guest's kernel is missing."""
    tool("qemu-system-x86_64")
    try:
        guest_image()
    except Exception as why:
        raise LookupError(str(why)) from why
    argv = (sys.executable, "-m", "bascule", "rehearse", str(SITE), "--guests", "qemu")
    runs = [process(argv) for _ in range(1 if quick else 3)]
    middle = statistics.median(each.wall_s for each in runs)
    return [Row("rehearse --guests qemu examples/production.yaml", wall(runs), "", middle, "s", 30.0)]
