"""Child processes: forked functions that die with their parent, and daemons."""

from __future__ import annotations

import contextlib
import gc
import os
import select
import signal
import subprocess
import sys
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path

from bascule.system.clock import wait_until
from bascule.system.net.netns import Namespace, call
from bascule.system.run import find_tool

_PR_SET_PDEATHSIG = 1


def die_with_parent() -> None:
    """Have the kernel kill this process when the thread that forked it ends (prctl(2)); not kept over setuid."""
    call("prctl", _PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)


def fork() -> int:
    """os.fork, also where other threads live: the child goes on with this thread alone and must not need theirs."""
    for stream in (sys.stdout, sys.stderr):
        if stream is not None:
            with contextlib.suppress(OSError, ValueError):
                stream.flush()  # else what waits in the buffer is printed by both
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # Python 3.12 warns where a test runner has threads
        pid = os.fork()
    if pid == 0:
        gc.freeze()  # what the parent made is not collected here: pages stay shared
    return pid


class Worker:
    """A forked process that runs a function until it is stopped. ``pid`` is its process id."""

    def __init__(self, function: Callable[[Callable[[], None]], None]) -> None:
        """Start it; returns when the function has called its argument (ready), or has ended."""
        parent = os.getpid()
        reader, writer = os.pipe()
        self.pid = fork()
        if self.pid == 0:
            status = 1
            try:
                die_with_parent()
                if os.getppid() == parent:
                    os.close(reader)
                    function(lambda: os.close(writer) if os.write(writer, b"+") else None)
                    status = 0
            except KeyboardInterrupt:
                pass
            except BaseException:  # the last frame of a process: nobody above could handle it
                sys.excepthook(*sys.exc_info())
            finally:
                os._exit(status)
        os.close(writer)
        self.ready = os.read(reader, 1) == b"+"
        os.close(reader)

    def stop(self, *, wait: bool = True) -> None:
        """End it and wait for its end; without ``wait`` the end of our own process is soon enough for that."""
        if self.pid:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, signal.SIGKILL)
            with contextlib.suppress(ChildProcessError):
                os.waitpid(self.pid, 0 if wait else os.WNOHANG)
            self.pid = 0


class Daemon:
    """A program that runs beside us in a namespace; what it prints goes into a file. The sandbox's end is its end."""

    def __init__(self, argv: Sequence[str], namespace: Namespace, log: Path) -> None:
        """Start it. Raises MissingTool."""
        command = (find_tool(argv[0]), *argv[1:])
        self.argv = tuple(argv)
        self.log = log
        with log.open("wb") as out, namespace.entered():
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=out,
                env={**os.environ, "LC_ALL": "C"},
            )

    @property
    def is_alive(self) -> bool:
        """Whether it still runs."""
        return self._process.poll() is None

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    @property
    def output(self) -> str:
        """What it has printed until now."""
        return self.log.read_text(encoding="utf-8", errors="replace")

    def wait_for(self, text: str, *, timeout_s: float = 5.0) -> bool:
        """Whether it printed ``text`` before it ended and before the time was over."""
        return self.wait(lambda: text in self.output, timeout_s=timeout_s)

    def wait(self, ready: Callable[[], bool], *, timeout_s: float) -> bool:
        """Whether it was ready before it ended and before the time was over."""
        wait_until(lambda: not self.is_alive or ready(), within_s=timeout_s, every_s=0.002)
        return ready()

    def stop(self) -> None:
        """End it and wait for its end."""
        self._process.kill()
        self._process.wait()


def is_gone(pidfd: int) -> bool:
    """Whether the process behind a pidfd has ended."""
    return bool(select.select([pidfd], [], [], 0)[0])
