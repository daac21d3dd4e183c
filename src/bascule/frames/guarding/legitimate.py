"""What a well-behaved guest sends, each as one row: a guard that stops one of these breaks the guest's network."""

from __future__ import annotations

import struct
from collections.abc import Iterable
from ipaddress import IPv4Address, IPv6Address

from bascule.frames.codecs.ethernet import BROADCAST
from bascule.frames.guarding import build as b
from bascule.frames.guarding.attacks import ROUTERS4, V3ROUTERS
from bascule.frames.guarding.build import Parties
from bascule.frames.guarding.sample import Sample

LIKE_HEADERS = (67, 9), (9, 67), (9, 68), (9, 1985)  # ports of which a guard asks who uses them
MDNS4, MDNS6, SSDP = IPv4Address("224.0.0.251"), IPv6Address("ff02::fb"), IPv4Address("239.255.255.250")
REPORTS6, DHCP6 = IPv6Address("ff02::16"), IPv6Address("ff02::1:2")


def _arp_probe(p: Parties) -> Iterable[bytes]:
    yield b.arp(p.me.raw, 1, p.me.raw, b.UNSPECIFIED4, p.me.ip4)


def _arp_request(p: Parties) -> Iterable[bytes]:
    """To all, and to one whose entry has grown old."""
    yield b.arp(p.me.raw, 1, p.me.raw, p.me.ip4, p.other.ip4)
    yield b.arp(p.me.raw, 1, p.me.raw, p.me.ip4, p.other.ip4, dst=p.other.raw)


def _arp_reply(p: Parties) -> Iterable[bytes]:
    yield b.arp(p.me.raw, 2, p.me.raw, p.me.ip4, p.other.ip4, dst=p.other.raw, target=p.other.raw)


def _arp_announcement(p: Parties) -> Iterable[bytes]:
    yield b.arp(p.me.raw, 1, p.me.raw, p.me.ip4, p.me.ip4)
    yield b.arp(p.me.raw, 2, p.me.raw, p.me.ip4, p.me.ip4)


def _rarp(p: Parties) -> Iterable[bytes]:
    yield b.rarp(p.me.raw, p.me.raw)


def _dhcp(p: Parties) -> Iterable[bytes]:
    for kind in (1, 3, 4):
        body = b.udp(b.UNSPECIFIED4, b.BROADCAST4, 68, 67, b.dhcp(1, p.me.raw, kind))
        yield b.ipv4(p.me.raw, BROADCAST, b.UNSPECIFIED4, b.BROADCAST4, b.UDP, body)


def _dhcp_renewal(p: Parties) -> Iterable[bytes]:
    for kind in (3, 7, 8):  # request, release, inform
        body = b.udp(p.me.ip4, p.router.ip4, 68, 67, b.dhcp(1, p.me.raw, kind))
        yield b.ipv4(p.me.raw, p.router.raw, p.me.ip4, p.router.ip4, b.UDP, body)


def _dhcp6(p: Parties) -> Iterable[bytes]:
    for kind in (
        b"\x01",
        b"\x03",
        b"\x05",
        b"\x06",
        b"\x08",
        b"\x0b",
    ):  # solicit, request, renew, rebind, release, information
        body = b.udp(p.me.local, DHCP6, 546, 547, kind + b"\0\0\1")
        yield b.ipv6(p.me.raw, b.group_mac(DHCP6), p.me.local, DHCP6, b.UDP, body, hops=1)


def _plain4(protocol: int, body: bytes) -> Sample:
    def frames(p: Parties) -> Iterable[bytes]:
        yield b.ipv4(p.me.raw, p.other.raw, p.me.ip4, p.other.ip4, protocol, body)

    return Sample(f"IPv4, protocol {protocol}", frames)


def _plain6(protocol: int, body: bytes) -> Sample:
    def frames(p: Parties) -> Iterable[bytes]:
        yield b.ipv6(p.me.raw, p.other.raw, p.me.ip6, p.other.ip6, protocol, body, hops=64)

    return Sample(f"IPv6, next header {protocol}", frames)


