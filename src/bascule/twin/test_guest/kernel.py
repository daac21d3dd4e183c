"""Where the test guest's kernel and busybox come from: the distribution's cloud kernel, the host's own, or apt."""

from __future__ import annotations

import contextlib
import gzip
import lzma
import os
import re
import shutil
import tempfile
import time
from collections.abc import Iterator, Mapping
from hashlib import sha256
from pathlib import Path

from msgspec import Struct

from bascule.errors import BasculeError, MissingTool
from bascule.system.run import find_tool, run
from bascule.twin.test_guest import init

OLD_S = 7 * 86400
BUSYBOXES = (Path("/usr/bin/busybox"), Path("/bin/busybox"))
_PACKAGE = "linux-image-cloud-amd64"
_NEEDED = (
    *("virtio", "virtio_ring", "virtio_pci", "virtio_pci_legacy_dev", "virtio_pci_modern_dev"),
    *("virtio_net", "net_failover", "failover", "virtio_console", "button", "evdev"),
)


class GuestImage(Struct, frozen=True, kw_only=True):
    """A kernel and an initramfs on disk."""

    kernel: Path
    initrd: Path


def cache_folder() -> Path:
    """Where a fetched kernel is kept: BASCULE_CACHE_DIR, else /var/cache/bascule for root and ~/.cache for others."""
    named = os.environ.get("BASCULE_CACHE_DIR")
    if named:
        return Path(named)
    if os.geteuid() == 0:
        return Path("/var/cache/bascule")
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "bascule"


def guest_image() -> GuestImage:
    """The test guest, made on first use and kept in the cache.

    The kernel is taken from the cache, from /boot (any that has virtio NICs), or from the
    distribution's package, which is unpacked and not installed. Raises MissingTool with what to install.
    """
    tools = busybox()
    folder, refusal = cache_folder() / "guest", ""
    found, kept = next(_candidates(folder), None), folder / "kept"
    will_do = found is not None and not (found[0].is_relative_to(folder) and _lacks_modules(kept))
    if not will_do and shutil.which("apt-get"):
        try:
            _fetch(folder)
        except BasculeError as error:
            refusal = f", and {_PACKAGE} could not be fetched: {error.problems[0].message.splitlines()[-1]}"
        with contextlib.suppress(OSError):
            kept.write_text(" ".join(_NEEDED))  # also where nothing could be fetched: it is tried once
        found = next(_candidates(folder), None)
    if found is None:
        words = f"there is no kernel for the twin's guests: none in /boot has virtio NICs{refusal}"
        hint = f"apt-get install {_PACKAGE}; elsewhere the host's own kernel in /boot will do"
        raise MissingTool.of("GUEST-KERNEL-MISSING", words, hint=hint)
    return _image(*found, tools, folder)


def _lacks_modules(kept: Path) -> bool:
    """Whether a kernel in the cache was fetched when fewer of its modules were kept."""
    return not kept.exists() or kept.read_text() != " ".join(_NEEDED)


def busybox() -> bytes:
    """A program that is all of a small system's programs. Raises MissingTool with what to install."""
    for path in BUSYBOXES:
        if path.exists():
            content = path.read_bytes()
            needs_libraries = b"/lib64/ld-linux" in content[:4096] or b"/ld-musl" in content[:4096]
            if content.startswith(b"\x7fELF") and not needs_libraries:
                return content
    raise MissingTool.of(
        "BUSYBOX-MISSING",
        "a statically linked busybox is needed for the twin's guests",
        hint="apt-get install busybox-static, dnf install busybox or zypper install busybox-static",
    )


def _candidates(folder: Path) -> Iterator[tuple[Path, Mapping[str, bytes]]]:
    for root in (folder, Path("/")):
        for kernel in sorted(
            (root / "boot").glob("vmlinuz-*"), key=lambda path: ("cloud" in path.name, path.name), reverse=True
        ):
            if not os.access(kernel, os.R_OK):
                continue  # some distributions keep the kernel from everybody but root
            version = kernel.name.removeprefix("vmlinuz-")
            modules = _modules(root, version)
            if modules is not None:
                yield kernel, modules


