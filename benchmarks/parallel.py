"""Run a function on several cores: forked processes, each with its part of the work."""

from __future__ import annotations

import contextlib
import os
import pickle
import signal
from collections.abc import Callable, Sequence
from typing import TypeVar

from bascule.errors import BasculeError
from bascule.system.process.workers import die_with_parent, fork

T = TypeVar("T")
R = TypeVar("R")


def cores() -> int:
    """How many this process may use."""
    return len(os.sched_getaffinity(0))


def side_by_side(function: Callable[[T], R], parts: Sequence[T]) -> list[R]:
    """The results for all parts, in order: the first here, each other one in a process of its own.

    Results must be picklable. Raises what the function raises; the other processes are ended then.
    """
    children: list[tuple[int, int]] = []
    try:
        for part in parts[1:]:
            children.append(_start(function, part))  # noqa: PERF401  # one by one: a failed fork ends those before it
        results = [function(part) for part in parts[:1]]
        results += [_result(reader) for _, reader in children]
    finally:
        for pid, reader in children:
            with contextlib.suppress(OSError):
                os.close(reader)
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
            with contextlib.suppress(ChildProcessError):
                os.waitpid(pid, 0)
    return results


def _start(function: Callable[[T], R], part: T) -> tuple[int, int]:
    parent = os.getpid()
    reader, writer = os.pipe()
    pid = fork()
    if pid:
        os.close(writer)
        return pid, reader
    try:
        die_with_parent()
        if os.getppid() == parent:
            os.close(reader)
            answer: tuple[bool, object]
            try:
                answer = (True, function(part))
            except Exception as failed:  # handed to the parent, who raises it
                answer = (False, failed)
            with os.fdopen(writer, "wb") as stream:
                stream.write(pickle.dumps(answer))
    finally:
        os._exit(0)


def _result(reader: int) -> R:  # type: ignore[type-var]  # the caller says what its function returns
    with os.fdopen(os.dup(reader), "rb") as stream:
        data = stream.read()
    if not data:
        raise BasculeError.of("WORKER-KILLED", "a process that did part of the work was killed", hint="run it again")
    ok, value = pickle.loads(data)
    if not ok:
        raise value
    return value  # type: ignore[no-any-return]  # as above
