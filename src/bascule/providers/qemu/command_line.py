"""QEMU's command line for a guest. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from msgspec import Struct

from bascule.model.site import Guest, GuestNic
from bascule.model.values import IfName, Mac

PROGRAM = "qemu-system-x86_64"

if TYPE_CHECKING:
    from pathlib import Path


class Files(Struct, frozen=True, kw_only=True):
    """What a guest's process keeps in its folder."""

    folder: Path

    @property
    def monitor(self) -> Path:
        """The QMP socket."""
        return self.folder / "qmp"

    @property
    def console(self) -> Path:
        """What the guest prints on its first serial port."""
        return self.folder / "console.log"

    @property
    def questions(self) -> Path:
        """The socket of the test guest's second serial port."""
        return self.folder / "ask"

    @property
    def pid(self) -> Path:
        """The process id of a guest that outlives us."""
        return self.folder / "pid"


class Boot(Struct, frozen=True, kw_only=True):
    """A kernel without boot loader."""

    kernel: str
    initrd: str | None
    cmdline: str


def arguments(
    guest: Guest,
    *,
    accel: str,
    memory: int,
    nics: Sequence[tuple[GuestNic, IfName]],
    files: Files,
    boot: Boot | None = None,
    vhost: bool = False,
    reboots: bool = True,
    nic_model: str = "virtio-net-pci",
) -> tuple[str, ...]:
    """The whole line. ``memory`` in bytes; ``nics`` with the taps that are there already."""
    words = [PROGRAM, "-name", f"guest={guest.name}", "-machine", f"pc,accel={accel}", "-m", f"size={memory // 1024}k"]
    words += ["-cpu", "host"] if accel == "kvm" else []
    words += ["-smp", str(guest.vcpus), "-nodefaults", "-no-user-config", "-display", "none"]
    words += ["-qmp", f"unix:{files.monitor},server=on,wait=off"]
    words += ["-serial", f"file:{files.console}", "-serial", f"unix:{files.questions},server=on,wait=off"]
    words += ["-object", "rng-random,id=rng,filename=/dev/urandom", "-device", "virtio-rng-pci,rng=rng"]
    words += [] if reboots else ["-no-reboot"]
    if boot is not None:
        words += ["-kernel", boot.kernel, "-append", boot.cmdline]
        words += ["-initrd", boot.initrd] if boot.initrd else []
    for path in guest.disks:
        form = "qcow2" if path.endswith(".qcow2") else "raw"
        words += ["-drive", f"file={_escaped(path)},format={form},if=virtio"]
    if guest.iso:
        words += ["-drive", f"file={_escaped(guest.iso)},format=raw,media=cdrom,readonly=on"]
    if guest.disks or guest.iso:
        words += ["-device", "VGA", "-vnc", f"unix:{files.folder / 'vnc'}"]
    for nic, tap in nics:
        options = netdev(tap, nic.index, vhost=vhost)
        words += ["-netdev", ",".join(_pairs(options))]
        words += ["-device", ",".join(_pairs(device(nic.mac, nic.index, nic_model)))]
    return (*words, "-daemonize", "-pidfile", str(files.pid))


def netdev_id(index: int) -> str:
    """QEMU's name of the host's end of a NIC."""
    return f"net{index}"


def device_id(index: int) -> str:
    """QEMU's name of the guest's end of a NIC."""
    return f"nic{index}"


def netdev(tap: IfName, index: int, *, vhost: bool = False) -> dict[str, str]:
    """The host's end: a tap that is there already, so that QEMU runs no script and leaves it on its bridge."""
    options = {"type": "tap", "id": netdev_id(index), "ifname": str(tap), "script": "no", "downscript": "no"}
    if vhost:
        options["vhost"] = "on"
    return options


def device(mac: Mac, index: int, model: str = "virtio-net-pci") -> dict[str, str]:
    """The guest's end, without a boot ROM."""
    return {"driver": model, "netdev": netdev_id(index), "id": device_id(index), "mac": mac, "romfile": ""}


def _pairs(options: dict[str, str]) -> list[str]:
    return [f"{key}={value}" for key, value in options.items()]


def _escaped(path: str) -> str:
    return path.replace(",", ",,")  # QEMU's own way to write a comma in a value
