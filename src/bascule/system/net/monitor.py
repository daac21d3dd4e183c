"""The kernel's notifications of network changes: one is told that something changed, and looks again."""

from __future__ import annotations

import contextlib
import errno
import select
import socket
import time
from pathlib import Path

from bascule.system.closing import Closing

# linux/rtnetlink.h: RTMGRP_LINK, IPV4_IFADDR, IPV4_ROUTE, IPV4_RULE, IPV6_IFADDR, IPV6_ROUTE, and RTNLGRP_IPV6_RULE
_GROUPS = 0x1 | 0x10 | 0x40 | 0x80 | 0x100 | 0x400 | 1 << 18
_NETFILTER, _NFTABLES = 12, 1 << 6  # linux/netlink.h and nfnetlink.h: NETLINK_NETFILTER, NFNLGRP_NFTABLES
_QUIET_S = 0.05  # a change seldom comes alone: told once what comes together
_STORM_S = 0.5  # and once in this time where they do not cease


class NetlinkMonitor(Closing):
    """Open AF_NETLINK sockets of the namespace in which it was made."""

    __slots__ = ("_socks", "hears_all")

    def __init__(self) -> None:
        self._socks = [_listen(socket.NETLINK_ROUTE, _GROUPS)]
        try:
            self._socks.append(_listen(_NETFILTER, _NFTABLES))
        except OSError:  # not permitted, or a kernel without nftables
            self.hears_all = False
        else:
            self.hears_all = True

    def changed(self) -> bool:
        """Whether anything may have changed since it was made, as far as the kernel tells: not of parameters."""
        return not self.hears_all or bool(select.select(self._socks, [], [], 0)[0])

    def rules_changed(self) -> bool:
        """Whether nft's tables have changed since it was made; never where the kernel does not tell us of them."""
        return self.hears_all and bool(select.select(self._socks[1:], [], [], 0)[0])

    def wait(self, timeout_s: float | None = None) -> bool:
        """Whether something changed within the time; what comes in quick succession counts as one."""
        telling = select.select(self._socks, [], [], timeout_s)[0]
        if not telling:
            return False
        end = time.monotonic() + _STORM_S
        while time.monotonic() < end and telling:
            for sock in telling:
                _drain(sock)
            telling = select.select(self._socks, [], [], _QUIET_S)[0]
        return True

    def close(self) -> None:
        """Listen no more."""
        for sock in self._socks:
            sock.close()


def _listen(protocol: int, groups: int) -> socket.socket:
    sock = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, protocol)
    try:
        sock.setblocking(False)
        sock.bind((0, groups))
    except BaseException:
        sock.close()
        raise
    return sock


def _drain(sock: socket.socket) -> None:
    with contextlib.suppress(BlockingIOError):
        while True:
            try:
                sock.recv(1 << 20)
            except OSError as error:
                if error.errno == errno.ENOBUFS:  # notifications were lost; something changed all the same
                    continue
                raise


def namespace_cookie() -> int:
    """The kernel's number of the network namespace that we are in: not given out again before the next boot.

    Falls back to the inode before Linux 5.14.
    """
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock, contextlib.suppress(OSError):
        return int.from_bytes(sock.getsockopt(socket.SOL_SOCKET, 71, 8), "little")  # SO_NETNS_COOKIE
    return Path("/proc/thread-self/ns/net").stat().st_ino