def _ping(p: Parties) -> Iterable[bytes]:
    yield b.ipv4(p.me.raw, p.other.raw, p.me.ip4, p.other.ip4, b.ICMP, b.icmp4(8, 0, b"\0\1\0\1"))
    for source, to in ((p.me.ip6, p.other.ip6), (p.me.local, p.other.local)):
        yield b.ipv6(p.me.raw, p.other.raw, source, to, b.ICMPV6, b.icmp6(source, to, 128, b"\0\1\0\1"), hops=64)


def _errors(p: Parties) -> Iterable[bytes]:
    yield b.ipv4(p.me.raw, p.other.raw, p.me.ip4, p.other.ip4, b.ICMP, b.icmp4(3, 3, bytes(32)))
    body = b.icmp6(p.me.ip6, p.other.ip6, 2, struct.pack("!I", 1400) + bytes(48))
    yield b.ipv6(p.me.raw, p.other.raw, p.me.ip6, p.other.ip6, b.ICMPV6, body)


def _fragments4(p: Parties) -> Iterable[bytes]:
    """Whole packets in two pieces each: connection tracking keeps back what it cannot join.

    What looks like a header in a later piece is none.
    """
    bodies = [bytes(64), *(bytes(32) + struct.pack("!HHHH", *ports, 9, 9) * 4 for ports in LIKE_HEADERS)]
    packets = [
        *((b.UDP, b.udp(p.me.ip4, p.other.ip4, 9, 9, body)) for body in bodies),
        (b.ICMP, b.icmp4(8, 0, bytes(36) + b"\x05" * 32)),
        (b.IGMP, b.igmp(0x16, SSDP) + bytes(32) + b"\x11" * 32),
        (b.TCP, struct.pack("!HHIIHHHH", 9, 9, 1, 1, 0x5010, 64, 0, 0) + bytes(52)),
    ]
    for protocol, body in packets:
        for offset, part, more in ((0, body[:40], 0x2000), (5, body[40:], 0)):
            yield b.ipv4(p.me.raw, p.other.raw, p.me.ip4, p.other.ip4, protocol, part, fragment=more | offset)


def _fragments6(p: Parties) -> Iterable[bytes]:
    whole = b.udp(p.me.ip6, p.other.ip6, 9, 9, bytes(64))
    for offset, part, more in ((0, whole[:40], True), (40, whole[40:], False)):
        body = b.fragment_header(b.UDP, offset, more=more) + part
        yield b.ipv6(p.me.raw, p.other.raw, p.me.ip6, p.other.ip6, b.FRAGMENT, body, hops=64)


def _big_ping6(p: Parties) -> Iterable[bytes]:
    whole = b.icmp6(p.me.ip6, p.other.ip6, 128, bytes(68))
    for offset, part, more in ((0, whole[:40], True), (40, whole[40:], False)):
        body = b.fragment_header(b.ICMPV6, offset, more=more) + part
        yield b.ipv6(p.me.raw, p.other.raw, p.me.ip6, p.other.ip6, b.FRAGMENT, body, hops=64)


def _detection(p: Parties) -> Iterable[bytes]:
    for target in (p.me.ip6, p.me.local):
        to = b.solicited(target)
        for options in (b"", b.NONCE):
            body = b.icmp6(b.UNSPECIFIED6, to, 135, b.solicitation(target, options))
            yield b.ipv6(p.me.raw, b.group_mac(to), b.UNSPECIFIED6, to, b.ICMPV6, body)


def _solicitation(p: Parties) -> Iterable[bytes]:
    for source, target in ((p.me.ip6, p.other.ip6), (p.me.local, p.router.local)):
        to = b.solicited(target)
        body = b.icmp6(source, to, 135, b.solicitation(target, b.option(1, p.me.raw)))
        yield b.ipv6(p.me.raw, b.group_mac(to), source, to, b.ICMPV6, body)
    body = b.icmp6(p.me.ip6, p.other.ip6, 135, b.solicitation(p.other.ip6))
    yield b.ipv6(p.me.raw, p.other.raw, p.me.ip6, p.other.ip6, b.ICMPV6, body)


