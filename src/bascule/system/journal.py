"""The journal of systemd: entries with a priority and fields of their own (systemd.journal-fields(7))."""

from __future__ import annotations

import contextlib
import os
import socket
from typing import TextIO

WARNING, INFO = 4, 6  # syslog(3)
SOCKET = "/run/systemd/journal/socket"  # its native protocol: a datagram with a line for each field


def is_journal(stream: TextIO) -> bool:
    """Whether what is written to a stream goes to the journal; a shell that a service starts may lead it elsewhere."""
    with contextlib.suppress(OSError, ValueError):
        there = os.fstat(stream.fileno())
        return os.environ.get("JOURNAL_STREAM") == f"{there.st_dev}:{there.st_ino}"
    return False


def write_entry(message: str, priority: int, **fields: str) -> bool:
    """An entry; False where the journal does not take it."""
    named = {"MESSAGE": message, "PRIORITY": str(priority), "SYSLOG_IDENTIFIER": "bascule", **fields}
    lines = "".join(f"{name}={' '.join(value.split())}\n" for name, value in named.items() if value)
    with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.sendto(lines.encode(errors="replace"), SOCKET)
        return True
    return False
