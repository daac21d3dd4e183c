"""Ask a DNS server for the address of a name (RFC 1035), from inside any namespace."""

from __future__ import annotations

import contextlib
import os
import socket
import struct
from collections.abc import Iterable
from ipaddress import IPv4Address, IPv6Address

from bascule.model.values import IpAddress
from bascule.system.net.netns import Namespace

A, AAAA, IN = 1, 28, 1
POINTER = 0xC0


def look_up(
    namespace: Namespace, server: IpAddress, names: Iterable[tuple[str, int]], *, timeout_s: float = 1.0
) -> dict[tuple[str, int], tuple[IpAddress, ...]]:
    """The addresses of each (name, IP version); nothing for one that is not answered in time, or is not known."""
    found: dict[tuple[str, int], tuple[IpAddress, ...]] = {}
    family = socket.AF_INET6 if server.version == 6 else socket.AF_INET
    with namespace.entered():
        door = socket.socket(family, socket.SOCK_DGRAM)
    with door, contextlib.suppress(OSError):
        door.settimeout(timeout_s)
        door.connect((str(server), 53))
        for name, version in names:
            number = os.urandom(2)
            door.send(question(number, name, AAAA if version == 6 else A))
            with contextlib.suppress(OSError, ValueError, IndexError, struct.error):
                while not (reply := door.recv(4096)).startswith(number):
                    pass  # an answer to an earlier question that came too late
                found[name, version] = addresses(reply)
    return found


def question(number: bytes, name: str, kind: int) -> bytes:
    """A query for one name, recursion desired."""
    labels = b"".join(bytes((len(label),)) + label for label in name.encode("ascii").split(b"."))
    return number + b"\x01\x00\x00\x01\0\0\0\0\0\0" + labels + b"\0" + struct.pack("!HH", kind, IN)


def addresses(reply: bytes) -> tuple[IpAddress, ...]:
    """The addresses in a reply's answer section. Raises ValueError, IndexError or struct.error for what is no reply."""
    asked, answers = struct.unpack_from("!HH", reply, 4)
    at = 12
    for _ in range(asked):
        at = _past_name(reply, at) + 4
    found: list[IpAddress] = []
    for _ in range(answers):
        at = _past_name(reply, at)
        kind, _, _, size = struct.unpack_from("!HHIH", reply, at)
        data = reply[at + 10 : at + 10 + size]
        at += 10 + size
        if kind == A:
            found.append(IPv4Address(data))
        elif kind == AAAA:
            found.append(IPv6Address(data))
    return tuple(found)


def _past_name(reply: bytes, at: int) -> int:
    while reply[at]:
        if reply[at] & POINTER == POINTER:
            return at + 2
        at += 1 + reply[at]
    return at + 1
