"""DNS messages (RFC 1035): a question, the addresses in a reply, the names in either."""

from __future__ import annotations

import struct
from ipaddress import IPv4Address, IPv6Address

from bascule.model.values import IpAddress

A, AAAA, IN = 1, 28, 1
POINTER = 0xC0


def question(number: bytes, name: str, kind: int) -> bytes:
    """A query for one name, recursion desired."""
    labels = b"".join(bytes((len(label),)) + label for label in name.encode("ascii").split(b"."))
    return number + b"\x01\x00\x00\x01\0\0\0\0\0\0" + labels + b"\0" + struct.pack("!HH", kind, IN)


def addresses(reply: bytes) -> tuple[IpAddress, ...]:
    """The addresses in a reply's answer section. Raises ValueError, IndexError or struct.error for what is no reply."""
    asked, answers = struct.unpack_from("!HH", reply, 4)
    at = 12
    for _ in range(asked):
        at = name(reply, at)[1] + 4
    found: list[IpAddress] = []
    for _ in range(answers):
        at = name(reply, at)[1]
        kind, _, _, size = struct.unpack_from("!HHIH", reply, at)
        data = reply[at + 10 : at + 10 + size]
        at += 10 + size
        if kind == A:
            found.append(IPv4Address(data))
        elif kind == AAAA:
            found.append(IPv6Address(data))
    return tuple(found)


def name(message: bytes, at: int) -> tuple[list[bytes], int]:
    """The labels of a name and where the message goes on. Raises ValueError for a name that overruns or goes round.

    Pointers may lead backwards only, so it always ends.
    """
    labels: list[bytes] = []
    after = None
    while True:
        if at >= len(message):
            raise ValueError("has a name that overruns the frame")
        size = message[at]
        if size >= POINTER:
            if at + 2 > len(message):
                raise ValueError("has a name that overruns the frame")
            target = (size & 0x3F) << 8 | message[at + 1]
            after = at + 2 if after is None else after
            if target >= at:
                raise ValueError("has a name whose pointer does not lead backwards")
            at = target
        elif size > 63:
            raise ValueError("has a name with an impossible label")
        elif size == 0:
            return labels, at + 1 if after is None else after
        else:
            if len(labels) > 127:
                raise ValueError("has a name with more than 127 labels")
            labels.append(message[at + 1 : at + 1 + size])
            at += 1 + size
