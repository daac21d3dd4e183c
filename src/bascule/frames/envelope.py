"""From a frame to the part that a decoder reads: tags, LLC and SNAP, IP and UDP are taken off here."""

from __future__ import annotations

import struct
from typing import NamedTuple

from bascule.frames.codecs.ethernet import IPV4, IPV6, TPIDS
from bascule.frames.codecs.ip import ICMPV6, UDP, address_text

Tags = tuple[int, ...]  # VLAN numbers from outer to inner; () is untagged (a priority tag, VLAN 0, counts as none)
Key = tuple[str, int]  # where a decoder is found: ("ether", 0x88cc), ("udp", 67), …

AUTHENTICATION = 51  # RFC 4302: OSPFv3 may stand behind it
EXTENSION_HEADERS = frozenset({0, 43, 60, AUTHENTICATION})  # hop-by-hop, routing, destination options (RFC 8200)
# Cisco's tag before 802.1Q: a header of 26 bytes around the whole frame, with the VLAN in bytes 20 and 21
ISL_GROUPS, ISL_HEADER = (b"\x01\0\x0c\0\0", b"\x03\0\x0c\0\0"), 26
FRAGMENT = "fragment"  # the key of a later fragment, which carries no ports: no decoder has it


FIRST_TTLS = (60, 64, 128, 255)


class Malformed(ValueError):  # it names the frame's state, and never leaves the rooms that dissect
    """A frame that does not keep to its protocol; the message says how."""


class IpHeader(NamedTuple):
    """What is needed of an IP header; addresses are 4 or 16 bytes."""

    src: bytes
    dst: bytes
    protocol: int
    ttl: int


class Packet(NamedTuple):
    """A frame without its envelopes. ``dst`` is six bytes, ``src`` text; ``ports`` are UDP's, source first.

    ``is_cut`` says that its headers want more bytes than there are: a capture has cut it, or it is a first fragment.
    """

    key: Key
    dst: bytes
    src: str
    tags: Tags
    body: bytes
    ip: IpHeader | None = None
    ports: tuple[int, int] = (0, 0)
    is_cut: bool = False

    @property
    def ip_src(self) -> str:
        """The IP source as text, empty where there is no IP header."""
        return address_text(self.ip.src) if self.ip is not None else ""

    @property
    def crossed_a_router(self) -> bool:
        """Whether its TTL is one less, or some, than what systems begin with (small ones are begun with as well)."""
        return self.ip is not None and self.ip.ttl > 32 and self.ip.ttl not in FIRST_TTLS

    @property
    def is_to_group(self) -> bool:
        """Whether it was sent to a group address (broadcast is one), so that it did not cross a router."""
        return bool(self.dst and self.dst[0] & 1)


_Outside = tuple[bytes, str, Tags]  # destination, source and tags

_NO_ETHERNET: _Outside = (b"", "", ())


def unwrap(data: bytes, stripped: Tags = ()) -> Packet:
    """The innermost part of a frame.

    ``stripped`` are the tags that the kernel took off before the capture. Raises Malformed for headers that overrun
    the frame.
    """
    if len(data) < 14:
        raise Malformed("shorter than an Ethernet header")
    if data[:5] in ISL_GROUPS and len(data) >= ISL_HEADER:
        return unwrap(data[ISL_HEADER:], (*stripped, int.from_bytes(data[20:22], "big") >> 1 & 0xFFF)[:4])
    tags = stripped
    offset = 12
    kind = data[12] << 8 | data[13]
    while kind in TPIDS:
        if len(data) < offset + 6:
            raise Malformed("ends inside a VLAN tag")
        vid = (data[offset + 2] << 8 | data[offset + 3]) & 0xFFF
        if vid and len(tags) < 4:
            tags = (*tags, vid)
        offset += 4
        kind = data[offset] << 8 | data[offset + 1]
    outside = (data[:6], data[6:12].hex(":"), tags)
    offset += 2
    if kind == IPV4:
        return _ipv4(data, offset, outside)
    if kind == IPV6:
        return _ipv6(data, offset, outside)
    if kind >= 0x600:
        return Packet(("ether", kind), *outside, data[offset:])
    return _llc(data, offset, kind, outside)