def _advertisement(p: Parties) -> Iterable[bytes]:
    for target in (p.me.ip6, p.me.local):
        for to in (p.other.ip6, b.ALL_NODES):
            dst = b.group_mac(to) if to == b.ALL_NODES else p.other.raw
            body = b.icmp6(target, to, 136, b.advertisement(target, b.option(2, p.me.raw)))
            yield b.ipv6(p.me.raw, dst, target, to, b.ICMPV6, body)


def _router_solicitation(p: Parties) -> Iterable[bytes]:
    for source, options in ((b.UNSPECIFIED6, b""), (p.me.local, b.option(1, p.me.raw)), (p.me.local, b"")):
        body = b.icmp6(source, b.ALL_ROUTERS, 133, bytes(4) + options)
        yield b.ipv6(p.me.raw, b.group_mac(b.ALL_ROUTERS), source, b.ALL_ROUTERS, b.ICMPV6, body)


def _reports4(p: Parties) -> Iterable[bytes]:
    for kind, to in ((0x12, MDNS4), (0x16, MDNS4), (0x17, ROUTERS4), (0x22, V3ROUTERS)):
        for options in (b"", b.ROUTER_ALERT):  # version 2 and later have it
            yield b.ipv4(p.me.raw, b.group_mac(to), p.me.ip4, to, b.IGMP, b.igmp(kind, MDNS4), options=options)


def _reports_from_nobody(p: Parties) -> Iterable[bytes]:
    """A host that has no address yet (RFC 3376, 4.2.13)."""
    yield b.ipv4(p.me.raw, b.group_mac(V3ROUTERS), b.UNSPECIFIED4, V3ROUTERS, b.IGMP, b.igmp(0x22, MDNS4))
    yield b.ipv4(p.me.raw, b.group_mac(MDNS4), b.UNSPECIFIED4, MDNS4, b.IGMP, b.igmp(0x16, MDNS4))
    yield b.ipv4(p.me.raw, b.group_mac(ROUTERS4), b.UNSPECIFIED4, ROUTERS4, b.IGMP, b.igmp(0x17, MDNS4))


def _reports6(p: Parties) -> Iterable[bytes]:
    for source in (p.me.local, b.UNSPECIFIED6):
        for kind, rest in ((143, b"\0\0\0\1\4\0\0\0" + MDNS6.packed), (131, bytes(4) + MDNS6.packed)):
            body = b.option_header(b.ICMPV6) + b.icmp6(source, REPORTS6, kind, rest)
            yield b.ipv6(p.me.raw, b.group_mac(REPORTS6), source, REPORTS6, b.HOP_BY_HOP, body, hops=1)


def _group(group: IPv4Address | IPv6Address, port: int) -> Sample:
    def frames(p: Parties) -> Iterable[bytes]:
        if isinstance(group, IPv6Address):
            body = b.udp(p.me.local, group, port, port, b"x")
            yield b.ipv6(p.me.raw, b.group_mac(group), p.me.local, group, b.UDP, body)
        else:
            body = b.udp(p.me.ip4, group, port, port, b"x")
            yield b.ipv4(p.me.raw, b.group_mac(group), p.me.ip4, group, b.UDP, body)

    return Sample(f"UDP to {group}, port {port}", frames)


def _broadcast(p: Parties) -> Iterable[bytes]:
    yield b.ipv4(p.me.raw, BROADCAST, p.me.ip4, b.BROADCAST4, b.UDP, b.udp(p.me.ip4, b.BROADCAST4, 138, 138, b"x"))


def _whole_mtu(p: Parties) -> Iterable[bytes]:
    body = b.udp(p.me.ip4, p.other.ip4, 9, 9, bytes(1_472))
    yield b.ipv4(p.me.raw, p.other.raw, p.me.ip4, p.other.ip4, b.UDP, body)
    body = b.udp(p.me.ip6, p.other.ip6, 9, 9, bytes(1_452))
    yield b.ipv6(p.me.raw, p.other.raw, p.me.ip6, p.other.ip6, b.UDP, body, hops=64)


