"""Frames as bytes: what a question puts on the wire. Pure; :mod:`bascule.probe.parse` reads them back."""

from __future__ import annotations

import struct
from collections.abc import Iterable, Mapping
from ipaddress import IPv4Address, IPv6Address

from bascule.model.values import IpAddress, Mac

ETH_IPV4, ETH_ARP, ETH_IPV6 = 0x0800, 0x0806, 0x86DD
ETH_VLAN, ETH_QINQ = 0x8100, 0x88A8
ICMP, TCP, UDP, ICMPV6 = 1, 6, 17, 58
ECHO_REPLY, ECHO_REQUEST = 0, 8  # RFC 792
ECHO6_REQUEST, ECHO6_REPLY = 128, 129  # RFC 4443
SOLICITATION, ADVERTISEMENT = 135, 136  # RFC 4861
ARP_REQUEST, ARP_REPLY = 1, 2
DHCP_DISCOVER, DHCP_OFFER, DHCP_REQUEST, DHCP_DECLINE, DHCP_ACK, DHCP_NAK, DHCP_RELEASE = 1, 2, 3, 4, 5, 6, 7
DHCP_COOKIE = b"\x63\x82\x53\x63"  # RFC 2131 section 3
OPT_MASK, OPT_ROUTER, OPT_DNS, OPT_HOSTNAME, OPT_ADDRESS, OPT_LEASE, OPT_TYPE, OPT_SERVER, OPT_WISHES = (
    1, 3, 6, 12, 50, 51, 53, 54, 55,
)  # fmt: skip

BROADCAST = b"\xff" * 6
NOBODY = b"\x00" * 6


def mac_bytes(mac: str) -> bytes:
    """Six bytes of a MAC as text."""
    return bytes.fromhex(mac.replace(":", ""))


def mac_text(mac: bytes) -> Mac:
    """A MAC as text."""
    return Mac(mac.hex(":"))


def checksum(data: bytes) -> int:
    """The Internet checksum (RFC 1071)."""
    if len(data) % 2:
        data += b"\0"
    total: int = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def ethernet(dst: bytes, src: bytes, ethertype: int, payload: bytes) -> bytes:
    """An Ethernet II frame; the kernel and the NIC pad short ones."""
    return dst + src + ethertype.to_bytes(2, "big") + payload


def arp(
    operation: int,
    sender_mac: bytes,
    sender: IPv4Address,
    target: IPv4Address,
    *,
    target_mac: bytes = NOBODY,
    dst: bytes = BROADCAST,
) -> bytes:
    """An ARP frame (RFC 826). ``dst`` may be one MAC: a neighbour is probed by unicast (RFC 1122, 2.3.2.1)."""
    body = struct.pack("!HHBBH", 1, ETH_IPV4, 6, 4, operation)
    return ethernet(dst, sender_mac, ETH_ARP, body + sender_mac + sender.packed + target_mac + target.packed)


def ip(src: IpAddress, dst: IpAddress, protocol: int, payload: bytes, *, ttl: int = 64) -> bytes:
    """An IP packet without options; IPv4 ones must not be fragmented."""
    if isinstance(src, IPv6Address):
        return struct.pack("!IHBB", 0x60000000, len(payload), protocol, ttl) + src.packed + dst.packed + payload
    header = struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(payload), 0, 0x4000, ttl, protocol, 0) + src.packed + dst.packed
    return header[:10] + checksum(header).to_bytes(2, "big") + header[12:] + payload


def echo(identifier: int, sequence: int, payload: bytes) -> bytes:
    """An ICMP echo request (RFC 792)."""
    body = struct.pack("!BBHHH", ECHO_REQUEST, 0, 0, identifier, sequence) + payload
    return body[:2] + checksum(body).to_bytes(2, "big") + body[4:]


def echo6(identifier: int, sequence: int, payload: bytes) -> bytes:
    """An ICMPv6 echo request without checksum: the kernel fills it in on a raw ICMPv6 socket (RFC 3542, 3.1)."""
    return struct.pack("!BBHHH", ECHO6_REQUEST, 0, 0, identifier, sequence) + payload


def pseudo(src: IpAddress, dst: IpAddress, protocol: int, length: int) -> bytes:
    """What UDP, TCP and ICMPv6 add to their checksum."""
    tail = (
        struct.pack("!II", length, protocol) if isinstance(src, IPv6Address) else struct.pack("!HH", protocol, length)
    )
    return src.packed + dst.packed + tail


def solicitation(sender_mac: bytes, sender: IPv6Address, target: IPv6Address) -> bytes:
    """A neighbour solicitation to the target's solicited-node group (RFC 4861, 4.3)."""
    group = IPv6Address(b"\xff\x02" + bytes(9) + b"\x01\xff" + target.packed[13:])
    body = struct.pack("!BBHI", SOLICITATION, 0, 0, 0) + target.packed + b"\x01\x01" + sender_mac
    total = checksum(pseudo(sender, group, ICMPV6, len(body)) + body)
    body = body[:2] + total.to_bytes(2, "big") + body[4:]
    dst = b"\x33\x33" + group.packed[12:]  # RFC 2464, 7
    return ethernet(dst, sender_mac, ETH_IPV6, ip(sender, group, ICMPV6, body, ttl=255))


def udp(src: IpAddress, dst: IpAddress, source_port: int, port: int, payload: bytes) -> bytes:
    """A UDP datagram."""
    body = struct.pack("!HHHH", source_port, port, 8 + len(payload), 0) + payload
    total = checksum(pseudo(src, dst, UDP, len(body)) + body) or 0xFFFF  # 0 means "none" (RFC 768)
    return body[:6] + total.to_bytes(2, "big") + body[8:]


def dhcp(
    message: int,
    xid: int,
    mac: bytes,
    options: Mapping[int, bytes] | Iterable[tuple[int, bytes]] = (),
    *,
    client: IPv4Address | None = None,
    broadcast: bool = False,
) -> bytes:
    """The UDP payload of a DHCP client's message (RFC 2131), with its type and ``options`` (RFC 2132)."""
    pairs = options.items() if isinstance(options, Mapping) else options
    head = struct.pack("!BBBBIHH", 1, 1, 6, 0, xid, 0, 0x8000 if broadcast else 0)
    addresses = (client or IPv4Address(0)).packed + bytes(12)
    body = head + addresses + mac + bytes(10 + 64 + 128) + DHCP_COOKIE + bytes((OPT_TYPE, 1, message))
    body += b"".join(bytes((code, len(value))) + value for code, value in pairs) + b"\xff"
    return body.ljust(300, b"\0")  # shorter ones are dropped by old relays (RFC 1542, 2.1)


def dhcp_frame(mac: bytes, payload: bytes) -> bytes:
    """A DHCP client's message as a broadcast frame from 0.0.0.0."""
    nobody, everybody = IPv4Address(0), IPv4Address("255.255.255.255")
    packet = ip(nobody, everybody, UDP, udp(nobody, everybody, 68, 67, payload))
    return ethernet(BROADCAST, mac, ETH_IPV4, packet)
