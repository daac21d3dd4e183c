"""What /proc tells of processes (proc(5)): of one that has ended, or that we may not look at, it tells nothing."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

from bascule.system.net.netns import current_identity

PROC = Path("/proc")
PARENT, STARTED = 1, 19  # places among the fields of proc_pid_stat(5), from the state on


def pids() -> Iterator[int]:
    """The processes of this machine."""
    return map(int, filter(str.isdigit, os.listdir(PROC)))  # noqa: PTH208  # names, of thousands


def name(pid: int) -> str:
    """What the kernel calls a process: the first 15 bytes of its program's name, unless it took another."""
    return _read(pid, "comm").rstrip("\n")


def argv(pid: int) -> tuple[str, ...]:
    """The words that it was started with; none of a zombie or of a thread of the kernel."""
    text = _read(pid, "cmdline").rstrip("\0")
    return tuple(text.split("\0")) if text else ()


def environment(pid: int) -> dict[str, str]:
    """The variables that it was started with."""
    return dict(entry.partition("=")[::2] for entry in _read(pid, "environ").split("\0") if "=" in entry)


def status(pid: int) -> list[str]:
    """The fields of its main thread from the state on (proc_pid_stat(5)): the name before them may hold anything."""
    return _read(pid, f"task/{pid}/stat").rpartition(")")[2].split()


def is_stopped(pid: int) -> bool:
    """Whether a signal or a debugger holds it."""
    return status(pid)[:1] in (["T"], ["t"])


def started(pid: int) -> int:
    """When it started, in clock ticks after boot; 0 where it is not there, or is a zombie: that does nothing more."""
    fields = status(pid)
    return int(fields[STARTED]) if fields and fields[0] != "Z" else 0


def ancestors(pid: int) -> Iterator[int]:
    """A process and those above it."""
    while pid > 1:
        yield pid
        fields = status(pid)
        pid = int(fields[PARENT]) if fields else 0


def is_in_our_namespace(pid: int) -> bool:
    """Whether it is in the network namespace of the calling thread."""
    with contextlib.suppress(OSError):
        its = (PROC / f"{pid}/ns/net").stat()
        return (its.st_dev, its.st_ino) == current_identity()
    return False


def packet_links(pid: int) -> frozenset[int] | None:
    """The links, by number, whose frames it reads from packet sockets (packet(7)); None where that is not seen.

    A socket stays with the link for which it was opened: a new link of the same name is not read from it.
    """
    try:
        rows = [line.split() for line in (PROC / f"{pid}/net/packet").read_text().splitlines()[1:]]
        with os.scandir(PROC / f"{pid}/fd") as descriptors:
            own = {_leads_to(one.path) for one in descriptors}
    except OSError:
        return None
    return frozenset(int(row[4]) for row in rows if int(row[4]) > 0 and f"socket:[{row[8]}]" in own)


def _leads_to(descriptor: str) -> str:
    """What an entry of /proc/PID/fd is; nothing where it was closed meanwhile."""
    try:
        return os.readlink(descriptor)  # noqa: PTH115  # of thousands
    except FileNotFoundError:
        return ""


def _read(pid: int, file: str) -> str:
    with contextlib.suppress(OSError):
        return (PROC / str(pid) / file).read_bytes().decode(errors="replace")
    return ""
