"""Debian's cloud kernel: unpacked from its package, never installed. It has 802.1Q, bonding and VLAN filtering."""

from __future__ import annotations

import os
import re
import shutil
from pathlib import Path

from msgspec import Struct

from tests.vm.lab.cache import Unavailable, alone, call, folder, scratch, tool

PACKAGE = "linux-image-cloud-amd64"
# of the modules only what a network needs, what a virtual disk needs, and what those build on
KEPT = (
    "net",
    "lib",
    "crypto",
    "arch",
    "drivers/net",
    "drivers/virtio",
    "drivers/block",
    "drivers/char",
    "fs/overlayfs",
)
FIRST = (
    "virtio_ring",
    "virtio",
    "virtio_pci_legacy_dev",
    "virtio_pci_modern_dev",
    "virtio_pci",
    "virtio_blk",
    "overlay",
)


class Kernel(Struct, frozen=True, kw_only=True):
    """An image to boot, and the root below which its ``lib/modules`` are."""

    version: str
    image: Path
    root: Path

    def module(self, name: str) -> Path:
        """The file of a module."""
        found = next((self.root / "lib/modules" / self.version).rglob(f"{name}.ko"), None)
        if found is None:
            raise Unavailable(f"kernel {self.version} has no module '{name}'")
        return found


def kernel() -> Kernel:
    """The newest that was fetched before; else the one that the distribution offers now. Raises Unavailable."""
    place = folder("kernel")
    with alone(place):
        if (found := _cached(place)) is None:
            _fetch(place)
            found = _cached(place)
        if found is None:
            raise Unavailable(f"package {PACKAGE} brings no kernel")
        return found


def _cached(place: Path) -> Kernel | None:
    for image in sorted(place.glob("*/boot/vmlinuz-*"), reverse=True):
        return Kernel(version=image.name.removeprefix("vmlinuz-"), image=image, root=image.parents[1])
    return None


def _fetch(place: Path) -> None:
    apt, unpack = tool("apt-get", "apt (the lab needs Debian or Ubuntu)"), tool("dpkg-deb", "dpkg")
    package = _versioned()
    if package is None and os.geteuid() == 0:
        call(apt, "update", "-qq")
        package = _versioned()
    if package is None:
        raise Unavailable(f"apt knows no {PACKAGE}: run apt-get update as root")
    with scratch(place) as half:
        # apt-get download writes where it stands, and its sandbox user may not write there
        call(apt, "download", "-qq", "-o", "APT::Sandbox::User=root", package, cwd=half)
        tree = half / "tree"
        for archive in half.glob("*.deb"):
            call(unpack, "-x", archive, tree)
        _trim(tree)
        tree.rename(place / package)


def _trim(tree: Path) -> None:
    if not (tree / "lib").is_dir():  # from Debian 13 on packages put modules below /usr
        (tree / "usr/lib").rename(tree / "lib")
    shutil.rmtree(tree / "usr", ignore_errors=True)
    for version in (tree / "lib/modules").iterdir():
        kept = tree / "kept"
        for part in KEPT:
            if (version / "kernel" / part).is_dir():
                shutil.copytree(version / "kernel" / part, kept / part, dirs_exist_ok=True)
        for each in kept.rglob("*.ko.xz"):
            call(tool("xz", "xz-utils"), "-d", each)
        for vendors in (kept / "drivers/net/ethernet", kept / "drivers/net/wireless"):
            shutil.rmtree(vendors, ignore_errors=True)
        shutil.rmtree(version / "kernel")
        kept.rename(version / "kernel")
        call(tool("busybox", "busybox-static"), "depmod", "-b", tree, version.name)


def _versioned() -> str | None:
    """The package that the distribution's cloud kernel stands for at the moment."""
    text = call(tool("apt-cache", "apt"), "depends", "--no-recommends", PACKAGE).decode()
    found = re.search(r"Depends: (linux-image-\S+)", text)
    return found[1] if found else None
