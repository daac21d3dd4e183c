"""The production scenario with real guests: three virtual machines booted, proven and gone.

The floor is one bare boot of the same kernel under QEMU, from power-on to power-off with nothing in between.
"""

from __future__ import annotations

from pathlib import Path

from tests.vm.lab import machine
from tests.vm.lab.kernel import Kernel

from bascule.errors import BasculeError
from bascule.twin import BackendChoice
from bascule.twin.test_guest import libvirtd
from bascule.twin.test_guest.kernel import guest_image
from benchmarks.makers import BASCULE
from benchmarks.measure import Figures, Row, Usage, process
from benchmarks.rehearse import SITE


def run(*, quick: bool) -> list[Row]:
    """Raises LookupError where QEMU or a guest's kernel is missing."""
    try:
        BackendChoice.of("qemu")
    except BasculeError as why:
        raise LookupError(str(why).splitlines()[0]) from why
    kinds = ["qemu"] if libvirtd.missing() else ["qemu", "libvirt"]
    return [_row(kind, 1 if quick else 3) for kind in kinds]


def _row(kind: str, count: int) -> Row:
    image = guest_image().kernel
    core = Kernel(version=image.name, image=image, root=Path("/"))
    argv = (*BASCULE, "rehearse", str(SITE), "--guests", kind)
    runs = [(process(argv), machine.bare_boot_s(core)) for _ in range(count)]
    whole, boot = Usage.of([run for run, _ in runs]), Figures.of([boot_s for _, boot_s in runs])
    name = f"rehearse --guests {kind} examples/production.yaml, three guests, by one bare boot"
    return Row(name, whole, f"{boot} s", whole.wall_s.median / boot.median, "×", 8.0)
