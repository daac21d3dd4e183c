"""From a captured frame to the part that a decoder reads: tags, LLC and SNAP, IP and UDP are taken off here."""

from __future__ import annotations

import struct
from socket import AF_INET6, inet_ntoa, inet_ntop
from typing import NamedTuple

Tags = tuple[int, ...]  # VLAN numbers from outer to inner; () is untagged (a priority tag, VLAN 0, counts as none)
Key = tuple[str, int]  # where a decoder is found: ("ether", 0x88cc), ("udp", 67), …

TPIDS = frozenset({0x8100, 0x88A8, 0x9100, 0x9200})
EXTENSION_HEADERS = frozenset({0, 43, 60})  # hop-by-hop, routing, destination options (RFC 8200)


class Malformed(Exception):  # it names the frame's state, and never leaves survey/
    """A frame that does not keep to its protocol; the message says how."""


class Packet(NamedTuple):
    """A control frame without its envelopes. Addresses are text; ``ip_src`` is empty where there is no IP header."""

    key: Key
    src: str
    tags: Tags
    body: bytes
    ip_src: str = ""


def unwrap(data: bytes, stripped: Tags = ()) -> Packet | None:
    """The innermost part of a frame, or None where no envelope is known.

    ``stripped`` are the tags that the kernel took off before the capture. Raises Malformed for headers that
    overrun the frame.
    """
    if len(data) < 14:
        raise Malformed("shorter than an Ethernet header")
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
    src = data[6:12].hex(":")
    offset += 2
    if kind == 0x0800:
        return _ipv4(data, offset, src, tags)
    if kind == 0x86DD:
        return _ipv6(data, offset, src, tags)
    if kind >= 0x600:
        return Packet(("ether", kind), src, tags, data[offset:])
    return _llc(data, offset, kind, src, tags)


def _llc(data: bytes, offset: int, length: int, src: str, tags: Tags) -> Packet | None:
    end = min(len(data), offset + length)
    if end - offset < 3:
        raise Malformed("ends inside its LLC header")
    if data[offset] == 0xAA and data[offset + 1] == 0xAA:
        if end - offset < 8:
            raise Malformed("ends inside its SNAP header")
        code = int.from_bytes(data[offset + 3 : offset + 8], "big")
        if code >> 16 == 0:  # RFC 1042: an Ethernet type behind an empty organisation
            return Packet(("ether", code & 0xFFFF), src, tags, data[offset + 8 : end])
        return Packet(("snap", code), src, tags, data[offset + 8 : end])
    return Packet(("llc", data[offset]), src, tags, data[offset + 3 : end])


def _ipv4(data: bytes, offset: int, src: str, tags: Tags) -> Packet | None:
    if len(data) < offset + 20:
        raise Malformed("ends inside its IPv4 header")
    size = (data[offset] & 15) * 4
    total, fragment = struct.unpack_from("!H2xH", data, offset + 2)
    if data[offset] >> 4 != 4 or size < 20 or total < size or offset + size > len(data):
        raise Malformed("has an impossible IPv4 header")
    if fragment & 0x1FFF:
        return None  # only the first fragment carries the ports
    body = data[offset + size : offset + total]
    return _transport(data[offset + 9], "ip", body, src, tags, inet_ntoa(data[offset + 12 : offset + 16]))


def _ipv6(data: bytes, offset: int, src: str, tags: Tags) -> Packet | None:
    if len(data) < offset + 40:
        raise Malformed("ends inside its IPv6 header")
    if data[offset] >> 4 != 6:
        raise Malformed("has an impossible IPv6 header")
    length, proto = struct.unpack_from("!HB", data, offset + 4)
    ip_src = inet_ntop(AF_INET6, data[offset + 8 : offset + 24])
    end = min(len(data), offset + 40 + length)
    offset += 40
    for _ in range(8):  # RFC 8200 needs no more than these
        if proto not in EXTENSION_HEADERS:
            break
        if end < offset + 8:
            raise Malformed("ends inside an IPv6 extension header")
        proto, offset = data[offset], offset + 8 * (data[offset + 1] + 1)
    else:
        raise Malformed("has more than 8 IPv6 extension headers")
    return _transport(proto, "ip6", data[offset:end], src, tags, ip_src)


def _transport(proto: int, family: str, body: bytes, src: str, tags: Tags, ip_src: str) -> Packet | None:
    if proto == 17:
        if len(body) < 8:
            raise Malformed("ends inside its UDP header")
        sport, dport, length = struct.unpack_from("!HHH", body)
        end = length if length >= 8 else len(body)
        # a reply goes to the asker's port, so the well-known one of the two counts
        port = dport if dport in UDP_PORTS or sport not in UDP_PORTS else sport
        return Packet(("udp", port), src, tags, body[8:end], ip_src)
    if proto == 58 and family == "ip6":
        if len(body) < 4:
            raise Malformed("ends inside its ICMPv6 header")
        return Packet(("icmp6", body[0]), src, tags, body, ip_src)
    return Packet((family, proto), src, tags, body, ip_src)


UDP_PORTS = frozenset({67, 68, 137, 520, 521, 546, 547, 1985, 2029, 3222, 5353, 5355, 5678})
IP_PROTOCOLS = frozenset({2, 88, 89, 103, 112})  # IGMP, EIGRP, OSPF, PIM, VRRP
ICMP6_TYPES = frozenset({*range(130, 138), 143})  # MLD, router and neighbour discovery
ETHER_TYPES = frozenset({0x0806, 0x88CC, 0x8809, 0x888E, 0x88B5})  # ARP, LLDP, slow protocols, EAPOL, our own probe
