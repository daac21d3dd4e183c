"""The production scenario with real guests: three virtual machines booted, proven and gone."""

from __future__ import annotations

from bascule.guests.kernel import guest_image
from benchmarks.makers import BASCULE
from benchmarks.measure import Row, Usage, process, tool
from benchmarks.rehearse import SITE


def run(*, quick: bool) -> list[Row]:
    """Raises LookupError where QEMU or a guest's kernel is missing."""
    tool("qemu-system-x86_64")
    try:
        guest_image()
    except Exception as why:
        raise LookupError(str(why)) from why
    argv = (*BASCULE, "rehearse", str(SITE), "--guests", "qemu")
    whole = Usage.of([process(argv) for _ in range(1 if quick else 3)])
    return [Row("rehearse --guests qemu examples/production.yaml", whole, "", whole.wall_s.median, "s", 30.0)]
