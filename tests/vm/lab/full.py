"""The full machine: Debian with systemd and six NICs, which may reboot within one run."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any

from msgspec import Struct

from tests.vm.lab import debian, image, machine
from tests.vm.lab.kernel import kernel

NICS = 6
CMDLINE = f"{machine.CMDLINE} root=/dev/vda rw net.ifnames=0 systemd.show_status=0 systemd.firstboot=off"


class Found(Struct, frozen=True, kw_only=True):
    """What a job said, its console, and the seconds that it took."""

    findings: tuple[dict[str, Any], ...]
    console: str
    seconds: float


def run_job(job: str, *, timeout_s: float = 420, memory_mb: int = 1024) -> Found:
    """Boot with a shell script as the job, until the machine switches itself off.

    Raises Unavailable, or TimeoutError with the console.
    """
    core = kernel()
    initrd, disk = debian.image(core)
    with tempfile.TemporaryDirectory() as name:
        place = Path(name)
        source, log, result = place / "project.tar", place / "console", place / "result"
        packed = image.project(extra={"vm-job": job})
        source.write_bytes(packed + bytes(-len(packed) % 512))
        result.touch()
        argv = [word for word in machine.base(memory_mb=memory_mb) if word != "-no-reboot"]
        argv += ["-kernel", str(core.image), "-initrd", str(initrd), "-append", CMDLINE]
        argv += ["-drive", f"file={disk},format=raw,if=virtio,snapshot=on,cache=unsafe"]  # lives as long as QEMU
        argv += ["-drive", f"file={source},format=raw,if=virtio,readonly=on"]
        for number in range(NICS):  # two on each switch, so that every NIC has a cable
            argv += ["-netdev", f"hubport,id=n{number},hubid={number // 2}"]
            argv += ["-device", f"virtio-net-pci,netdev=n{number},mac=52:54:00:aa:00:0{number},romfile="]
        argv += ["-serial", f"file:{log}", "-serial", f"file:{result}"]
        seconds = machine.run(argv, timeout_s=timeout_s, log=log)
        lines = [line for line in result.read_text(errors="replace").splitlines() if line.startswith("{")]
        console = log.read_text(errors="replace")
        return Found(findings=tuple(map(json.loads, lines)), console=console, seconds=seconds)
