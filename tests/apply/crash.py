"""Kill at a point: count every write, fsync, rename and command, and end the process with SIGKILL at the n-th."""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest import mock

from bascule.apply.rollback import watchdog as guard
from bascule.providers.kernel import effects
from bascule.system.net import iproute, sysctl


class Faults:
    """Patches of a process that is about to be killed; ``at`` None only counts."""

    def __init__(self, at: int | None) -> None:
        self.at = at
        self.count = 0
        self.names: list[str] = []

    def point(self, name: str) -> None:
        self.count += 1
        self.names.append(name)
        if self.count == self.at:
            os.kill(os.getpid(), signal.SIGKILL)

    def wrap(self, name: str, real: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **rest: Any) -> Any:
            self.point(name)
            return real(*arguments, **rest)

        return call

    def write(self, fd: int, data: Any) -> int:
        self.point("write")
        if self.count + 1 == self.at:
            REAL_WRITE(fd, bytes(data)[: len(data) // 2])  # torn
        self.point("torn write")
        return REAL_WRITE(fd, data)

    def batch(self, tool: str, text: str, **rest: Any) -> iproute.BatchError | None:
        lines = text.splitlines(keepends=True)
        if self.at is not None and self.count < self.at <= self.count + len(lines):
            done = self.at - self.count - 1
            if done:
                iproute.batch(tool, "".join(lines[:done]), **rest)
            os.kill(os.getpid(), signal.SIGKILL)
        self.count += len(lines)
        self.names += [f"{tool} {line.strip()}" for line in lines]
        return iproute.batch(tool, text, **rest)

    def install(self) -> None:
        """For the rest of this process's life."""
        for target, name in (
            (os, "fsync"),
            (os, "replace"),
            (os, "posix_fallocate"),
            (os, "unlink"),
            (os, "symlink"),
            (os, "link"),
            (os, "rmdir"),
        ):
            mock.patch.object(target, name, self.wrap(name, getattr(target, name))).start()
        mock.patch.object(os, "write", self.write).start()
        mock.patch.object(effects, "run_batch", self.batch).start()
        mock.patch.object(sysctl.Parameters, "write", self.wrap("sysctl", sysctl.Parameters.write)).start()


REAL_WRITE = os.write


class NoGuard:
    """Nobody watches: as if the dead-man had been killed together with its maker."""

    @staticmethod
    def install() -> None:
        mock.patch("bascule.apply.transaction.arm", lambda *_: guard.Watchdog({"kind": "process", "pid": 0})).start()


class ForkedGuard:
    """The dead-man without the cost of another interpreter: the same code in a forked process."""

    @staticmethod
    def install(faults: Callable[[], None] = lambda: None) -> None:
        def spawn(argv: list[str], *, log: Any, keep: Any) -> None:
            if os.fork() == 0:
                try:
                    from bascule.apply import deadman

                    os.setsid()
                    mock.patch.stopall()
                    for fd in [int(entry.name) for entry in Path("/proc/self/fd").iterdir()]:
                        if fd > 2 and fd not in keep:
                            with contextlib.suppress(OSError):
                                os.close(fd)
                    faults()
                    deadman.STEP_S = 0.02
                    os._exit(deadman.main([*argv[argv.index("bascule.apply.deadman") + 1 :]]))
                finally:
                    os._exit(70)

        mock.patch("bascule.system.process.programs.spawn_detached", spawn).start()


def in_child(work: Callable[[], None]) -> int:
    """Run it in a process of its own; its exit status, negative when it was killed."""
    pid = os.fork()
    if pid == 0:
        status = 70
        try:
            work()
            status = 0
        except SystemExit as stop:
            status = int(stop.code or 0)
        except BaseException as error:
            if os.environ.get("SHOW"):
                import traceback

                traceback.print_exc()
            status = getattr(error, "exit_status", 71)
        finally:
            os._exit(status)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
