"""The kernel's notifications of network changes, as a doorbell: it rings, and one looks again."""

from __future__ import annotations

import contextlib
import errno
import select
import socket
import time
from pathlib import Path
from typing import Self

# linux/rtnetlink.h: RTMGRP_LINK, IPV4_IFADDR, IPV4_ROUTE, IPV4_RULE, IPV6_IFADDR, IPV6_ROUTE
_GROUPS = 0x1 | 0x10 | 0x40 | 0x80 | 0x100 | 0x400
_QUIET_S = 0.05  # a change seldom comes alone: ring once for what comes together
_STORM_S = 0.5  # and once in this time where they do not cease


class Doorbell:
    """An open AF_NETLINK socket of the namespace in which it was made."""

    __slots__ = ("_sock",)

    def __init__(self) -> None:
        self._sock = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, socket.NETLINK_ROUTE)
        self._sock.setblocking(False)
        self._sock.bind((0, _GROUPS))

    def wait(self, timeout_s: float | None = None) -> bool:
        """Whether it rang within the time; what rings in quick succession counts as one."""
        if not select.select([self._sock], [], [], timeout_s)[0]:
            return False
        end = time.monotonic() + _STORM_S
        while time.monotonic() < end and select.select([self._sock], [], [], _QUIET_S)[0]:
            self._drain()
        return True

    def _drain(self) -> None:
        with contextlib.suppress(BlockingIOError):
            while True:
                try:
                    self._sock.recv(1 << 20)
                except OSError as error:
                    if error.errno == errno.ENOBUFS:  # notifications were lost; it rang all the same
                        continue
                    raise

    def close(self) -> None:
        """Listen no more."""
        self._sock.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def namespace_cookie() -> int:
    """The kernel's number of the network namespace that we are in: not given out again before the next boot.

    Falls back to the inode before Linux 5.14.
    """
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock, contextlib.suppress(OSError):
        return int.from_bytes(sock.getsockopt(socket.SOL_SOCKET, 71, 8), "little")  # SO_NETNS_COOKIE
    return Path("/proc/thread-self/ns/net").stat().st_ino
