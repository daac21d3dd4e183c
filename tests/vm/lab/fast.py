"""The fast machine: a kernel, this machine's programs, one job; boots in a few seconds without KVM."""

from __future__ import annotations

import tempfile
from pathlib import Path

from msgspec import Struct

from tests.vm.lab import image, machine
from tests.vm.lab.kernel import kernel
from tests.vm.lab.machine import Patience


class Ran(Struct, frozen=True, kw_only=True):
    """What a job left: its console, what it wrote to /dev/ttyS1, and the seconds from power-on to power-off."""

    console: str
    result: str
    seconds: float


def run_job(job: str, *, boots: int, memory_mb: int = 768) -> Ran:
    """Boot, run a shell script in the project's folder, switch off.

    ``boots`` limits it, in bare boots; ``{python}`` in the job is the interpreter. Raises Unavailable or TimeoutError.
    """
    core = kernel()
    initrd, disk = image.image(core)
    patience = Patience(core, boots)
    with tempfile.TemporaryDirectory() as name:
        place = Path(name)
        log, result = place / "console", place / "result"
        packed = image.project(extra={"vm-job": job.replace("{python}", image.python())})
        (place / "project").write_bytes(packed + bytes(-len(packed) % 512))
        result.touch()
        argv = machine.base(memory_mb=memory_mb)
        argv += ["-kernel", str(core.image), "-initrd", str(initrd), "-append", machine.CMDLINE]
        argv += ["-drive", f"file={disk},format=raw,if=virtio,readonly=on"]
        argv += ["-drive", "file=project,format=raw,if=virtio,readonly=on"]
        argv += ["-serial", "file:console", "-serial", "file:result"]
        seconds = machine.run(argv, patience, log=log, cwd=place)
        return Ran(console=log.read_text(errors="replace"), result=result.read_text(errors="replace"), seconds=seconds)