def unwrap_ip(data: bytes) -> Packet:
    """The innermost part of an IP packet without a frame around it: an ICMP error quotes one. Raises Malformed."""
    return _ipv6(data, 0, _NO_ETHERNET) if data and data[0] >> 4 == 6 else _ipv4(data, 0, _NO_ETHERNET)


def _llc(data: bytes, offset: int, length: int, outside: _Outside) -> Packet:
    is_cut = offset + length > len(data)
    end = min(len(data), offset + length)
    if end - offset < 3:
        raise Malformed("ends inside its LLC header")
    if data[offset] == 0xAA and data[offset + 1] == 0xAA:
        if end - offset < 8:
            raise Malformed("ends inside its SNAP header")
        code = int.from_bytes(data[offset + 3 : offset + 8], "big")
        if code >> 16 == 0:  # RFC 1042: an Ethernet type behind an empty organisation
            return Packet(("ether", code & 0xFFFF), *outside, data[offset + 8 : end], is_cut=is_cut)
        return Packet(("snap", code), *outside, data[offset + 8 : end], is_cut=is_cut)
    return Packet(("llc", data[offset]), *outside, data[offset + 3 : end], is_cut=is_cut)


def _ipv4(data: bytes, offset: int, outside: _Outside) -> Packet:
    if len(data) < offset + 20:
        raise Malformed("ends inside its IPv4 header")
    size = (data[offset] & 15) * 4
    total, fragment = struct.unpack_from("!H2xH", data, offset + 2)
    if data[offset] >> 4 != 4 or size < 20 or total < size or offset + size > len(data):
        raise Malformed("has an impossible IPv4 header")
    header = IpHeader(
        data[offset + 12 : offset + 16], data[offset + 16 : offset + 20], data[offset + 9], data[offset + 8]
    )
    if fragment & 0x1FFF:
        return Packet((FRAGMENT, header.protocol), *outside, b"", header)
    return _transport("ip", data[offset + size : offset + total], outside, header, is_cut=offset + total > len(data))


def _ipv6(data: bytes, offset: int, outside: _Outside) -> Packet:
    if len(data) < offset + 40:
        raise Malformed("ends inside its IPv6 header")
    if data[offset] >> 4 != 6:
        raise Malformed("has an impossible IPv6 header")
    length, proto, ttl = struct.unpack_from("!HBB", data, offset + 4)
    src, dst = data[offset + 8 : offset + 24], data[offset + 24 : offset + 40]
    end = min(len(data), offset + 40 + length)
    is_cut = end < offset + 40 + length
    offset += 40
    for _ in range(8):  # RFC 8200 needs no more than these
        if proto not in EXTENSION_HEADERS:
            break
        if end < offset + 8:
            raise Malformed("ends inside an IPv6 extension header")
        size = 4 * (data[offset + 1] + 2) if proto == AUTHENTICATION else 8 * (data[offset + 1] + 1)
        proto, offset = data[offset], offset + size
    else:
        raise Malformed("has more than 8 IPv6 extension headers")
    return _transport("ip6", data[offset:end], outside, IpHeader(src, dst, proto, ttl), is_cut=is_cut)


def _transport(family: str, body: bytes, outside: _Outside, header: IpHeader, *, is_cut: bool) -> Packet:
    proto = header.protocol
    if proto == UDP:
        if len(body) < 8:
            raise Malformed("ends inside its UDP header")
        source, port, length = struct.unpack_from("!HHH", body)
        end = length if length >= 8 else len(body)
        return Packet(("udp", port), *outside, body[8:end], header, (source, port), is_cut or end > len(body))
    if proto == ICMPV6 and family == "ip6":
        if len(body) < 4:
            raise Malformed("ends inside its ICMPv6 header")
        return Packet(("icmp6", body[0]), *outside, body, header, is_cut=is_cut)
    return Packet((family, proto), *outside, body, header, is_cut=is_cut)
