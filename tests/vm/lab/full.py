"""The full machine: Debian with systemd and six NICs, which may reboot or lose its power within one run.

Its first boot is made once. The machine is kept as it stands there, memory and disk, and each run goes on from that:
whoever needs a boot of its own reboots. Each boot is another QEMU on the same disk. A loss of power kills QEMU, and
what the machine has not written is lost, as on a real host; a warm reset would let devices and firmware stand.
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
MOST_HUNG = 3  # boots in a row
FIRST_BOOT = 60  # bare boots; it takes some fifteen
# what a job writes on the second serial line, last, when it wants the power cut, and when it reboots
CUT, REBOOT = "lab: cut the power", "lab: reboot"


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
    """Give a shell script to the machine that waits for one, until it switches itself off and wants no further boot.

    ``boots`` limits it, in bare boots; ``{boot_s}`` in the job is the seconds of one. Raises Unavailable, or
    TimeoutError and Hung with the console.
    """
    core = kernel()
    from_here = standing(core)
    patience = Patience(core, boots)
    with tempfile.TemporaryDirectory() as name:
        place = Path(name)
        log, result = place / "console", place / "result"
        script = job.replace("{boot_s}", f"{patience.boot_s:.1f}")
        (place / "project").write_bytes(image.project(extra={"vm-job": script, "vm-clock": f"{time.time():.0f}"}))
        call("cp", "--reflink=auto", "--sparse=always", from_here.disk, place / "disk")
        argv = _argv(core, place, from_here.initrd, place / "disk")
        waiting = [*argv, "-incoming", f"exec:cat '{from_here.memory}'"]
        cut = lambda: _wish(result) == CUT  # noqa: E731
        seconds = machine.run(waiting, patience, log=log, cwd=place, cut=cut)
        hung = 0
        while _wish(result) or hung:
            with result.open("a") as line:
                line.write("lab: power\n")
            try:
                seconds += machine.run(argv, patience, log=log, cwd=place, cut=cut)
                hung = 0
            except machine.Hung as boot:  # under emulation, once in many boots; its power is cut, as a person would
                hung += 1
                print(f"a boot hung for a disk, and was begun anew:\n{boot}")
                if hung == MOST_HUNG:
                    raise
        lines = [line for line in result.read_text(errors="replace").splitlines() if line.startswith("{")]
        console = log.read_text(errors="replace")
        return Found(findings=tuple(map(json.loads, lines)), console=console, seconds=seconds)


def _wish(result: Path) -> str:
    """What the machine wants of the lab; empty where its last line is no wish."""
    lines = result.read_text(errors="replace").splitlines()
    return lines[-1] if lines and lines[-1] in {CUT, REBOOT} else ""


def _argv(core: Kernel, place: Path, initrd: Path, disk: Path) -> list[str]:
    """A machine whose second disk is ``project`` in ``place``, where its two serial lines are written as well."""
    source = place / "project"
    source.touch()
    with source.open("r+b") as sized:
        sized.truncate(PROJECT_MB << 20)
    (place / "result").touch()
    argv = [*machine.base(memory_mb=MEMORY_MB)]
    argv += ["-kernel", str(core.image), "-initrd", str(initrd), "-append", CMDLINE]
    # raw, and unsafe: what the machine has written outlives QEMU in this kernel's memory
    argv += ["-drive", f"file={disk},format=raw,if=virtio,cache=unsafe"]
    argv += ["-drive", "file=project,format=raw,if=virtio,readonly=on"]
    for number in range(NICS):  # two on each switch, so that every NIC has a cable
        argv += ["-netdev", f"hubport,id=n{number},hubid={number // 2}"]
        argv += ["-device", f"virtio-net-pci,netdev=n{number},mac=52:54:00:aa:00:0{number},romfile="]
    for name in ("console", "result"):
        argv += ["-chardev", f"file,id={name},path={name},append=on", "-serial", f"chardev:{name}"]
    return argv


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
                _stand(_argv(core, half, new.initrd, new.disk), half, Patience(core, FIRST_BOOT))
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
