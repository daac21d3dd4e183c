"""Whether KVM runs a guest here: proved by running one, for ``/dev/kvm`` may be there and still refuse."""

from __future__ import annotations

import grp
import os
import tempfile
import time
from functools import cache
from pathlib import Path

from msgspec import Struct

from bascule.errors import BasculeError
from bascule.system.run import run

# A boot sector that writes 0x10 to port 0xf4, where QEMU's isa-debug-exit ends the process with (0x10 << 1) | 1.
_PROGRAM = bytes((0xB0, 0x10, 0xE6, 0xF4, 0xF4))  # mov al,10h; out 0f4h,al; hlt
_SECTOR = _PROGRAM + bytes(510 - len(_PROGRAM)) + b"\x55\xaa"
_EXIT = 33
# The sector takes a KVM that works as long as QEMU's own processor, 0.1 to 0.2 s, most of it QEMU's own start. Nested
# without the hardware's help it takes ten times as long (measured: 1.3 s beside 0.1 s), and no Linux boots.
TIMES, SPARE_S = 3.0, 0.3
HUNG_S = 30.0
ALONE_S = 1.0  # for a QEMU that emulates no processor


class Accelerator(Struct, frozen=True, kw_only=True):
    """What guests run on: ``kvm``, or ``tcg`` (QEMU's own emulation) with the reason."""

    name: str
    reason: str
    forbidden: bool = False  # /dev/kvm is there, and for others

    @property
    def is_kvm(self) -> bool:
        """Whether the processor runs the guest."""
        return self.name == "kvm"


@cache
def accel() -> Accelerator:
    """KVM where a probe guest ran on it, else TCG. Raises MissingTool where there is no QEMU."""
    if not Path("/dev/kvm").exists():
        return Accelerator(
            name="tcg", reason="there is no /dev/kvm: no virtualisation extension, or the module is not loaded"
        )
    if not os.access("/dev/kvm", os.R_OK | os.W_OK):
        words = f"/dev/kvm is there, but this user may not open it; it is for {_for_whom()}"
        return Accelerator(name="tcg", reason=words, forbidden=True)
    said = why_no_kvm()
    if said is None:
        return Accelerator(name="kvm", reason="a probe guest ran on it")
    return Accelerator(name="tcg", reason=f"/dev/kvm is there, but a probe guest did not run on it: {said}")


def _for_whom() -> str:
    """Who may open it: a group, as udev's rules have it, or root alone, as without udev and in many containers."""
    group = kvm_group()
    return f"the members of the group {group}" if group else "root only"


def kvm_group() -> str:
    """The group whose members may open /dev/kvm; nothing where there is none but root's."""
    try:
        found = Path("/dev/kvm").stat()
        return grp.getgrgid(found.st_gid).gr_name if found.st_gid and found.st_mode & 0o060 == 0o060 else ""
    except (OSError, KeyError):
        return ""


def why_no_kvm() -> str | None:
    """None if a guest runs with KVM, no slower than without it; else what QEMU said, or how slow it was."""
    with tempfile.NamedTemporaryFile(suffix=".img") as image:
        image.write(_SECTOR)
        image.flush()
        emulated = min((_run(image.name, "tcg", HUNG_S) for _ in range(2)), key=lambda one: one.seconds)
        limit_s = TIMES * emulated.seconds + SPARE_S if emulated.status == _EXIT else ALONE_S
        proof = _run(image.name, "kvm", limit_s)
    if proof.seconds > limit_s:
        spent = f"{limit_s:.1f} s, and QEMU's own processor took {emulated.seconds:.1f} s"
        return f"it did not get through its first five bytes of program within {spent}"
    return None if proof.status == _EXIT else proof.words


class _Proof(Struct, frozen=True):
    seconds: float  # more than it was given where it did not end
    status: int = 0
    words: str = ""


def _run(image: str, accel: str, limit_s: float) -> _Proof:
    argv = ["qemu-system-x86_64", "-accel", accel, "-machine", "pc", "-m", "16", "-nodefaults", "-display", "none"]
    argv += ["-no-reboot", "-drive", f"file={image},format=raw,if=ide,snapshot=on"]
    argv += ["-device", "isa-debug-exit,iobase=0xf4,iosize=0x04"]
    begun = time.monotonic()
    try:
        done = run(argv, check=False, timeout_s=limit_s)
    except BasculeError as error:
        if error.problems[0].code == "COMMAND-SLOW":
            return _Proof(seconds=float("inf"))
        raise
    words = done.stderr.strip() or f"exit status {done.status}"
    last = words.splitlines()[-1].removeprefix("qemu-system-x86_64: ")
    return _Proof(seconds=time.monotonic() - begun, status=done.status, words=last)
