"""Files that are whole or not there at all, whatever happens to the machine in between."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

UNFINISHED = ".new"  # the end of a name that stands beside a file's until it is whole
ROOM = 16 * 1024  # bytes kept free for a journal, so that it can be written to when the disk is full


def make_folder(path: Path, *, mode: int = 0o700) -> None:
    """Make a folder with its parents, known to the disk when this returns; only its owner may enter, unless told."""
    if path.is_dir():
        return
    make_folder(path.parent, mode=mode)
    with contextlib.suppress(FileExistsError):
        path.mkdir(mode=mode)
    sync_folder(path.parent)


def link(path: Path, target: Path) -> None:
    """A symbolic link, known to the disk; whatever else stands in its place goes. Raises OSError."""
    if not (path.is_symlink() and path.readlink() == target):
        path.unlink(missing_ok=True)
        path.symlink_to(target)
    sync_folder(path.parent)


def sync_folder(path: Path) -> None:
    """Bring a folder's entries to the disk."""
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


@contextlib.contextmanager
def naming(target: str | Path) -> Iterator[None]:
    """What goes wrong in writing to a file that is open already has no name: give it this one. Raises OSError."""
    try:
        yield
    except OSError as error:
        if error.filename is None:
            error.filename = str(target)
        raise


def write_whole(path: Path, data: bytes, *, mode: int = 0o600, owner: tuple[int, int] | None = None) -> None:
    """Put a file in place in one go: written beside it, brought to the disk, renamed.

    ``owner`` is (uid, gid). Raises OSError; the old file is then still there and nothing is left beside it.
    """
    beside = path.with_name(f"{_beside(path)}{os.getpid()}{UNFINISHED}")
    fd = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, mode)
    try:
        try:
            with naming(path):
                _write_all(fd, data)
            os.fchmod(fd, mode)
            if owner is not None:
                os.fchown(fd, *owner)
            os.fsync(fd)
        finally:
            os.close(fd)
        os.replace(beside, path)  # noqa: PTH105  # its arguments are patched by name in fault injection
    except BaseException:
        with contextlib.suppress(OSError):
            beside.unlink()
        raise
    sync_folder(path.parent)


def _beside(path: Path) -> str:
    return f".{path.name[:200]}."


def clear_beside(path: Path) -> None:
    """Remove what a process that was killed while it wrote a file has left beside it. Raises OSError."""
    for one in path.parent.iterdir() if path.parent.is_dir() else ():
        number = one.name.removeprefix(_beside(path)).removesuffix(UNFINISHED)
        if number.isdigit() and one.name == f"{_beside(path)}{number}{UNFINISHED}":
            one.unlink(missing_ok=True)


def _write_all(fd: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(fd, view) :]


def fill_folder(path: Path, files: Mapping[str, bytes], journal: str) -> None:
    """Put files into a new folder, and a journal without a record yet: until it has one, nobody reads the others.

    All of it is on the disk when this returns. Raises OSError.
    """
    for name, data in files.items():
        with naming(path / name), _new(path / name) as fd:
            _write_all(fd, data)
            os.fsync(fd)
    with _new(path / journal) as fd:
        os.posix_fallocate(fd, 0, ROOM)  # the first record takes this to the disk
    sync_folder(path)


@contextlib.contextmanager
def _new(path: Path) -> Iterator[int]:
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        yield fd
    finally:
        os.close(fd)


def append(path: Path, record: Mapping[str, Any]) -> None:
    """Add a record and bring it to the disk. A record that was torn by a power cut is written over."""
    fd = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    try:
        end = _end(_read_all(fd))
        line = json.dumps(record, separators=(",", ":")).encode() + b"\n"
        os.lseek(fd, end, os.SEEK_SET)
        _write_all(fd, line + b"\0")
        os.fsync(fd)
    finally:
        os.close(fd)


def records(path: Path) -> list[dict[str, Any]]:
    """All whole records of a journal, oldest first; none where it does not exist."""
    try:
        text = path.read_bytes()
    except FileNotFoundError:
        return []
    return [json.loads(line) for line in text[: _end(text)].splitlines()]


def _read_all(fd: int) -> bytes:
    parts = []
    while part := os.read(fd, 65536):
        parts.append(part)
    return b"".join(parts)


def _end(text: bytes) -> int:
    """Where the last whole record ends."""
    end = 0
    while (newline := text.find(b"\n", end)) >= 0:
        try:
            json.loads(text[end:newline])
        except ValueError:
            break
        end = newline + 1
    return end


def remove_file(path: Path) -> None:
    """Remove a file, known to the disk; one that is not there is no error."""
    path.unlink(missing_ok=True)
    if path.parent.is_dir():
        sync_folder(path.parent)


def remove_folder(path: Path) -> None:
    """Delete a folder and the files in it, as far as that can be done."""
    with contextlib.suppress(OSError):
        for entry in list(path.iterdir()):
            entry.unlink()
        path.rmdir()
