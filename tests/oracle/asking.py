"""Questions asked with real frames: UDP, TCP, ICMP, frames with a tag of their own; and what became of them."""

from __future__ import annotations

import contextlib
import errno
import ipaddress
import os
import select
import socket
import struct
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from tests.backlog import drained
from tests.oracle.lab import BY_NAME, IP_PKTINFO, Room, cutting, in_namespace

QUIET_S = 0.012  # after the last frame that arrived; on one host all frames pass within the call that sends them
LATE_S = 0.1  # who waits as long has late frames heard, too; others ask again
LONGEST_S = 2.0
IP_TRANSPARENT = 19  # linux/in.h


@dataclass(frozen=True)
class Probe:
    """One question: ``source`` and ``target`` are guests, or ``host``; ``spoofed`` another source address.

    ``kind`` is udp, tcp or icmp, or refused: udp to a port at which nobody listens. ``whole`` sets DF; ``vlan`` is the
    tag that the sender itself sets.
    """

    source: str
    target: str
    port: int
    version: int = 4
    spoofed: str = ""
    size: int = 32  # bytes of the IP packet
    address: str = ""  # another address of the host than the one nearest to the sender
    kind: str = "udp"
    vlan: int | None = None
    whole: bool = False


@dataclass
class Seen:
    """What became of a probe: who got it from where to where, and the source of the answer."""

    receiver: str = ""
    source: str = ""
    source_port: int = 0
    target: str = ""
    target_port: int = 0
    replied: bool = False
    reply_source: str = ""
    error: str = ""
    told_by: str = ""  # who said that it is too big for the next link


def ask(room: Room, probes: Sequence[Probe], quiet_s: float = QUIET_S) -> list[Seen]:
    """Send all probes, and their answers as they arrive; what each met."""
    seen = [Seen() for _ in probes]
    senders: dict[int, tuple[int, Probe, socket.socket]] = {}
    try:
        for number, probe in enumerate(probes):
            room.next_port = room.next_port + 1 if room.next_port < 60000 else 20000
            if probe.vlan is not None:
                room.wires[probe.source].send(tagged_frame(number, probe, room.next_port))
                continue
            sock = _sender(room, probe)
            senders[sock.fileno()] = (number, probe, sock)
            try:
                _send(sock, number, probe, room.next_port)
            except OSError as error:
                seen[number].error = errno.errorcode.get(error.errno or 0, "?")
        _collect(room, senders, seen, quiet_s)
    finally:
        for _, _, sock in senders.values():
            sock.close()
    return seen


def _send(sock: socket.socket, number: int, probe: Probe, port: int) -> None:
    to = (target_address(probe), probe.port)
    if probe.kind == "tcp":
        failed = sock.connect_ex(to)
        if failed not in {0, errno.EINPROGRESS}:
            raise OSError(failed, os.strerror(failed))
    elif probe.kind == "icmp":
        echo = struct.pack("!BBHHHI", 8 if probe.version == 4 else 128, 0, 0, port, 1, number)
        sock.sendto(echo.ljust(probe.size - (20 if probe.version == 4 else 40), b"\0"), to)
    elif probe.kind == "refused":
        sock.connect(to)
        sock.send(payload(number, probe))
    else:
        sock.sendto(payload(number, probe), to)


def payload(number: int, probe: Probe) -> bytes:
    """The number of a probe, in a packet of its size."""
    return struct.pack("!I", number).ljust(probe.size - (28 if probe.version == 4 else 48), b"\0")


def target_address(probe: Probe) -> str:
    """The address that a probe is sent to."""
    if probe.address:
        return probe.address
    if probe.target == "host":
        guest = BY_NAME[probe.source]
        return guest.host4 if probe.version == 4 else guest.host6
    guest = BY_NAME[probe.target]
    return guest.v4 if probe.version == 4 else guest.v6


def _sender(room: Room, probe: Probe) -> socket.socket:
    family = socket.AF_INET if probe.version == 4 else socket.AF_INET6
    namespace = room.host if probe.source == "host" else room.guests[probe.source]
    echo = socket.IPPROTO_ICMP if probe.version == 4 else socket.IPPROTO_ICMPV6
    kind, protocol = {
        "udp": (socket.SOCK_DGRAM, 0),
        "refused": (socket.SOCK_DGRAM, 0),
        "tcp": (socket.SOCK_STREAM, 0),
        "icmp": (socket.SOCK_DGRAM, echo),
    }[probe.kind]
    with in_namespace(namespace):
        sock = socket.socket(family, kind | socket.SOCK_NONBLOCK, protocol)
        if probe.kind == "tcp":  # it ends with a RST, and leaves nothing
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        elif kind == socket.SOCK_DGRAM:
            cutting(sock, probe.version, whole=probe.whole)
            if probe.kind == "udp" and probe.whole:
                hearing_errors(sock, probe.version)
        if probe.spoofed:
            sock.setsockopt(socket.SOL_IP, IP_TRANSPARENT, 1)
        sock.bind((probe.spoofed, room.next_port))
    return sock


def checksum(data: bytes) -> int:
    """RFC 1071's, over an even number of bytes."""
    total: int = sum(struct.unpack(f"!{len(data) // 2}H", data))
    total = (total & 0xFFFF) + (total >> 16)
    return ~(total + (total >> 16)) & 0xFFFF


