"""Sockets in other network namespaces."""

from __future__ import annotations

import ctypes
import socket
import struct
import threading
import time
from collections.abc import Sequence

from bascule.system.net.netns import Namespace, call

ETH_P_ALL = 0x0003  # linux/if_ether.h
SO_ATTACH_FILTER = 26  # asm-generic/socket.h; Python has no names for these
SO_TIMESTAMPNS = 35
SO_RCVBUFFORCE = 33

Instruction = tuple[int, int, int, int]  # code, jump if true, jump if false, constant (linux/filter.h: sock_filter)


def attach_filter(sock: socket.socket, program: Sequence[Instruction]) -> None:
    """Let the kernel keep from the socket what a classic BPF program refuses."""
    code = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *line) for line in program))
    header = struct.pack("HP", len(program), ctypes.addressof(code))  # struct sock_fprog, padded as the compiler does
    sock.setsockopt(socket.SOL_SOCKET, SO_ATTACH_FILTER, header)


def open_packet(
    link: str | None,
    program: Sequence[Instruction],
    *,
    protocol: int = ETH_P_ALL,
    timestamps: bool = False,
    buffer_bytes: int = 0,
) -> socket.socket:
    """A non-blocking socket on the frames of one link, or of all links, of the namespace that one is in.

    It hears nothing before its filter is in place. Raises OSError.
    """
    sock = socket.socket(socket.AF_PACKET, socket.SOCK_RAW | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC, 0)
    try:
        attach_filter(sock, program)
        if timestamps:
            sock.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
        if buffer_bytes:
            try:
                sock.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, buffer_bytes)
            except OSError:  # an ordinary user's namespace: the kernel gives what net.core.rmem_max allows
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer_bytes)
        index = socket.if_nametoindex(link) if link else 0  # Python's bind() knows no "all links"
        address = struct.pack("=HHiHBB8x", socket.AF_PACKET, socket.htons(protocol), index, 0, 0, 0)  # sockaddr_ll
        call("bind", sock.fileno(), address, len(address))
    except BaseException:
        sock.close()
        raise
    return sock


def close_all(sockets: Sequence[socket.socket]) -> None:
    """Close many sockets at the price of one.

    The kernel waits for an RCU grace period (some 12 ms) in each close of a packet socket; those that wait at the
    same time share one. The threads do nothing else and are gone on return.
    """
    if len(sockets) <= 1:
        for sock in sockets:
            sock.close()
        return
    share = [list(sockets[start::64]) for start in range(min(64, len(sockets)))]

    def close(part: list[socket.socket]) -> None:
        for sock in part:
            sock.close()

    threads = [threading.Thread(target=close, args=(part,)) for part in share]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def await_timestamps(patience_s: float = 0.1) -> float:
    """Wait until the kernel stamps frames when they pass, and say how long it took in seconds.

    The first socket that asks for time stamps only sets a work item going; frames that pass before it has run are
    stamped when they are read, which tells nothing of their order. A datagram to ourselves shows whether it has.
    """
    start = time.monotonic()
    try:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            sock.bind(("127.0.0.1", 0))
            sock.settimeout(patience_s)
            sock.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
            while time.monotonic() - start < patience_s:
                sock.sendto(b".", sock.getsockname())
                time.sleep(0.0005)
                before = time.time_ns()
                _, control, _, _ = sock.recvmsg(16, 64)
                if any(0 < read_stamp(data) < before for _, kind, data in control if kind == SO_TIMESTAMPNS):
                    break
    except OSError:  # no loopback address here: there is nobody to ask, so give it a generous time
        time.sleep(patience_s / 4)
    return time.monotonic() - start


def read_stamp(data: bytes) -> int:
    """Nanoseconds since the epoch from the control message of SO_TIMESTAMPNS; 0 where it is cut short."""
    if len(data) < 16:
        return 0
    seconds, nanoseconds = struct.unpack("qq", data[:16])
    return int(seconds) * 1_000_000_000 + int(nanoseconds)


def forget_neighbours(namespace: Namespace, link: str, addresses: Sequence[bytes]) -> None:
    """Take IPv4 neighbours of a link out of the kernel's table; those that are not in it do not matter.

    Plain RTM_DELNEIGH messages without acknowledgement, some hundred in one call. Raises OSError.
    """
    with namespace.entered():
        index = socket.if_nametoindex(link)
        sock = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, socket.NETLINK_ROUTE)
    # struct nlmsghdr; struct ndmsg; NDA_DST (1) of 4 bytes
    head = struct.pack("=IHHII", 36, 29, 1, 0, 0) + struct.pack("=BBHiHBB", socket.AF_INET, 0, 0, index, 0, 0, 0)
    head += struct.pack("=HH", 8, 1)
    with sock:
        for start in range(0, len(addresses), 500):
            sock.send(b"".join(head + address for address in addresses[start : start + 500]))
