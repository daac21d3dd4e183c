"""A process that does one duty if we are killed: what ``finally`` cannot do after ``kill -9``."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
from collections.abc import Callable
from types import TracebackType
from typing import Self

from bascule.system.process.workers import fork


class OnDeath:
    """While inside, a forked process waits for our end; it does the duty only if we end inside.

    It lives in a session of its own and heeds no signal that a terminal, a closed line or a service manager sends. The
    duty must do no harm when it is done twice.
    """

    def __init__(self, duty: Callable[[], None]) -> None:
        self._duty = duty

    def __enter__(self) -> Self:
        reader, self._writer = os.pipe()
        self._pid = fork()
        if self._pid == 0:
            os.close(self._writer)
            _wait(reader, self._duty)
        os.close(reader)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with contextlib.suppress(BrokenPipeError):  # somebody killed it
            os.write(self._writer, b".")
        os.close(self._writer)
        with contextlib.suppress(ChildProcessError):
            os.waitpid(self._pid, 0)


def _wait(reader: int, duty: Callable[[], None]) -> None:
    """The forked process's whole life; it does not return."""
    status = 0
    try:
        os.setsid()
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)
        if not os.read(reader, 1):  # nobody holds the other end any more, and no word came before
            duty()
    except BaseException:  # the last frame of a process: nobody above could handle it
        status = 1
        sys.excepthook(*sys.exc_info())
    finally:
        os._exit(status)
