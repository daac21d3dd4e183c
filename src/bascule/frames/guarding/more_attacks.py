"""Hostile frames that filters forget: other ports and protocols for the same harm, and lengths that lie; pure."""

from __future__ import annotations

import struct
from collections.abc import Iterable
from ipaddress import IPv4Address, IPv6Address

from bascule.frames.codecs.ethernet import BROADCAST
from bascule.frames.guarding import build as b
from bascule.frames.guarding.build import Parties
from bascule.frames.guarding.sample import Sample

HSRP6, GLBP4 = IPv6Address("ff02::66"), IPv4Address("224.0.0.102")
AH = 51


def _server_from_any_port(p: Parties) -> Iterable[bytes]:
    """Clients listen at their port and do not ask where an answer comes from."""
    for source in (68, 4000):
        offer = b.udp(p.me.ip4, b.BROADCAST4, source, 68, b.dhcp(2, p.other.raw, 2))
        yield b.ipv4(p.me.raw, BROADCAST, p.me.ip4, b.BROADCAST4, b.UDP, offer)
    for source in (546, 4000):
        for kind in (b"\x07", b"\x0a"):  # a reply, and what makes clients ask (reconfigure)
            body = b.udp(p.me.local, p.other.local, source, 546, kind + b"\0\0\1")
            yield b.ipv6(p.me.raw, p.other.raw, p.me.local, p.other.local, b.UDP, body)


def _request_from_any_port(p: Parties) -> Iterable[bytes]:
    body = b.udp(p.me.ip4, b.BROADCAST4, 9, 67, b.dhcp(1, p.other.raw, 1))
    yield b.ipv4(p.me.raw, BROADCAST, p.me.ip4, b.BROADCAST4, b.UDP, body)


def _takeover6(p: Parties) -> Iterable[bytes]:
    yield b.ipv6(p.me.raw, b.group_mac(b.VRRP6), p.me.local, b.VRRP6, b.VRRP, b.vrrp(p.router.ip4))
    yield b.ipv6(p.me.raw, b.group_mac(b.VRRP6), p.me.ip6, b.VRRP6, b.VRRP, bytes(36))  # as CARP
    hello = b.udp(p.me.local, HSRP6, 2029, 2029, bytes(20))
    yield b.ipv6(p.me.raw, b.group_mac(HSRP6), p.me.local, HSRP6, b.UDP, hello)


def _glbp(p: Parties) -> Iterable[bytes]:
    for port in (3222, 1985):  # and the second version of HSRP
        body = b.udp(p.me.ip4, GLBP4, port, port, bytes(40))
        yield b.ipv4(p.me.raw, b.group_mac(GLBP4), p.me.ip4, GLBP4, b.UDP, body)


def _authenticated(protocol: int, body: bytes) -> bytes:
    return bytes([protocol, 4]) + bytes(22) + body


def _behind_authentication(p: Parties) -> Iterable[bytes]:
    """Rules that look for the protocol of IP do not see what is behind an authentication header (RFC 4302)."""
    advert = b.vrrp(p.router.ip4)
    yield b.ipv4(p.me.raw, b.group_mac(b.VRRP4), p.me.ip4, b.VRRP4, AH, _authenticated(b.VRRP, advert))
    yield b.ipv6(p.me.raw, b.group_mac(b.VRRP6), p.me.local, b.VRRP6, AH, _authenticated(b.VRRP, advert))
    yield b.ipv4(p.me.raw, b.group_mac(b.PIM4), p.me.ip4, b.PIM4, AH, _authenticated(b.PIM, b.PIM_HELLO))
    to = b.ALL_NODES
    ra = b.icmp6(p.me.local, to, 134, b.router_advertisement(p.me.raw))
    yield b.ipv6(p.me.raw, b.group_mac(to), p.me.local, to, AH, _authenticated(b.ICMPV6, ra))


