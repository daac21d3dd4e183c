"""Network namespaces, held by a file descriptor."""

from __future__ import annotations

import contextlib
import ctypes
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Self

from bascule.system.closing import HeldDescriptor

CLONE_NEWNET = 0x40000000

_libc = ctypes.CDLL(None, use_errno=True)


def call(name: str, *arguments: int | bytes | None) -> int:
    """A function of libc that says by -1 that it failed; raises OSError then."""
    status: int = getattr(_libc, name)(*arguments)
    if status == -1:
        number = ctypes.get_errno()
        raise OSError(number, f"{name}: {os.strerror(number)}")
    return status


class Namespace(HeldDescriptor):
    """A network namespace, which the kernel removes when nobody holds it."""

    __slots__ = ("name",)

    def __init__(self, fd: int, name: str) -> None:
        super().__init__(fd)
        self.name = name

    @classmethod
    def current(cls, name: str = "here") -> Self:
        """The namespace of the calling thread."""
        return cls(os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC), name)

    @classmethod
    def open(cls, path: str | Path, name: str = "") -> Self:
        """A namespace that is mounted at a path, as ``ip netns`` leaves it in /run/netns."""
        return cls(os.open(path, os.O_RDONLY | os.O_CLOEXEC), name or Path(path).name)

    @classmethod
    def new(cls, name: str) -> Self:
        """A fresh, empty namespace; the calling thread stays where it is."""
        with cls.current() as here, here.entered():
            call("unshare", CLONE_NEWNET)
            return cls.current(name)

    @contextlib.contextmanager
    def entered(self) -> Iterator[Self]:
        """Be in this namespace for a while; what is started or opened meanwhile belongs to it."""
        with type(self).current() as home:
            try:
                _enter(self)
                yield self
            finally:
                _enter(home)

    @property
    def identity(self) -> tuple[int, int]:
        """Device and inode: equal for two handles of the same namespace."""
        status = os.fstat(self.fd)
        return status.st_dev, status.st_ino

    def __repr__(self) -> str:
        return f"Namespace({self.name})"


def current_identity() -> tuple[int, int]:
    """What tells the namespace of the calling thread from every other one, as ``Namespace.identity``."""
    where = Path("/proc/thread-self/ns/net").stat()
    return where.st_dev, where.st_ino


def _enter(namespace: Namespace) -> None:
    """The calling thread goes there, unless it is: that takes CAP_SYS_ADMIN, which a change here does not need."""
    if current_identity() != namespace.identity:
        call("setns", namespace.fd, CLONE_NEWNET)


def is_machines_own() -> bool:
    """Whether we are in the network namespace of PID 1; False where that cannot be seen, as with hidepid=2.

    Only root may look at the namespace of another's process. What /proc shows of it has numbers that are unique as
    well (fs/proc/generic.c, proc_alloc_inum), which everybody may see.
    """
    for name in ("ns/net", "net/dev"):
        with contextlib.suppress(OSError):
            first, ours = Path("/proc/1", name).stat(), Path("/proc/thread-self", name).stat()
            return (first.st_dev, first.st_ino) == (ours.st_dev, ours.st_ino)
    return False
