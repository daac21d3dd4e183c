"""QEMU: on KVM where a probe guest really runs on it, else by QEMU's own emulation (TCG)."""

from __future__ import annotations

import os
import signal
import subprocess
import tempfile
import time
from collections.abc import Sequence
from functools import cache
from pathlib import Path

from tests.vm.lab.cache import Unavailable, tool

QEMU = "qemu-system-x86_64"
# a boot sector that writes 10h to port f4h, where isa-debug-exit ends QEMU with status 33
SECTOR = bytes((0xB0, 0x10, 0xE6, 0xF4, 0xF4)).ljust(510, b"\0") + b"\x55\xaa"
# no waiting for hardware that is not there, and no defences against other tenants
CMDLINE = "console=ttyS0 quiet panic=-1 tsc=reliable no_timer_check mitigations=off nokaslr random.trust_cpu=on"


def qemu() -> str:
    """The path of QEMU. Raises Unavailable."""
    return tool(QEMU, "qemu-system-x86")


@cache
def accel() -> str:
    """``kvm`` where a guest ran on it, for /dev/kvm may be there and refuse; else ``tcg``."""
    if not os.access("/dev/kvm", os.R_OK | os.W_OK):
        return "tcg"
    with tempfile.NamedTemporaryFile() as disk:
        disk.write(SECTOR)
        disk.flush()
        argv = [qemu(), "-accel", "kvm", "-m", "16", "-nodefaults", "-display", "none", "-no-reboot"]
        argv += ["-drive", f"file={disk.name},format=raw,if=ide,snapshot=on"]
        argv += ["-device", "isa-debug-exit,iobase=0xf4,iosize=0x04"]
        try:
            done = subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, timeout=2)
        except subprocess.TimeoutExpired:
            return "tcg"
    return "kvm" if done.returncode == 33 else "tcg"


def base(*, memory_mb: int) -> list[str]:
    """The words that every machine of the lab begins with."""
    kind = accel()
    words = [qemu(), "-machine", "pc", "-m", str(memory_mb), "-smp", "2", "-nodefaults", "-no-user-config"]
    words += ["-accel", "kvm", "-cpu", "host"] if kind == "kvm" else ["-accel", "tcg,thread=multi", "-cpu", "max"]
    words += ["-display", "none", "-no-reboot", "-device", "virtio-rng-pci"]
    return words


def run(argv: Sequence[str], *, timeout_s: float, log: Path) -> float:
    """Run a machine until it switches itself off; the seconds that it took.

    Raises TimeoutError with the last lines of its console.
    """
    start = time.monotonic()
    process = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    try:
        _, said = process.communicate(timeout=timeout_s)
    except subprocess.TimeoutExpired as late:
        raise TimeoutError(f"the machine did not end within {timeout_s:g} s; its console:\n{tail(log)}") from late
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGKILL)
            process.wait()
    if process.returncode:
        raise Unavailable(f"QEMU: {said.decode(errors='replace').strip()}")
    return time.monotonic() - start


def tail(log: Path, lines: int = 60) -> str:
    """The last lines of a console."""
    return "\n".join(log.read_text(errors="replace").splitlines()[-lines:]) if log.exists() else "(nothing)"
