"""Whose frames a process reads (packet(7))."""

from __future__ import annotations

import os
from pathlib import Path


def listened_to(pid: str) -> frozenset[int] | None:
    """The links, by number, whose frames a process reads from sockets; None where that is not seen.

    A socket stays with the link for which it was opened: a new link of the same name is not read from it.
    """
    try:
        rows = [line.split() for line in Path(f"/proc/{pid}/net/packet").read_text().splitlines()[1:]]
        with os.scandir(f"/proc/{pid}/fd") as descriptors:
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
