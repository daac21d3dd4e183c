"""DHCP messages as frames (RFC 2131; options from RFC 2132)."""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from ipaddress import IPv4Address

from bascule.model.values import Mac
from bascule.probe import frames

_MAGIC = bytes((99, 130, 83, 99))
_HEADER = struct.Struct("!BBBBIHH4s4s4s4s16s64s128s")
MASK, ROUTER, DNS, HOSTNAME, DOMAIN, MTU = 1, 3, 6, 12, 15, 26
REQUESTED, LEASE, TYPE, SERVER, WANTED, TEXT, CLIENT_ID = 50, 51, 53, 54, 55, 56, 61
CLIENT_PORT, SERVER_PORT = 68, 67
NOBODY = IPv4Address(0)


class Kind(IntEnum):
    """DHCP message types."""

    DISCOVER = 1
    OFFER = 2
    REQUEST = 3
    DECLINE = 4
    ACK = 5
    NAK = 6
    RELEASE = 7


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """A DHCP message as it was on the wire."""

    kind: Kind
    xid: int
    mac: Mac
    yours: IPv4Address = NOBODY
    options: Mapping[int, bytes] = field(default_factory=dict)


def addresses(data: bytes) -> tuple[IPv4Address, ...]:
    """The addresses of an option that is a list of them."""
    return tuple(IPv4Address(bytes(four)) for four in zip(*[iter(data)] * 4, strict=False))


def build(
    kind: Kind,
    mac: Mac,
    xid: int,
    options: Sequence[tuple[int, bytes]] = (),
    *,
    seconds: int = 0,
) -> bytes:
    """A client's message as an Ethernet frame, broadcast from 0.0.0.0."""
    hardware = frames.mac_bytes(mac)
    bootp = _HEADER.pack(
        1, 1, 6, 0, xid, seconds, 0, bytes(4), bytes(4), bytes(4), bytes(4), hardware + bytes(10), bytes(64), bytes(128)
    )
    tail = b"".join(bytes((code, len(data))) + data for code, data in ((TYPE, bytes((kind,))), *options))
    data = (bootp + _MAGIC + tail + b"\xff").ljust(300, b"\0")  # older servers drop what is shorter (RFC 1542 2.1)
    everybody = IPv4Address("255.255.255.255")
    datagram = frames.udp(NOBODY, everybody, CLIENT_PORT, SERVER_PORT, data)
    packet = frames.ip(NOBODY, everybody, frames.UDP, datagram)
    return frames.ethernet(frames.BROADCAST, hardware, frames.ETH_IPV4, packet)


def parse(frame: bytes) -> Message | None:
    """A server's message to port 68; None for anything else.

    Checksums are not looked at: on a virtual link the kernel leaves them to hardware that is not there.
    """
    if len(frame) < 14 + 20 or frame[12:14] != b"\x08\x00" or frame[14] >> 4 != 4:
        return None
    start = 14 + (frame[14] & 15) * 4
    if frame[23] != 17 or len(frame) < start + 8 + _HEADER.size + 4 or frame[start + 2 : start + 4] != b"\0\x44":
        return None
    body = frame[start + 8 :]
    op, _, size, _, xid, _, _, _, yours, _, _, hardware, _, _ = _HEADER.unpack_from(body)
    if op != 2 or size != 6 or body[_HEADER.size : _HEADER.size + 4] != _MAGIC:
        return None
    options = _options(body[_HEADER.size + 4 :])
    try:
        kind = Kind(options[TYPE][0])
    except (KeyError, IndexError, ValueError):
        return None
    return Message(kind=kind, xid=xid, mac=frames.mac_text(hardware[:6]), yours=IPv4Address(yours), options=options)


def _options(data: bytes) -> dict[int, bytes]:
    """Code to value; a code that comes twice is joined (RFC 3396)."""
    options: dict[int, bytes] = {}
    at = 0
    while at < len(data) and data[at] != 255:
        if data[at] == 0:
            at += 1
            continue
        if at + 1 >= len(data) or at + 2 + data[at + 1] > len(data):
            break
        code, size = data[at], data[at + 1]
        options[code] = options.get(code, b"") + data[at + 2 : at + 2 + size]
        at += 2 + size
    return options
