"""Sockets of netlink(7): the header that every message has, and the notifications of network changes."""

from __future__ import annotations

import contextlib
import errno
import select
import socket
import struct
import time
from collections.abc import Iterator
from pathlib import Path

from bascule.system.closing import Closing

DONE, ERROR = 3, 2  # linux/netlink.h: NLMSG_*
REQUEST, ACK, DUMP, EXCL, CREATE = 0x1, 0x4, 0x300, 0x200, 0x400  # NLM_F_*
_HEADER = struct.Struct("=IHHII")  # length, type, flags, sequence, port
# linux/rtnetlink.h: RTMGRP_LINK, IPV4_IFADDR, IPV4_ROUTE, IPV4_RULE, IPV6_IFADDR, IPV6_ROUTE, and RTNLGRP_IPV6_RULE
_GROUPS = 0x1 | 0x10 | 0x40 | 0x80 | 0x100 | 0x400 | 1 << 18
_NETFILTER, _NFTABLES = 12, 1 << 6  # linux/netlink.h and nfnetlink.h: NETLINK_NETFILTER, NFNLGRP_NFTABLES
_QUIET_S = 0.05  # a change seldom comes alone: told once what comes together
_STORM_S = 0.5  # and once in this time where they do not cease


def open_netlink(protocol: int = socket.NETLINK_ROUTE) -> socket.socket:
    """A socket in the namespace that we are in."""
    return socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, protocol)


def message(kind: int, flags: int, body: bytes, sequence: int = 1) -> bytes:
    """A request with its header; ``body`` is a multiple of four bytes long."""
    return _HEADER.pack(_HEADER.size + len(body), kind, REQUEST | flags, sequence, 0) + body


def messages(data: bytes) -> Iterator[tuple[int, int, bytes]]:
    """Type, sequence and body of each message that was received at once."""
    at = 0
    while at + _HEADER.size <= len(data):
        size, kind, _, sequence, _ = _HEADER.unpack_from(data, at)
        yield kind, sequence, data[at + _HEADER.size : at + size]
        at += max((size + 3) & ~3, _HEADER.size)


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
    sock = open_netlink(protocol)
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
