"""The full machine: Debian with systemd and six NICs, which may reboot within one run.

Its first boot is made once. The machine is kept as it stands there, memory and disk, and each run goes on from that:
whoever needs a boot of its own reboots.
"""

from __future__ import annotations

import json
import subprocess
import tempfile
import threading
import time
from collections.abc import Sequence
from hashlib import sha256
from pathlib import Path
from typing import Any

from msgspec import Struct

from tests.vm.lab import debian, image, machine
from tests.vm.lab.cache import Unavailable, alone, call, folder, forget, scratch
from tests.vm.lab.kernel import Kernel, kernel
from tests.vm.lab.machine import Patience

NICS, MEMORY_MB = 6, 1024
CMDLINE = f"{machine.CMDLINE} root=/dev/vda rw net.ifnames=0 systemd.show_status=0 systemd.firstboot=off"
PROJECT_MB = 64  # the second disk, which may not change its size while the machine stands still
FIRST_BOOT = 60  # bare boots; it takes some fifteen


class Found(Struct, frozen=True, kw_only=True):
    """What a job said, its console, and the seconds that it took."""

    findings: tuple[dict[str, Any], ...]
    console: str
    seconds: float


class Standing(Struct, frozen=True, kw_only=True):
    """A machine after its first boot, waiting for a job: its initramfs, its disk, and its memory."""

    initrd: Path
    disk: Path
    memory: Path


def run_job(job: str, *, boots: int) -> Found:
    """Give a shell script to the machine that waits for one, until it switches itself off.

    ``boots`` limits it, in bare boots; ``{boot_s}`` in the job is the seconds of one. Raises Unavailable, or
    TimeoutError with the console.
    """
    core = kernel()
    from_here = standing(core)
    patience = Patience(core, boots)
    with tempfile.TemporaryDirectory() as name:
        place = Path(name)
        log, result = place / "console", place / "result"
        script = job.replace("{boot_s}", f"{patience.boot_s:.1f}")
        (place / "project").write_bytes(image.project(extra={"vm-job": script, "vm-clock": f"{time.time():.0f}"}))
        argv = [*_argv(core, place, from_here.initrd, from_here.disk), "-incoming", f"exec:cat '{from_here.memory}'"]
        seconds = machine.run(argv, patience, log=log, cwd=place)
        lines = [line for line in result.read_text(errors="replace").splitlines() if line.startswith("{")]
        console = log.read_text(errors="replace")
        return Found(findings=tuple(map(json.loads, lines)), console=console, seconds=seconds)


def _argv(core: Kernel, place: Path, initrd: Path, disk: Path, *, keep: bool = False) -> list[str]:
    """A machine whose second disk is ``project`` in ``place``; its own disk forgets what is written, or keeps it."""
    source = place / "project"
    source.touch()
    with source.open("r+b") as sized:
        sized.truncate(PROJECT_MB << 20)
    (place / "result").touch()
    argv = [word for word in machine.base(memory_mb=MEMORY_MB) if word != "-no-reboot"]
    argv += ["-kernel", str(core.image), "-initrd", str(initrd), "-append", CMDLINE]
    argv += ["-drive", f"file={disk},format=raw,if=virtio,cache=unsafe{'' if keep else ',snapshot=on'}"]
    argv += ["-drive", "file=project,format=raw,if=virtio,readonly=on"]
    for number in range(NICS):  # two on each switch, so that every NIC has a cable
        argv += ["-netdev", f"hubport,id=n{number},hubid={number // 2}"]
        argv += ["-device", f"virtio-net-pci,netdev=n{number},mac=52:54:00:aa:00:0{number},romfile="]
    return [*argv, "-serial", "file:console", "-serial", "file:result"]


def standing(core: Kernel) -> Standing:
    """The machine after its first boot, made when anything in it has changed. Raises Unavailable, TimeoutError."""
    words = machine.base(memory_mb=MEMORY_MB)
    version = call(words[0], "--version").decode()
    text = "\n".join((debian.key(core), version, *words, CMDLINE, str(NICS), str(PROJECT_MB)))
    digest = sha256(text.encode()).hexdigest()[:16]
    place = folder("debian")
    made = Standing(initrd=place / f"{digest}.cpio", disk=place / f"{digest}.ext4", memory=place / f"{digest}.memory")
    with alone(place):
        if not made.disk.exists():
            with scratch(place) as half:
                new = Standing(initrd=half / "initrd", disk=half / "disk", memory=half / "memory")
                debian.make(core, half, new.initrd, new.disk)
                _stand(_argv(core, half, new.initrd, new.disk, keep=True), half, Patience(core, FIRST_BOOT))
                forget(place)
                for name in ("initrd", "memory", "disk"):  # the disk last: where it is, all is
                    getattr(new, name).rename(getattr(made, name))
    return made


def _stand(argv: Sequence[str], place: Path, patience: Patience) -> None:
    """Boot until the machine waits for its job, and write its memory to the file ``memory``."""
    log, result = place / "console", place / "result"
    process = subprocess.Popen(
        [*argv, "-qmp", "stdio"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=place
    )
    try:
        waits = lambda: process.poll() is not None or debian.WAITS in result.read_text(errors="replace")  # noqa: E731
        machine.wait(waits, patience, "the machine's first boot did not end", log)
        hung = threading.Timer(patience.left_s, process.kill)
        hung.start()
        ask(process, "qmp_capabilities")
        ask(
            process, "migrate", uri="exec:cat >memory"
        )  # it runs until that is done, or it would go on as a stopped one
        while (status := ask(process, "query-migrate")["status"]) not in {"completed", "failed", "cancelled"}:
            pass
        if status != "completed":
            raise Unavailable(f"QEMU did not write the machine's memory: {status}")
        ask(process, "quit")
        process.wait()
        hung.cancel()
    finally:
        machine.end(process)


def ask(process: subprocess.Popen[bytes], command: str, **arguments: str) -> Any:
    """A command of QEMU's monitor, and its answer (qemu-qmp-ref(7)). Raises Unavailable with its words."""
    assert process.stdin is not None and process.stdout is not None
    process.stdin.write(json.dumps({"execute": command, "arguments": arguments}).encode() + b"\n")
    process.stdin.flush()
    for line in process.stdout:
        answer = json.loads(line)
        if "error" in answer:
            raise Unavailable(f"QEMU: {command}: {answer['error']['desc']}")
        if "return" in answer:
            return answer["return"]
    raise Unavailable(f"QEMU ended before it answered '{command}'")