def _modules(root: Path, version: str) -> Mapping[str, bytes] | None:
    """The modules for a virtio NIC, {} where the kernel has them built in, None where it has none."""
    for base in (root / "lib/modules" / version, root / "usr/lib/modules" / version):
        files = {_stem(path): path for path in base.rglob("*.ko*")} if base.is_dir() else {}
        builtin = base / "modules.builtin"
        inside = {_stem(Path(line)) for line in builtin.read_text().split()} if builtin.exists() else set()
        if not {"virtio_net"} <= files.keys() | inside:
            continue
        found = {name: _read(files[name]) for name in _NEEDED if name in files}
        return init.load_order(init.MODULES, found)
    return None


def _stem(path: Path) -> str:
    return path.name.split(".ko", 1)[0].replace("-", "_")


def _read(path: Path) -> bytes:
    """A kernel object, unpacked: distributions compress them with xz, zstd or gzip."""
    content = path.read_bytes()
    match path.suffix:
        case ".xz":
            return lzma.decompress(content)
        case ".gz":
            return gzip.decompress(content)
        case ".zst":
            with tempfile.TemporaryDirectory() as folder:
                target = Path(folder) / "module.ko"
                run((find_tool("zstd"), "-q", "-d", str(path), "-o", str(target)))
                return target.read_bytes()
    return content


def _image(kernel: Path, modules: Mapping[str, bytes], busybox: bytes, folder: Path) -> GuestImage:
    content = init.archive(busybox, modules)
    folder.mkdir(parents=True, exist_ok=True)
    # by its content, so that another Bascule that runs at the same time does not change what boots here
    initrd = folder / f"initrd-{kernel.name.removeprefix('vmlinuz-')}-{sha256(content).hexdigest()[:12]}.cpio"
    if not initrd.exists() or initrd.read_bytes() != content:
        _forget_old(folder)
        with tempfile.NamedTemporaryFile(dir=folder, delete=False) as half:  # two runs at once both end whole
            half.write(content)
        Path(half.name).chmod(0o644)  # libvirt's QEMU runs as a user of its own
        Path(half.name).rename(initrd)
    return GuestImage(kernel=kernel, initrd=initrd)


def _forget_old(folder: Path) -> None:
    """Archives that nobody has booted for long."""
    for path in folder.glob("initrd-*.cpio"):
        with contextlib.suppress(FileNotFoundError):
            if path.stat().st_atime < time.time() - OLD_S and path.stat().st_mtime < time.time() - OLD_S:
                path.unlink()


def _fetch(folder: Path) -> None:
    """Unpack the distribution's package of the cloud kernel; nothing is installed, and /boot stays as it is."""
    package = _versioned()
    if package is None and os.geteuid() == 0:
        run(("apt-get", "update", "-qq"), timeout_s=300)
        package = _versioned()
    if package is None:
        return
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder) as scratch:
        # apt-get download writes where it stands
        run(("sh", "-c", 'cd "$1" && apt-get download -q "$2"', "sh", scratch, package), timeout_s=600)
        for archive in Path(scratch).glob("*.deb"):
            unpacked = Path(scratch) / "root"
            run(("dpkg-deb", "-x", str(archive), str(unpacked)), timeout_s=300)
            _keep(unpacked, folder)


def _keep(unpacked: Path, folder: Path) -> None:
    for kernel in (unpacked / "boot").glob("vmlinuz-*"):
        version = kernel.name.removeprefix("vmlinuz-")
        base = next((b for b in (unpacked / "lib/modules", unpacked / "usr/lib/modules") if b.is_dir()), None)
        for path in (base / version).rglob("*.ko*") if base else ():
            if _stem(path) in _NEEDED:
                target = folder / "lib/modules" / version / path.name
                target.parent.mkdir(parents=True, exist_ok=True)
                path.replace(target)
        (folder / "boot").mkdir(exist_ok=True)
        kernel.replace(folder / "boot" / kernel.name)


def _versioned() -> str | None:
    """The package that the distribution's cloud kernel stands for at the moment."""
    words = run(("apt-cache", "depends", "--no-recommends", _PACKAGE), check=False).stdout
    found = re.search(r"Depends: (linux-image-\S+)", words)
    return found[1] if found else None