def tagged_frame(number: int, probe: Probe, port: int) -> bytes:
    """A UDP packet over IPv4 in a frame with a VLAN tag."""
    one, other = BY_NAME[probe.source], BY_NAME[probe.target]
    data = struct.pack("!I", number)
    header = struct.pack(
        "!BBHHHBBH4s4s", 0x45, 0, 28 + len(data), 1, 0, 64, 17, 0, socket.inet_aton(one.v4), socket.inet_aton(other.v4)
    )
    header = header[:10] + struct.pack("!H", checksum(header)) + header[12:]
    macs = bytes.fromhex(other.mac.replace(":", "") + one.mac.replace(":", ""))
    udp = struct.pack("!HHHH", port, probe.port, 8 + len(data), 0)
    return macs + struct.pack("!HHH", 0x8100, probe.vlan, 0x0800) + header + udp + data


def _collect(
    room: Room, senders: dict[int, tuple[int, Probe, socket.socket]], seen: list[Seen], quiet_s: float
) -> None:
    poll = select.epoll()
    for fd in (*room.receivers, *room.listeners, *senders):
        poll.register(fd, select.EPOLLIN if fd not in senders else select.EPOLLIN | select.EPOLLET)
    ports = {}
    for fd, (number, probe, sock) in senders.items():
        if probe.kind == "tcp":
            poll.modify(fd, select.EPOLLOUT | select.EPOLLET)
            ports[sock.getsockname()[1]] = number
    end, done = time.monotonic() + LONGEST_S, quiet_s < LATE_S
    while time.monotonic() < end:
        events = poll.poll(quiet_s, 512)
        if not events and not done:
            drained()
            done, events = True, poll.poll(0, 512)
        if not events:
            break
        done = quiet_s < LATE_S
        for fd, _ in events:
            if fd in room.receivers:
                _receive(*room.receivers[fd], seen)
            elif fd in room.listeners:
                _accept(*room.listeners[fd], ports, seen)
            else:
                number, probe, sock = senders[fd]
                {"udp": _hear, "refused": _hear, "tcp": _connected, "icmp": _echoed}[probe.kind](number, sock, seen)
    poll.close()


def _accept(name: str, port: int, sock: socket.socket, ports: Mapping[int, int], seen: list[Seen]) -> None:
    with contextlib.suppress(BlockingIOError, ConnectionAbortedError):
        while True:
            connection, peer = sock.accept()
            with connection:
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                number = ports.get(peer[1])
                if number is not None:
                    one, own = seen[number], connection.getsockname()
                    one.receiver, one.source, one.source_port = name, peer[0], peer[1]
                    one.target, one.target_port = own[0], port


def _connected(number: int, sock: socket.socket, seen: list[Seen]) -> None:
    failed = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
    if failed in {0, errno.ECONNREFUSED, errno.ECONNRESET}:  # the other end resets what it has taken
        with contextlib.suppress(OSError):
            seen[number].reply_source = sock.getpeername()[0]
        seen[number].replied = True
    else:
        seen[number].error = errno.errorcode.get(failed, "?")


def _echoed(number: int, sock: socket.socket, seen: list[Seen]) -> None:
    with contextlib.suppress(OSError):
        while True:
            data, address = sock.recvfrom(2048)
            if data[:1] in {b"\0", b"\x81"}:
                seen[number].replied, seen[number].reply_source = True, address[0]


def _receive(name: str, port: int, sock: socket.socket, seen: list[Seen]) -> None:
    while True:
        try:
            data, ancillary, _, address = sock.recvmsg(65535, 256)
        except OSError:
            return
        number = struct.unpack("!I", data[:4])[0] if len(data) >= 4 else len(seen)
        if number >= len(seen):
            continue
        one = seen[number]
        one.receiver, one.source, one.source_port, one.target_port = name, address[0], address[1], port
        for level, kind, packed in ancillary:
            if (level, kind) == (socket.IPPROTO_IP, IP_PKTINFO):
                one.target = str(ipaddress.IPv4Address(packed[8:12]))
                spec = struct.pack("=I4s4s", 0, packed[8:12], b"\0" * 4)
                _answer(sock, data, [(level, kind, spec)], address)
            elif (level, kind) == (socket.IPPROTO_IPV6, socket.IPV6_PKTINFO):
                one.target = str(ipaddress.IPv6Address(packed[:16]))
                _answer(sock, data, [(level, kind, packed[:16] + struct.pack("=I", 0))], address)


def _answer(sock: socket.socket, data: bytes, ancillary: list[tuple[int, int, bytes]], address: object) -> None:
    with contextlib.suppress(OSError):
        sock.sendmsg([b"r" + data[1:]], ancillary, 0, address)  # type: ignore[arg-type]  # as it came


def hearing_errors(sock: socket.socket, version: int) -> None:
    """What anybody says of its packets comes to the socket's queue of errors (ip(7), IP_RECVERR)."""
    sock.setsockopt(*((socket.IPPROTO_IP, 11) if version == 4 else (socket.IPPROTO_IPV6, 25)), 1)


def told_too_big(sock: socket.socket) -> str:
    """Who has said that a packet is too big for the next link (struct sock_extended_err)."""
    try:
        _, ancillary, _, _ = sock.recvmsg(1, 512, socket.MSG_ERRQUEUE)
    except OSError:
        return ""
    for _, _, packed in ancillary:
        if struct.unpack_from("=I", packed)[0] == errno.EMSGSIZE and len(packed) >= 24:
            family = struct.unpack_from("=H", packed, 16)[0]  # none where the own host has said it
            by = {socket.AF_INET: packed[20:24], socket.AF_INET6: packed[24:40]}.get(family, b"")
            return str(ipaddress.ip_address(by)) if by else ""
    return ""


def _hear(number: int, sock: socket.socket, seen: list[Seen]) -> None:
    seen[number].told_by = told_too_big(sock) or seen[number].told_by
    while True:
        try:
            data, address = sock.recvfrom(64)
        except ConnectionRefusedError:
            seen[number].replied = True
            continue
        except OSError:
            return
        if data[:1] == b"r":
            seen[number].replied, seen[number].reply_source = True, address[0]
