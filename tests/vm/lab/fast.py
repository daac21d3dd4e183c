"""The fast machine: a kernel, this machine's programs, one job; boots in a few seconds without KVM."""

from __future__ import annotations

import tempfile
from pathlib import Path

from msgspec import Struct

from tests.vm.lab import image, machine
from tests.vm.lab.kernel import kernel


class Ran(Struct, frozen=True, kw_only=True):
    """What a job left: its console, what it wrote to /dev/ttyS1, and the seconds from power-on to power-off."""

    console: str
    result: str
    seconds: float


def run_job(job: str, *, timeout_s: float = 240, memory_mb: int = 768) -> Ran:
    """Boot, run a shell script in the project's folder, switch off. Raises Unavailable or TimeoutError."""
    core = kernel()
    initrd, disk = image.image(core)
    with tempfile.TemporaryDirectory() as name:
        place = Path(name)
        source, log, result = place / "project.tar", place / "console", place / "result"
        packed = image.project(extra={"vm-job": job})
        source.write_bytes(packed + bytes(-len(packed) % 512))
        result.touch()
        argv = machine.base(memory_mb=memory_mb)
        argv += ["-kernel", str(core.image), "-initrd", str(initrd), "-append", machine.CMDLINE]
        argv += ["-drive", f"file={disk},format=raw,if=virtio,readonly=on"]
        argv += ["-drive", f"file={source},format=raw,if=virtio,readonly=on"]
        argv += ["-serial", f"file:{log}", "-serial", f"file:{result}"]
        seconds = machine.run(argv, timeout_s=timeout_s, log=log)
        return Ran(console=log.read_text(errors="replace"), result=result.read_text(errors="replace"), seconds=seconds)