def _old_multicast_routing(p: Parties) -> Iterable[bytes]:
    """A switch that snoops takes the port of such a sender for one of a multicast router: DVMRP, PIMv1, RGMP."""
    for kind in (0x13, 0x14, 0xFF):
        body = b.igmp(kind, b.UNSPECIFIED4)
        yield b.ipv4(p.me.raw, b.group_mac(b.ROUTERS4), p.me.ip4, b.ROUTERS4, b.IGMP, body)


def _of_routers(p: Parties) -> Iterable[bytes]:
    """Renumbering, inverse discovery, home agents, certification path, fast handover, RPL."""
    to = b.ALL_NODES
    for kind in (138, 141, 142, 145, 147, 149, 154, 155):
        body = b.icmp6(p.me.local, to, kind, bytes(20))
        yield b.ipv6(p.me.raw, b.group_mac(to), p.me.local, to, b.ICMPV6, body)


def _false_lengths(p: Parties) -> Iterable[bytes]:
    """A kernel that cannot read the packet as its length says gives up, and some filters then accept it."""
    offer = b.udp(p.me.ip4, p.other.ip4, 67, 68, b.dhcp(2, p.other.raw, 2))
    packet = b.ipv4(p.me.raw, p.other.raw, p.me.ip4, p.other.ip4, b.UDP, offer)
    yield packet[:16] + struct.pack("!H", 9000) + packet[18:]
    reply = b.udp(p.me.local, p.other.local, 547, 546, b"\x07\0\0\1")
    packet = b.ipv6(p.me.raw, p.other.raw, p.me.local, p.other.local, b.UDP, reply)
    yield packet[:18] + struct.pack("!H", 9000) + packet[20:]


def _fragments_of_discovery(p: Parties) -> Iterable[bytes]:
    """Neighbour discovery is never in fragments (RFC 6980), and a first one without any header shows nothing."""
    to = b.ALL_NODES
    ra = b.icmp6(p.me.local, to, 134, b.router_advertisement(p.me.raw))
    na = b.icmp6(p.me.ip6, p.other.ip6, 136, b.advertisement(p.me.ip6, b.option(2, p.me.raw)))
    for part in (ra[:8], ra[:16], na[:8], b""):
        body = b.fragment_header(b.ICMPV6, 0, more=True) + part
        yield b.ipv6(p.me.raw, b.group_mac(to), p.me.local, to, b.FRAGMENT, body)


def _probe_denial(p: Parties) -> Iterable[bytes]:
    """Who probes for an address at the same time keeps the other from it (RFC 5227, 2.1.1)."""
    yield b.arp(p.me.raw, 1, p.me.raw, b.UNSPECIFIED4, p.other.ip4)
    yield b.arp(p.me.raw, 1, p.me.raw, b.UNSPECIFIED4, p.router.ip4)
    yield b.arp(p.me.raw, 2, p.me.raw, b.UNSPECIFIED4, p.other.ip4)


def _rarp_reply(p: Parties) -> Iterable[bytes]:
    body = struct.pack("!HHBBH", 1, b.IPV4, 6, 4, 4) + p.me.raw + bytes(4) + p.router.raw + p.router.ip4.packed
    yield b.ether(BROADCAST, p.me.raw, b.RARP, body)


def _impossible_sources(p: Parties) -> Iterable[bytes]:
    """Everybody's, a group's and the loopback's address send nothing; 6to4, Teredo, ISATAP and NAT64 name somebody."""
    for four in map(IPv4Address, ("255.255.255.255", "224.0.0.1", "127.0.0.1", "10.0.0.255", "240.0.0.1")):
        yield b.ipv4(p.me.raw, p.other.raw, four, p.other.ip4, b.UDP, b.udp(four, p.other.ip4, 9, 9, b"x"))
    tunnels = ("2002:a00:1::1", "2001:0:a00:1::1", "fe80::5efe:a00:1", "fec0::1", "64:ff9b::a00:1")
    for six in map(IPv6Address, ("ff02::1", "::1", "::ffff:10.0.0.1", *tunnels)):
        yield b.ipv6(p.me.raw, p.other.raw, six, p.other.ip6, b.UDP, b.udp(six, p.other.ip6, 9, 9, b"x"))


