"""Processes that outlive us, and those of others in our network namespace."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
from collections.abc import Iterable, Sequence
from pathlib import Path

from msgspec import Struct

from bascule.system.clock import wait_until
from bascule.system.process import proc

GONE_S = 2.0  # how long a killed process may take to leave the machine

_started: list[subprocess.Popen[bytes]] = []  # not ours to wait for; held so that nobody complains about them


def spawn_detached(argv: Sequence[str], *, log: Path | int, keep: Sequence[int] = ()) -> subprocess.Popen[bytes]:
    """Start a program in a session of its own, with nothing of ours but the descriptors of ``keep``.

    What it prints goes to ``log``, a file or a descriptor. Raises OSError.
    """
    with contextlib.ExitStack() as stack:
        out = log if isinstance(log, int) else open_log(log)
        if out != log:
            stack.callback(os.close, out)
        process = subprocess.Popen(
            argv,
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=out,
            cwd="/",
            pass_fds=tuple(keep),
            start_new_session=True,
        )
    _started.append(process)
    return process


def open_log(path: Path) -> int:
    """A file that is only added to. Raises OSError."""
    return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)


class Program(Struct, frozen=True, kw_only=True):
    """A process in our network namespace. ``started`` tells it from a later one with the same number."""

    pid: int
    parent: int
    started: int
    argv: tuple[str, ...]


def programs() -> tuple[Program, ...]:
    """All processes in the network namespace of the calling thread, as far as they may be seen."""
    found = []
    for pid in filter(proc.is_in_our_namespace, proc.pids()):
        argv, fields = proc.argv(pid), proc.status(pid)
        if argv and fields:
            parent, started = int(fields[proc.PARENT]), int(fields[proc.STARTED])
            found.append(Program(pid=pid, parent=parent, started=started, argv=argv))
    return tuple(found)


def opened(pid: int) -> dict[int, str]:
    """What a process has open, a path for each descriptor; nothing where we may not look."""
    found = {}
    with contextlib.suppress(OSError):
        for one in Path(f"/proc/{pid}/fd").iterdir():
            with contextlib.suppress(OSError):
                found[int(one.name)] = str(one.readlink())
    return found


def end_with_children(pid: int, among: Iterable[Program]) -> None:
    """End a process at once, then what it has started (dhcpcd has helpers); none of them gets to say goodbye."""
    programs_ = {program.pid: program for program in among}
    family = [programs_[pid]] if pid in programs_ else []
    for member in family:
        family += [program for program in programs_.values() if program.parent == member.pid]
    for member in family:
        if proc.started(member.pid) == member.started:
            with contextlib.suppress(ProcessLookupError):
                os.kill(member.pid, signal.SIGKILL)
    wait_until(lambda: all(proc.started(one.pid) != one.started for one in family), within_s=GONE_S, every_s=0.005)