def _odd_ports(p: Parties) -> Iterable[bytes]:
    for port in (9, 66, 69, 1984, 3223):
        yield b.ipv4(
            p.me.raw, p.other.raw, p.me.ip4, p.other.ip4, b.UDP, b.udp(p.me.ip4, p.other.ip4, port, port, b"\xff" * 6)
        )
        yield b.ipv6(
            p.me.raw, p.other.raw, p.me.ip6, p.other.ip6, b.UDP, b.udp(p.me.ip6, p.other.ip6, port, port, b"x"), hops=64
        )


def _to_the_router(p: Parties) -> Iterable[bytes]:
    """To somebody behind the router: another address with the router's MAC."""
    far, far6 = IPv4Address("198.51.100.9"), IPv6Address("2001:db8:99::9")
    yield b.ipv4(p.me.raw, p.router.raw, p.me.ip4, far, b.UDP, b.udp(p.me.ip4, far, 9, 53, b"x"))
    yield b.ipv6(p.me.raw, p.router.raw, p.me.ip6, far6, b.UDP, b.udp(p.me.ip6, far6, 9, 53, b"x"), hops=64)


LEGITIMATE = (
    Sample("an ARP probe (RFC 5227)", _arp_probe),
    Sample("an ARP request", _arp_request),
    Sample("an ARP reply", _arp_reply),
    Sample("an ARP announcement", _arp_announcement),
    Sample("the RARP announcement after a move", _rarp),
    Sample("DHCP discover and request", _dhcp),
    Sample("the renewal of a lease", _dhcp_renewal),
    Sample("DHCPv6 of a client", _dhcp6),
    _plain4(b.TCP, struct.pack("!HHIIBBHHH", 1, 2, 3, 0, 0x50, 2, 9, 0, 0)),
    _plain4(b.UDP, struct.pack("!HHHH", 9, 9, 8, 0)),
    _plain4(132, bytes(16)),
    _plain4(50, bytes(24)),
    _plain4(47, bytes(8)),
    _plain4(4, bytes(20)),
    _plain4(89, bytes(24)),
    _plain6(b.TCP, struct.pack("!HHIIBBHHH", 1, 2, 3, 0, 0x50, 2, 9, 0, 0)),
    _plain6(b.UDP, struct.pack("!HHHH", 9, 9, 8, 1)),
    _plain6(132, bytes(16)),
    _plain6(50, bytes(24)),
    _plain6(41, bytes(40)),
    _plain6(33, bytes(24)),
    _plain6(51, b"\x06\4" + bytes(42)),
    _plain6(115, bytes(24)),
    _plain6(136, bytes(24)),
    _plain4(51, b"\x06\4" + bytes(42)),
    Sample("ping, also between link-local addresses", _ping),
    Sample("port unreachable and packet too big", _errors),
    Sample("fragments of IPv4", _fragments4),
    Sample("fragments of IPv6", _fragments6),
    Sample("a big ping in fragments of IPv6", _big_ping6),
    Sample("duplicate address detection, with a nonce and without", _detection),
    Sample("neighbour solicitations", _solicitation),
    Sample("neighbour advertisements", _advertisement),
    Sample("router solicitations", _router_solicitation),
    Sample("IGMP reports and leaves", _reports4),
    Sample("IGMP reports without an address", _reports_from_nobody),
    Sample("MLD reports, with an address and without", _reports6),
    _group(MDNS4, 5353),
    _group(MDNS6, 5353),
    _group(SSDP, 1900),
    _group(IPv4Address("224.0.1.129"), 319),
    Sample("a broadcast", _broadcast),
    Sample("packets as long as the MTU of Ethernet", _whole_mtu),
    Sample("UDP on the ports next to those that a guard checks", _odd_ports),
    Sample("traffic for the router", _to_the_router),
)