def _fragments_anywhere(p: Parties) -> Iterable[bytes]:
    """A fragment header behind another header, behind itself, and with more headers in it (RFC 8200, 4.5; RFC 7112)."""
    to = b.ALL_NODES
    ra = b.icmp6(p.me.local, to, 134, b.router_advertisement(p.me.raw))

    def sent(kind: int, body: bytes) -> bytes:
        return b.ipv6(p.me.raw, b.group_mac(to), p.me.local, to, kind, body, fragment=True)

    for more in (True, False):
        inside = b.fragment_header(b.ICMPV6, 0, more=more) + ra
        for kind in (b.HOP_BY_HOP, b.DESTINATION):
            yield sent(kind, b.option_header(b.FRAGMENT) + inside)
            yield sent(b.FRAGMENT, b.fragment_header(kind, 0, more=more) + b.option_header(b.ICMPV6) + ra)
        yield sent(b.ROUTING, bytes([b.FRAGMENT, 0, 0, 0, 0, 0, 0, 0]) + inside)
        yield sent(b.FRAGMENT, b.fragment_header(b.FRAGMENT, 0, more=more) + inside)


def _server_in_fragments(p: Parties) -> Iterable[bytes]:
    """The answers of a DHCP server in two pieces: the first shows its ports."""
    for first, dst, to in _offered(p):
        yield b.ipv4(p.me.raw, dst, p.me.ip4, to, b.UDP, _offer(p, to)[:first], fragment=0x2000)
    reply = b.udp(p.me.local, p.other.local, 547, 546, b"\x07\0\0\1" + bytes(60))
    body = b.fragment_header(b.UDP, 0, more=True) + reply[:16]
    yield b.ipv6(p.me.raw, p.other.raw, p.me.local, p.other.local, b.FRAGMENT, body)


