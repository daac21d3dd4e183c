"""What every decoder shares: its description, and readers that refuse what overruns."""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from ipaddress import IPv4Network, IPv6Network

from msgspec import Struct

from bascule.frames.codecs.ip import address_text
from bascule.frames.envelope import Key, Malformed, Packet
from bascule.frames.findings import Findings

__all__ = ["Decoder", "Malformed", "Packet", "domains", "ip4", "ip6", "mac", "prefix4", "prefix6", "text", "tlvs"]


class Decoder(Struct, frozen=True, kw_only=True):
    """One protocol: where its frames are found, what they prove, who says so, and the function that reads them.

    ``keys`` find it by EtherType, IP protocol, UDP port, ICMPv6 type, LLC or SNAP; a protocol over LLC or SNAP names
    the ``groups`` to which it is sent as well, since the kernel filter finds it by these.
    """

    name: str
    title: str
    keys: tuple[Key, ...]
    where: str
    proves: str
    weight: str
    source: str
    groups: tuple[str, ...] = ()
    header: int = 0
    decode: Callable[[Packet], Findings]


def mac(data: bytes) -> str:
    """Six bytes as a MAC address."""
    if len(data) != 6:
        raise Malformed("has a MAC address that is not 6 bytes long")
    return data.hex(":")


def ip4(data: bytes) -> str:
    """Four bytes as an IPv4 address."""
    if len(data) != 4:
        raise Malformed("has an IPv4 address that is not 4 bytes long")
    return address_text(data)


def ip6(data: bytes) -> str:
    """Sixteen bytes as an IPv6 address."""
    if len(data) != 16:
        raise Malformed("has an IPv6 address that is not 16 bytes long")
    return address_text(data)


def prefix4(address: str, mask: str) -> str:
    """The network of an address under a netmask; raises Malformed for a mask with holes."""
    try:
        return str(IPv4Network(f"{address}/{mask}", strict=False))
    except ValueError as wrong:
        raise Malformed(f"has the impossible netmask {mask}") from wrong


def prefix6(data: bytes, length: int) -> str:
    """An IPv6 prefix from 16 bytes and a length."""
    if length > 128 or len(data) != 16:
        raise Malformed("has an impossible IPv6 prefix")
    return str(IPv6Network((data, length), strict=False))


def text(data: bytes, limit: int = 128) -> str:
    """Text that a stranger sent, safe for a terminal: control characters become '?', the end is cut at ``limit``."""
    plain = data.rstrip(b"\0").decode("utf-8", "replace")[:limit].strip()
    return plain if plain.isprintable() else "".join(sign if sign.isprintable() else "?" for sign in plain)


def domains(value: bytes) -> list[str]:
    """Domain names as DNS writes them, one behind the other, at most 8; zeros at the end are padding."""
    names: list[str] = []
    labels: list[str] = []
    offset = 0
    while offset < len(value):
        size = value[offset]
        if size > 63 or offset + 1 + size > len(value):
            raise Malformed("has a domain name that overruns its option")
        if size:
            labels.append(text(value[offset + 1 : offset + 1 + size]))
        elif labels:
            names.append(".".join(labels))
            labels = []
        offset += 1 + size
    return names[:8]


def tlvs(
    data: bytes, offset: int = 0, *, form: str = "!HH", header_counts: bool = True, is_cut: bool = False
) -> Iterator[tuple[int, bytes]]:
    """Type and value of each element; ``form`` is type and length, whose length may count its own header.

    Of a frame that a capture has cut (``is_cut``) those before the cut.
    """
    header = struct.calcsize(form)
    while offset + header <= len(data):
        kind, length = struct.unpack_from(form, data, offset)
        if header_counts:
            length -= header
        if is_cut and offset + header + length > len(data):
            return
        if length < 0 or offset + header + length > len(data):
            raise Malformed(f"has an element of type {kind} that overruns the frame")
        yield kind, data[offset + header : offset + header + length]
        offset += header + length
