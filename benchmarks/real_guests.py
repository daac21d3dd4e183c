"""The production scenario with real guests: three virtual machines booted, proven and gone."""

from __future__ import annotations

from bascule.errors import BasculeError
from bascule.twin import Cast
from bascule.twin.test_guest import libvirtd
from benchmarks.makers import BASCULE
from benchmarks.measure import Row, Usage, process
from benchmarks.rehearse import SITE


def run(*, quick: bool) -> list[Row]:
    """Raises LookupError where QEMU or a guest's kernel is missing."""
    try:
        Cast.of("qemu")
    except BasculeError as why:
        raise LookupError(str(why).splitlines()[0]) from why
    kinds = ["qemu"] if libvirtd.missing() else ["qemu", "libvirt"]
    return [_row(kind, 1 if quick else 3) for kind in kinds]


def _row(kind: str, count: int) -> Row:
    whole = Usage.of([process((*BASCULE, "rehearse", str(SITE), "--guests", kind)) for _ in range(count)])
    return Row(f"rehearse --guests {kind} examples/production.yaml", whole, "", whole.wall_s.median, "s", 30.0)