def _rest_of_offers(p: Parties) -> Iterable[bytes]:
    for first, dst, to in _offered(p):
        yield b.ipv4(p.me.raw, dst, p.me.ip4, to, b.UDP, _offer(p, to)[first:], fragment=first // 8)


def _offered(p: Parties) -> tuple[tuple[int, bytes, IPv4Address], ...]:
    """How many bytes go first, and to whom."""
    return (8, p.other.raw, p.other.ip4), (64, BROADCAST, b.BROADCAST4)


def _offer(p: Parties, to: IPv4Address) -> bytes:
    return b.udp(p.me.ip4, to, 67, 68, b.dhcp(2, p.other.raw, 2))


def _jumbo(p: Parties) -> Iterable[bytes]:
    """Longer than most links carry: a bridge learns from it, and drops it afterwards at a port of a smaller MTU."""
    body = b.udp(p.me.ip4, p.other.ip4, 9, 9, bytes(8_900))
    yield b.ipv4(p.router.raw, p.other.raw, p.me.ip4, p.other.ip4, b.UDP, body)
    yield b.arp(p.router.raw, 1, p.router.raw, p.me.ip4, p.other.ip4).ljust(9_014, b"\0")


def _jumbo_arp(p: Parties) -> Iterable[bytes]:
    yield b.arp(p.me.raw, 2, p.me.raw, p.router.ip4, p.other.ip4).ljust(9_014, b"\0")


def _runts(p: Parties) -> Iterable[bytes]:
    """Shorter than any frame on a wire, as only a virtual port passes them on: a header alone, and headers cut off."""
    for kind in (b.IPV4, b.IPV6, b.ARP, b.RARP, 0x0800 - 1):
        yield p.other.raw + p.me.raw + struct.pack("!H", kind)
    poison = b.arp(p.me.raw, 2, p.me.raw, p.me.ip4, p.other.ip4)
    packet = b.ipv4(p.me.raw, p.other.raw, p.me.ip4, p.other.ip4, b.UDP, b.udp(p.me.ip4, p.other.ip4, 9, 9, b"x"))
    solicited = b.icmp6(p.me.ip6, p.other.ip6, 135, b.solicitation(p.other.ip6))
    packet6 = b.ipv6(p.me.raw, p.other.raw, p.me.ip6, p.other.ip6, b.ICMPV6, solicited)
    for frame, kept in ((poison, 24), (poison, 30), (packet, 20), (packet, 30), (packet6, 40), (packet6, 52)):
        yield frame[:kept]


def _no_sender(p: Parties) -> Iterable[bytes]:
    """Nobody's MAC."""
    body = b.udp(p.me.ip4, p.other.ip4, 9, 9, b"x")
    yield b.ipv4(bytes(6), p.other.raw, p.me.ip4, p.other.ip4, b.UDP, body)
    yield b.arp(bytes(6), 1, p.me.raw, p.me.ip4, p.other.ip4)


def _another_version(p: Parties) -> Iterable[bytes]:
    """A type that says one version of IP before a packet of the other, and a header shorter than any."""
    four = b.ipv4(p.me.raw, p.other.raw, p.router.ip4, p.other.ip4, b.UDP, b.udp(p.router.ip4, p.other.ip4, 9, 9, b"x"))
    body = b.udp(p.router.ip6, p.other.ip6, 9, 9, b"x")
    six = b.ipv6(p.me.raw, p.other.raw, p.router.ip6, p.other.ip6, b.UDP, body)
    yield b.ether(p.other.raw, p.me.raw, b.IPV6, four[14:])
    yield b.ether(p.other.raw, p.me.raw, b.IPV4, six[14:])
    offer = b.udp(p.me.ip4, p.other.ip4, 67, 68, b.dhcp(2, p.other.raw, 2))
    packet = b.ipv4(p.me.raw, p.other.raw, p.me.ip4, p.other.ip4, b.UDP, offer)
    yield packet[:14] + b"\x44" + packet[15:]


MORE_ATTACKS = (
    Sample("a sender without a MAC", _no_sender, "mac"),
    Sample("IP of another version than its type, or with too short a header", _another_version, "ip4"),
    Sample("a DHCP server that answers from any port", _server_from_any_port, "dhcp", "dhcp-server"),
    Sample("a DHCP request in another's name from any port", _request_from_any_port, "chaddr", "dhcp-server"),
    Sample("VRRP and HSRP of IPv6", _takeover6, "vrrp", "group"),
    Sample("GLBP and HSRP of version 2", _glbp, "vrrp", "group"),
    Sample("VRRP, PIM and RA behind an authentication header", _behind_authentication, "headers", "group"),
    Sample("DVMRP, PIMv1 and RGMP", _old_multicast_routing, "querier", "multicast-querier"),
    Sample("other ICMPv6 of routers", _of_routers, "router", "router"),
    Sample("DHCP servers with wrong length fields", _false_lengths, "headers", "dhcp-server"),
    Sample("neighbour discovery in fragments", _fragments_of_discovery, "headers"),
    Sample("fragments behind, in and before other headers", _fragments_anywhere, "headers"),
    Sample("DHCP servers in fragments", _server_in_fragments, "dhcp", "dhcp-server", rest=_rest_of_offers),
    Sample("jumbo frames with another's MAC", _jumbo, "mac"),
    Sample("jumbo frames with ARP as the router", _jumbo_arp, "arp", by_address=True),
    Sample("runts", _runts, "headers"),
    Sample("an ARP probe for another's address", _probe_denial, "arp", by_address=True),
    Sample("a RARP reply", _rarp_reply, "type"),
    Sample("IP from addresses that no host can have", _impossible_sources, "ip4", "router", by_address=True),
)
