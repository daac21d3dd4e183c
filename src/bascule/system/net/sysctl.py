"""Kernel parameters, as one network namespace sees them."""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Self

from bascule.system.net.netns import Namespace

SYSCTL = Path("/proc/sys")
PART = 4096  # bytes that are read at once; room for more of them takes longer to make than a parameter to read


class Parameters:
    """The files below /proc/sys, as the given network namespace sees them, or the one that we are in.

    They are thousands on a large host, most of them in ``net/ipv6/conf/LINK``: each is opened from the folder above
    that, which takes half the time of the whole path (measured), and pathlib's six times as long.
    """

    __slots__ = ("_folders", "_namespace", "_stack")

    def __init__(self, namespace: Namespace | None = None) -> None:
        self._namespace = namespace
        self._folders: dict[str, int | None] = {}
        self._stack = contextlib.ExitStack()

    def __enter__(self) -> Self:
        if self._namespace is not None:
            self._stack.enter_context(self._namespace.entered())
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def read(self, key: str) -> str | None:
        """The text of one; None where the kernel has none of this name, or no value that we may see. Raises OSError."""
        try:
            fd = self._open(key, os.O_RDONLY)
        except (FileNotFoundError, NotADirectoryError, PermissionError):
            return None
        try:
            data = part = os.read(fd, PART)
            while len(part) == PART:
                data += (part := os.read(fd, PART))
            return data.decode().strip()
        except OSError as error:
            if error.errno == errno.EIO:  # a stable_secret that nobody has set
                return None
            raise
        finally:
            os.close(fd)

    def write(self, key: str, value: str) -> None:
        """Set one. Raises OSError."""
        fd = self._open(key, os.O_WRONLY)
        try:
            os.write(fd, value.encode())
        finally:
            os.close(fd)

    def _open(self, key: str, flags: int) -> int:
        words = key.rsplit("/", 2)
        above, name = (words[0], f"{words[1]}/{words[2]}") if len(words) == 3 else ("", key)
        if above not in self._folders:
            self._folders[above] = self._folder(above)
        folder = self._folders[above]
        if folder is None:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), key)
        return os.open(name, flags | os.O_CLOEXEC, dir_fd=folder)

    def _folder(self, path: str) -> int | None:
        try:
            fd = os.open(f"{SYSCTL}/{path}", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        except (FileNotFoundError, NotADirectoryError):
            return None
        self._stack.callback(os.close, fd)
        return fd


def read_sysctls(keys: Iterable[str], *, namespace: Namespace | None = None) -> Mapping[str, str]:
    """The texts of several; missing ones are left out. Raises OSError."""
    with Parameters(namespace) as parameters:
        return {key: text for key in dict.fromkeys(keys) if (text := parameters.read(key)) is not None}


def write_sysctl(key: str, value: str, *, namespace: Namespace | None = None) -> None:
    """Set one kernel parameter. Raises OSError."""
    write_sysctls({key: value}, namespace=namespace)


def write_sysctls(values: Mapping[str, str], *, namespace: Namespace | None = None) -> None:
    """Set several kernel parameters. Raises OSError."""
    with Parameters(namespace) as parameters:
        for key, value in values.items():
            parameters.write(key, value)
