"""IPv4 and IPv6 headers, UDP, and their checksums."""

from __future__ import annotations

import struct
from functools import lru_cache
from ipaddress import IPv6Address

from bascule.model.values import IpAddress

ICMP, TCP, UDP, ICMPV6 = 1, 6, 17, 58  # protocol numbers


@lru_cache(maxsize=65536)
def address_text(packed: bytes) -> str:
    """An address of 4 or 16 bytes as text; the same few come again and again."""
    if len(packed) == 4:
        return "%d.%d.%d.%d" % tuple(packed)  # noqa: UP031  # twice as fast as any other way
    return str(IPv6Address(packed))


def checksum(data: bytes) -> int:
    """The Internet checksum (RFC 1071)."""
    if len(data) % 2:
        data += b"\0"
    total: int = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def packet(src: IpAddress, dst: IpAddress, protocol: int, payload: bytes, *, ttl: int = 64) -> bytes:
    """An IP packet without options; IPv4 ones must not be fragmented."""
    if isinstance(src, IPv6Address):
        return struct.pack("!IHBB", 0x60000000, len(payload), protocol, ttl) + src.packed + dst.packed + payload
    header = struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(payload), 0, 0x4000, ttl, protocol, 0) + src.packed + dst.packed
    return header[:10] + checksum(header).to_bytes(2, "big") + header[12:] + payload


def pseudo(src: IpAddress, dst: IpAddress, protocol: int, length: int) -> bytes:
    """The pseudo-header that UDP, TCP and ICMPv6 add to their checksum (RFC 768, RFC 8200 section 8.1)."""
    tail = (
        struct.pack("!II", length, protocol) if isinstance(src, IPv6Address) else struct.pack("!HH", protocol, length)
    )
    return src.packed + dst.packed + tail


def with_checksum(message: bytes, pseudo_header: bytes = b"") -> bytes:
    """A message of ICMP, IGMP or, behind its pseudo-header, ICMPv6, whose checksum is its third and fourth byte."""
    return message[:2] + checksum(pseudo_header + message).to_bytes(2, "big") + message[4:]


def udp(src: IpAddress, dst: IpAddress, source_port: int, port: int, payload: bytes) -> bytes:
    """A UDP datagram."""
    body = struct.pack("!HHHH", source_port, port, 8 + len(payload), 0) + payload
    total = checksum(pseudo(src, dst, UDP, len(body)) + body) or 0xFFFF  # 0 means "none" (RFC 768)
    return body[:6] + total.to_bytes(2, "big") + body[8:]
