"""What a signal may do to us while the host is being changed. Programs that we start inherit what is ignored."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Iterator, Mapping
from types import FrameType


class Interrupted(KeyboardInterrupt):
    """SIGTERM, told like Ctrl-C."""


def _interrupt(_number: int, _frame: FrameType | None) -> None:
    raise Interrupted


@contextlib.contextmanager
def hangup_ignored() -> Iterator[None]:
    """A line that breaks (SIGHUP, SIGPIPE) stops nothing; SIGTERM ends the work as Ctrl-C does, in good order."""
    with handling({signal.SIGHUP: signal.SIG_IGN, signal.SIGPIPE: signal.SIG_IGN, signal.SIGTERM: _interrupt}):
        yield


@contextlib.contextmanager
def ignoring_signals() -> Iterator[None]:
    """No signal that can be ignored interrupts this."""
    ignored = (signal.SIGHUP, signal.SIGPIPE, signal.SIGTERM, signal.SIGINT, signal.SIGQUIT, signal.SIGTSTP)
    with handling(dict.fromkeys(ignored, signal.SIG_IGN)):
        yield


@contextlib.contextmanager
def handling(wanted: Mapping[signal.Signals, object]) -> Iterator[None]:
    """With these handlers of signals; afterwards with those that were there before."""
    if threading.current_thread() is not threading.main_thread():
        yield  # only the main thread may set handlers, and only there do they run
        return
    before = {number: signal.signal(number, handler) for number, handler in wanted.items()}  # type: ignore[arg-type]
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
