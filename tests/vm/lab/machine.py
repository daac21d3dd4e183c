"""QEMU: on KVM where a probe guest really runs on it, else by QEMU's own emulation (TCG).

No limit here is a number of seconds: it is a number of bare boots, and how long one takes is measured in the same run.
"""

from __future__ import annotations

import os
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from bascule.guests.accelerator import accel
from tests.vm.lab.cache import Unavailable, call, tool
from tests.vm.lab.kernel import Kernel

QEMU = "qemu-system-x86_64"
# no waiting for hardware that is not there, and no defences against other tenants; the TSC is not called reliable, for
# a busy machine makes the kernel count it wrong by a factor, which its watchdog sees: then it takes another clock
CMDLINE = "console=ttyS0 quiet panic=-1 no_timer_check mitigations=off nokaslr random.trust_cpu=on"
# emulated, one processor is worth more than two that wait for each other, and one without AVX, SMAP and the like is
# faster by a quarter: what it lacks is what would have to be emulated
EMULATED = ("-accel", "tcg", "-cpu", "Nehalem-v1", "-smp", "1")
BARE = "#!/bin/busybox sh\n/bin/busybox poweroff -f\n"
HUNG_S = 600  # a bare boot takes some three seconds
BLOCKED = b"blocked for more than"  # the kernel's watchdog over tasks that wait for a disk (hung_task_timeout_secs)
IDLE_S = 5.0


class Hung(Exception):
    """The machine waits for a disk that nobody asks any more, and its processor has nothing to do."""


def qemu() -> str:
    """The path of QEMU. Raises Unavailable."""
    return tool(QEMU, "qemu-system-x86")


def base(*, memory_mb: int) -> list[str]:
    """The words that every machine of the lab begins with."""
    words = [qemu(), "-machine", "pc", "-m", str(memory_mb), "-nodefaults", "-no-user-config"]
    words += ["-accel", "kvm", "-cpu", "host", "-smp", "2"] if accel().is_kvm else EMULATED
    words += ["-display", "none", "-no-reboot", "-device", "virtio-rng-pci"]
    # the processor itself tells the disk of a request: under emulation the kernel waited for one for ever, once in many
    words += ["-global", "virtio-blk-pci.ioeventfd=off"]
    return words


def bare_boot_s(core: Kernel) -> float:
    """The seconds that a kernel with nothing to do takes from power-on to power-off, at the load of this moment."""
    busybox = tool("busybox", "busybox-static")
    with tempfile.TemporaryDirectory() as name:
        tree, initrd = Path(name, "tree"), Path(name, "initrd")
        pack_first(tree, {"init": BARE.encode(), "bin/busybox": Path(busybox).read_bytes()}, initrd)
        argv = [*base(memory_mb=256), "-kernel", str(core.image), "-initrd", str(initrd), "-append", CMDLINE]
        start = time.monotonic()
        done = subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, timeout=HUNG_S)
    if done.returncode:
        raise Unavailable(f"QEMU: {done.stderr.decode(errors='replace').strip()}")
    return time.monotonic() - start


def pack_first(tree: Path, files: dict[str, bytes], target: Path) -> None:
    """A first root file system (initramfs) of these programs."""
    for name, content in files.items():
        (tree / name).parent.mkdir(parents=True, exist_ok=True)
        (tree / name).write_bytes(content)
        (tree / name).chmod(0o755)
    names = sorted(str(path.relative_to(tree)) for path in tree.rglob("*"))
    words = (tool("busybox", "busybox-static"), "cpio", "-o", "-H", "newc")
    target.write_bytes(call(*words, cwd=tree, stdin="\n".join(names).encode() + b"\n"))


class Patience:
    """A limit in bare boots, which follows the machine: it is measured now, and again before anybody gives up."""

    def __init__(self, core: Kernel, boots: int) -> None:
        self._core, self._boots = core, boots
        self.boot_s = self._first_s = bare_boot_s(core)
        self._start = time.monotonic()

    @property
    def left_s(self) -> float:
        """The seconds until the limit; none left only if the machine is no slower now than it was."""
        left = self._end - time.monotonic()
        if left <= 0:
            self.boot_s = max(self.boot_s, bare_boot_s(self._core))
            left = self._end - time.monotonic()
        return max(left, 0.0)

    @property
    def _end(self) -> float:
        return self._start + self._boots * self.boot_s

    def __str__(self) -> str:
        measured = f"{self._first_s:.1f} s at the start"
        measured += f", {self.boot_s:.1f} s at the end" if self.boot_s != self._first_s else ", no longer at the end"
        return f"{self._boots * self.boot_s:.0f} s, as long as {self._boots} bare boots (one took {measured})"


def run(
    argv: Sequence[str],
    patience: Patience,
    *,
    log: Path,
    cwd: Path | None = None,
    cut: Callable[[], bool] = lambda: False,
) -> float:
    """Run a machine until it switches itself off, or until its power is to be ``cut``; the seconds that it took.

    Raises Hung, TimeoutError with the last lines of its console, Unavailable with QEMU's own words.
    """
    start = time.monotonic()
    said_before = log.read_bytes().count(BLOCKED) if log.exists() else 0
    process = subprocess.Popen(
        argv, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, cwd=cwd
    )
    try:

        def off() -> bool:
            if process.poll() is not None or cut():
                return True
            if log.exists() and log.read_bytes().count(BLOCKED) > said_before and _idle(process):
                raise Hung(tail(log))
            return False

        wait(off, patience, "the machine did not switch itself off", log)
    finally:
        said = end(process)
    if process.returncode not in (0, -signal.SIGKILL):
        raise Unavailable(f"QEMU: {said}")
    return time.monotonic() - start


def wait(done: Callable[[], bool], patience: Patience, what: str, log: Path) -> None:
    """Look often until something is so. Raises TimeoutError that says how long that was, and the console's end."""
    while not done():
        if not patience.left_s:
            raise TimeoutError(f"{what} within {patience}; its console:\n{tail(log)}")
        time.sleep(0.1)


def _idle(process: subprocess.Popen[bytes]) -> bool:
    """Whether a process takes less than a tenth of one processor for a while (proc_pid_stat(5), fields 14 and 15)."""

    def ticks() -> int:
        words = Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()
        return int(words[11]) + int(words[12])

    before = ticks()
    time.sleep(IDLE_S)
    return ticks() - before < IDLE_S * os.sysconf("SC_CLK_TCK") / 10


def end(process: subprocess.Popen[bytes]) -> str:
    """See a machine end, by force if it still runs; what QEMU said."""
    if process.poll() is None:
        process.send_signal(signal.SIGKILL)
    return process.communicate()[1].decode(errors="replace").strip()


def tail(log: Path, lines: int = 60) -> str:
    """The last lines of a console."""
    return "\n".join(log.read_text(errors="replace").splitlines()[-lines:]) if log.exists() else "(nothing)"
