"""A lock that dies with its holder: flock on a file, with a line in it that says who holds it."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import signal
import time
from pathlib import Path
from typing import Self

from msgspec import Struct

from bascule.system.closing import Closing, HeldDescriptor
from bascule.system.process import proc

_STEP_S = 0.02


class Holder(Struct, frozen=True):
    """Who has the lock; ``pid`` is 0 where the file does not say."""

    pid: int = 0
    started: int = 0  # clock ticks after boot: a pid may be given out again
    verb: str = ""

    @property
    def is_alive(self) -> bool:
        """Whether that very process still runs."""
        return self.pid > 0 and proc.started(self.pid) == self.started


class LockHeld(Exception):
    """Somebody else has it."""

    def __init__(self, path: Path) -> None:
        self.path, self.holder = path, holder(path)
        super().__init__(f"held by process {self.holder.pid}")


class Lock(HeldDescriptor):
    """The held lock. Programs that inherit ``fd`` hold it as well, until the last of them has ended."""

    __slots__ = ()

    @classmethod
    def take(cls, path: Path, verb: str, *, wait_s: float = 0.0) -> Self:
        """Take it, after waiting for at most ``wait_s`` seconds. Raises LockHeld, OSError."""
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        until = time.monotonic() + wait_s
        try:
            while True:
                try:
                    fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    break
                except BlockingIOError:
                    if time.monotonic() >= until:
                        raise LockHeld(path) from None
                    time.sleep(_STEP_S)
            pid = os.getpid()
            with contextlib.suppress(OSError):  # a full disk: the lock holds all the same, only without a name
                os.ftruncate(fd, 0)
                os.pwrite(fd, json.dumps({"pid": pid, "started": proc.started(pid), "verb": verb}).encode(), 0)
        except BaseException:
            os.close(fd)
            raise
        return cls(fd)


class HeldLock(Closing):
    """A lock to be taken later, whatever becomes of its path meanwhile. Raises OSError where it is not there.

    Whoever holds it still has the file that was there, and whoever comes later takes the one that is there then: both
    are taken.
    """

    __slots__ = ("_fd", "_path", "_taken")

    def __init__(self, path: Path) -> None:
        self._path, self._taken = path, list[Lock]()
        self._fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)

    @property
    def fds(self) -> tuple[int, ...]:
        """Programs that inherit them hold the lock as well."""
        return tuple(lock.fd for lock in self._taken)

    def take(self, verb: str, *, wait_s: float) -> Self:
        """Take it, after waiting for at most ``wait_s`` seconds. Raises LockHeld, OSError."""
        paths = [Path(f"/proc/self/fd/{self._fd}")]
        with contextlib.suppress(OSError):
            if not os.path.samestat(self._path.stat(), os.fstat(self._fd)):
                paths.append(self._path)
        for path in paths[len(self._taken) :]:
            self._taken.append(Lock.take(path, verb, wait_s=wait_s))
        return self

    def close(self) -> None:
        """Let go."""
        while self._taken:
            self._taken.pop().close()


def holder(path: Path) -> Holder:
    """Who last took the lock."""
    try:
        return Holder(**json.loads(path.read_text()))
    except (OSError, ValueError, TypeError):
        return Holder()


def end_holder(path: Path) -> None:
    """Kill whoever holds the lock: it was stopped or hangs, and the host cannot wait for it."""
    who = holder(path)
    if who.is_alive and who.pid != os.getpid():
        with contextlib.suppress(ProcessLookupError):
            os.kill(who.pid, signal.SIGKILL)
