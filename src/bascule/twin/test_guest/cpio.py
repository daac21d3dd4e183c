"""An archive in the `newc` format of cpio, which the Linux kernel unpacks as its first root file system.

The format: linux/Documentation/driver-api/early-userspace/buffer-format.rst.
"""

from __future__ import annotations

import stat
from collections.abc import Iterable

from msgspec import Struct

_TRAILER = "TRAILER!!!"


class CpioEntry(Struct, frozen=True, kw_only=True):
    """A file, directory, link or device. ``path`` has no leading slash; ``mode`` holds type and permissions."""

    path: str
    mode: int
    content: bytes = b""
    device: tuple[int, int] = (0, 0)


def directory(path: str) -> CpioEntry:
    """A directory that everybody may read."""
    return CpioEntry(path=path, mode=stat.S_IFDIR | 0o755)


def file(path: str, content: bytes, *, executable: bool = False) -> CpioEntry:
    """A regular file."""
    return CpioEntry(path=path, mode=stat.S_IFREG | (0o755 if executable else 0o644), content=content)


def console() -> CpioEntry:
    """``/dev/console``, without which the first process has no output."""
    return CpioEntry(path="dev/console", mode=stat.S_IFCHR | 0o600, device=(5, 1))


def archive(entries: Iterable[CpioEntry]) -> bytes:
    """The entries as one archive; the same entries always give the same bytes."""
    out = bytearray()
    for inode, entry in enumerate(entries, start=1):
        _append(out, inode, entry)
    _append(out, 0, CpioEntry(path=_TRAILER, mode=0))
    out += b"\0" * (-len(out) % 512)
    return bytes(out)


def _append(out: bytearray, inode: int, entry: CpioEntry) -> None:
    name = entry.path.encode() + b"\0"
    links = 2 if stat.S_ISDIR(entry.mode) else 1
    fields = (inode, entry.mode, 0, 0, links, 0, len(entry.content), 0, 0, *entry.device, len(name), 0)
    out += b"070701" + b"".join(b"%08X" % number for number in fields) + name
    out += b"\0" * (-len(out) % 4)
    out += entry.content
    out += b"\0" * (-len(out) % 4)
