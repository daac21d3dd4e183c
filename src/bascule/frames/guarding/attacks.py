"""What a hostile guest sends, each as one row: its name, its frames, and the reason for which it must be stopped.

Sources: the bypasses that were published of other guards (CVE-2021-27853 and its sisters, CVE-2025-52890,
CVE-2016-5362, RFC 6105, RFC 7112, RFC 7113), and tools that guests are attacked with (thc-ipv6, yersinia, dsniff).
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable
from ipaddress import IPv4Address, IPv6Address

from bascule.frames.codecs.ethernet import BROADCAST
from bascule.frames.guarding import build as b
from bascule.frames.guarding.build import Parties
from bascule.frames.guarding.link_layer import (
    behind_tags,
    bridge_groups,
    cisco,
    control_with_foreign_source,
    ethertype,
    flood,
    multicast_source,
    other_types,
    router_advertisement,
    snap,
    spanning_tree,
    without_type,
)
from bascule.frames.guarding.more_attacks import MORE_ATTACKS
from bascule.frames.guarding.sample import Sample

STRANGER = bytes.fromhex("02bad0bad0ba")
_STRANGERS = b.udp(b.UNSPECIFIED4, b.BROADCAST4, 68, 67, b.dhcp(1, STRANGER, 1))
HOSTS4, ROUTERS4, V3ROUTERS = b.HOSTS4, b.ROUTERS4, IPv4Address("224.0.0.22")
ALL_SNOOPERS = IPv4Address("224.0.0.106")


def _mac_spoof(p: Parties) -> Iterable[bytes]:
    yield b.ipv4(p.router.raw, p.other.raw, p.me.ip4, p.other.ip4, b.UDP, b.udp(p.me.ip4, p.other.ip4, 9, 9, b"x"))
    yield b.ipv6(p.router.raw, p.other.raw, p.me.ip6, p.other.ip6, b.UDP, b.udp(p.me.ip6, p.other.ip6, 9, 9, b"x"))
    yield b.ether(p.other.raw, p.router.raw, 0x88B5, b"x")


def _icmp_as_router(p: Parties) -> Iterable[bytes]:
    """An answer of the router that is related to nothing; guards that accept it first are open to it."""
    inner = bytes(28)
    yield b.ipv4(p.router.raw, p.other.raw, p.router.ip4, p.other.ip4, b.ICMP, b.icmp4(3, 1, bytes(4) + inner))
    body = b.icmp6(p.router.ip6, p.other.ip6, 2, struct.pack("!I", 1280) + inner)
    yield b.ipv6(p.router.raw, p.other.raw, p.router.ip6, p.other.ip6, b.ICMPV6, body)


def _ipv4_spoof(p: Parties) -> Iterable[bytes]:
    for source in (p.other.ip4, p.router.ip4, IPv4Address("8.8.8.8"), IPv4Address("169.254.7.7")):
        yield b.ipv4(p.me.raw, p.other.raw, source, p.other.ip4, b.UDP, b.udp(source, p.other.ip4, 9, 9, b"x"))
        yield b.ipv4(p.me.raw, p.other.raw, source, p.other.ip4, b.TCP, bytes(20))


def _unspecified4(p: Parties) -> Iterable[bytes]:
    yield b.ipv4(
        p.me.raw, p.other.raw, b.UNSPECIFIED4, p.other.ip4, b.UDP, b.udp(b.UNSPECIFIED4, p.other.ip4, 53, 53, b"x")
    )
    yield b.ipv4(p.me.raw, BROADCAST, b.UNSPECIFIED4, b.BROADCAST4, b.TCP, bytes(20))


def _ipv6_spoof(p: Parties) -> Iterable[bytes]:
    for source in (p.other.ip6, p.router.ip6, p.router.local, IPv6Address("fe80::bad"), IPv6Address("2001:db8:77::1")):
        yield b.ipv6(p.me.raw, p.other.raw, source, p.other.ip6, b.UDP, b.udp(source, p.other.ip6, 9, 9, b"x"))
        yield b.ipv6(p.me.raw, p.other.raw, source, p.other.ip6, b.TCP, bytes(20))
        echo = b.icmp6(source, p.other.ip6, 128, b"\0\1\0\1")
        yield b.ipv6(p.me.raw, p.other.raw, source, p.other.ip6, b.ICMPV6, echo)


def _unspecified6(p: Parties) -> Iterable[bytes]:
    to = b.ALL_NODES
    yield b.ipv6(p.me.raw, b.group_mac(to), b.UNSPECIFIED6, to, b.UDP, b.udp(b.UNSPECIFIED6, to, 9, 9, b"x"))


def _arp(operation: int, *, spoofs_mac: bool = False, as_other: bool = False) -> Callable[[Parties], Iterable[bytes]]:
    def frames(p: Parties) -> Iterable[bytes]:
        whose = p.other if as_other else p.router
        sender = whose.raw if spoofs_mac else p.me.raw
        yield b.arp(p.me.raw, operation, sender, whose.ip4, p.other.ip4, dst=p.other.raw, target=p.other.raw)
        yield b.arp(p.me.raw, operation, sender, whose.ip4, whose.ip4)

    return frames


def _arp_own_address_foreign_mac(p: Parties) -> Iterable[bytes]:
    yield b.arp(p.me.raw, 2, p.other.raw, p.me.ip4, p.other.ip4, dst=p.other.raw, target=p.other.raw)
    yield b.arp(p.me.raw, 1, p.router.raw, p.me.ip4, p.other.ip4)


def _arp_odd(p: Parties) -> Iterable[bytes]:
    """Other hardware, other lengths, other operations: a receiver that is not strict takes them."""
    good = b.arp(p.me.raw, 2, p.me.raw, p.me.ip4, p.other.ip4)
    for at, value in ((14, 6), (16, 0x86DD), (20, 8), (20, 9)):
        yield good[:at] + struct.pack("!H", value) + good[at + 2 :]
    yield good[:18] + bytes([8, 4]) + good[20:]


def _rarp(p: Parties) -> Iterable[bytes]:
    yield b.rarp(p.me.raw, p.router.raw)
    yield b.rarp(p.me.raw, STRANGER)


def _na(options: Callable[[Parties], bytes], *, behind: int | None = None) -> Callable[[Parties], Iterable[bytes]]:
    """A neighbour advertisement for the router's address, ``behind`` an extension header."""

    def frames(p: Parties) -> Iterable[bytes]:
        for target in (p.router.ip6, p.router.local):
            body = b.icmp6(p.me.ip6, p.other.ip6, 136, b.advertisement(target, options(p)))
            head, before = (b.ICMPV6, b"") if behind is None else (behind, b.option_header(b.ICMPV6))
            yield b.ipv6(p.me.raw, p.other.raw, p.me.ip6, p.other.ip6, head, before + body)

    return frames


def _own_mac(p: Parties) -> bytes:
    return b.option(2, p.me.raw)


def _na_own_target_foreign_mac(p: Parties) -> Iterable[bytes]:
    for options in (b.option(2, p.router.raw), b.NONCE + b.option(2, p.router.raw), b.option(2, STRANGER) * 2):
        body = b.icmp6(p.me.ip6, p.other.ip6, 136, b.advertisement(p.me.ip6, options))
        yield b.ipv6(p.me.raw, p.other.raw, p.me.ip6, p.other.ip6, b.ICMPV6, body)


def _na_far(p: Parties) -> Iterable[bytes]:
    body = b.icmp6(p.me.ip6, p.other.ip6, 136, b.advertisement(p.me.ip6, _own_mac(p)))
    yield b.ipv6(p.me.raw, p.other.raw, p.me.ip6, p.other.ip6, b.ICMPV6, body, hops=64)


def _ns_foreign_option(p: Parties) -> Iterable[bytes]:
    to = b.solicited(p.other.ip6)
    for options in (b.option(1, p.router.raw), b.NONCE + b.option(1, p.router.raw), b.option(1, STRANGER) * 2):
        body = b.icmp6(p.me.ip6, to, 135, b.solicitation(p.other.ip6, options))
        yield b.ipv6(p.me.raw, b.group_mac(to), p.me.ip6, to, b.ICMPV6, body)


def _ns_as_router(p: Parties) -> Iterable[bytes]:
    to = b.solicited(p.other.ip6)
    body = b.icmp6(p.router.ip6, to, 135, b.solicitation(p.other.ip6, b.option(1, p.me.raw)))
    yield b.ipv6(p.me.raw, b.group_mac(to), p.router.ip6, to, b.ICMPV6, body)


def _dad_denial(p: Parties) -> Iterable[bytes]:
    """Nobody shall get the address that the other asks for: by an answer, or by asking for it as well."""
    to = b.solicited(p.other.ip6)
    for options in (b"", b.NONCE):
        body = b.icmp6(b.UNSPECIFIED6, to, 135, b.solicitation(p.other.ip6, options))
        yield b.ipv6(p.me.raw, b.group_mac(to), b.UNSPECIFIED6, to, b.ICMPV6, body)
    body = b.icmp6(p.other.ip6, b.ALL_NODES, 136, b.advertisement(p.other.ip6, _own_mac(p), flags=0x20))
    yield b.ipv6(p.me.raw, b.group_mac(b.ALL_NODES), p.other.ip6, b.ALL_NODES, b.ICMPV6, body)
    body = b.icmp6(p.me.ip6, b.ALL_NODES, 136, b.advertisement(p.other.ip6, _own_mac(p), flags=0x20))
    yield b.ipv6(p.me.raw, b.group_mac(b.ALL_NODES), p.me.ip6, b.ALL_NODES, b.ICMPV6, body)


def _rs_foreign_option(p: Parties) -> Iterable[bytes]:
    body = b.icmp6(p.me.local, b.ALL_ROUTERS, 133, bytes(4) + b.option(1, p.router.raw))
    yield b.ipv6(p.me.raw, b.group_mac(b.ALL_ROUTERS), p.me.local, b.ALL_ROUTERS, b.ICMPV6, body)


def _ra_split(p: Parties) -> Iterable[bytes]:
    """The first fragment holds destination options alone (RFC 7113, 3)."""
    to = b.ALL_NODES
    whole = b.option_header(b.ICMPV6) + b.icmp6(p.me.local, to, 134, b.router_advertisement(p.me.raw))
    for offset, part, more in ((0, whole[:8], True), (8, whole[8:], False)):
        body = b.fragment_header(b.DESTINATION, offset, more=more) + part
        yield b.ipv6(p.me.raw, b.group_mac(to), p.me.local, to, b.FRAGMENT, body)


def _hop_by_hop_after_fragment(p: Parties) -> Iterable[bytes]:
    inside = b.option_header(b.UDP) + b.udp(p.me.ip6, p.other.ip6, 9, 9, b"x")
    for kind in (b.HOP_BY_HOP, b.ROUTING, b.DESTINATION):
        yield b.ipv6(p.me.raw, p.other.raw, p.me.ip6, p.other.ip6, kind, inside)


def _redirect(p: Parties) -> Iterable[bytes]:
    gateway = p.me.ip4.packed
    for source in (p.me.ip4, p.router.ip4):
        body = b.icmp4(5, 1, gateway + bytes(28))
        yield b.ipv4(p.me.raw, p.other.raw, source, p.other.ip4, b.ICMP, body)
    for six in (p.me.local, p.router.local):
        rest = bytes(4) + p.me.local.packed + p.router.ip6.packed + b.option(2, p.me.raw)
        yield b.ipv6(p.me.raw, p.other.raw, six, p.other.ip6, b.ICMPV6, b.icmp6(six, p.other.ip6, 137, rest))


def _irdp(p: Parties) -> Iterable[bytes]:
    body = b.icmp4(9, 0, struct.pack("!BBH", 1, 2, 1800) + p.me.ip4.packed + bytes(4))
    yield b.ipv4(p.me.raw, b.group_mac(HOSTS4), p.me.ip4, HOSTS4, b.ICMP, body)


def _dhcp_server(p: Parties) -> Iterable[bytes]:
    offer = b.dhcp(2, p.other.raw, 2)
    for dst, to in ((BROADCAST, b.BROADCAST4), (p.other.raw, p.other.ip4)):
        for options in (b"", b.ROUTER_ALERT):
            yield b.ipv4(p.me.raw, dst, p.me.ip4, to, b.UDP, b.udp(p.me.ip4, to, 67, 68, offer), options=options)


def _dhcp6_server(p: Parties) -> Iterable[bytes]:
    for source in (p.me.local, p.me.ip6):
        body = b.udp(source, p.other.local, 547, 546, b"\x02\0\0\1")
        yield b.ipv6(p.me.raw, p.other.raw, source, p.other.local, b.UDP, body)


def _starvation(p: Parties) -> Iterable[bytes]:
    for number in range(4):
        body = b.dhcp(1, bytes([2, 0, 0, 9, 9, number]), 1)
        yield b.ipv4(
            p.me.raw, BROADCAST, b.UNSPECIFIED4, b.BROADCAST4, b.UDP, b.udp(b.UNSPECIFIED4, b.BROADCAST4, 68, 67, body)
        )
    # servers tell clients apart by the kind and the length of the address as well, and believe a relay
    for odd in (
        b.dhcp(1, p.me.raw + STRANGER, 1, length=12),
        b.dhcp(1, p.me.raw, 1, hardware=6),
        b.dhcp(1, p.me.raw, 1, length=0),
        b.dhcp(1, p.me.raw, 1, relay=p.router.ip4),
    ):
        body = b.udp(b.UNSPECIFIED4, b.BROADCAST4, 68, 67, odd)
        yield b.ipv4(p.me.raw, BROADCAST, b.UNSPECIFIED4, b.BROADCAST4, b.UDP, body)
        body = b.udp(p.me.ip4, p.router.ip4, 68, 67, odd)
        yield b.ipv4(p.me.raw, p.router.raw, p.me.ip4, p.router.ip4, b.UDP, body)
    for kind in (12, 13):  # relays of DHCPv6, from whatever port
        relayed = bytes([kind, 0]) + p.router.ip6.packed + p.other.local.packed
        body = b.udp(p.me.local, p.router.local, 4000, 547, relayed)
        yield b.ipv6(p.me.raw, p.router.raw, p.me.local, p.router.local, b.UDP, body)
    renewal = b.udp(p.me.ip4, p.router.ip4, 68, 67, b.dhcp(1, p.other.raw, 7))  # a release in another's name
    yield b.ipv4(p.me.raw, p.router.raw, p.me.ip4, p.router.ip4, b.UDP, renewal)


def _starvation_in_fragments(p: Parties) -> Iterable[bytes]:
    """The client's MAC stands in the second fragment, where a look at the first cannot see it."""
    for source in (b.UNSPECIFIED4, p.me.ip4):
        yield b.ipv4(p.me.raw, BROADCAST, source, b.BROADCAST4, b.UDP, _STRANGERS[:24], fragment=0x2000)


def _rest_of_starvation(p: Parties) -> Iterable[bytes]:
    for source in (b.UNSPECIFIED4, p.me.ip4):
        yield b.ipv4(p.me.raw, BROADCAST, source, b.BROADCAST4, b.UDP, _STRANGERS[24:], fragment=3)


def _querier4(p: Parties) -> Iterable[bytes]:
    for kind, to in ((0x11, HOSTS4), (0x30, HOSTS4), (0x31, ROUTERS4), (0x32, ALL_SNOOPERS)):
        for source in (p.me.ip4, b.UNSPECIFIED4):
            for options in (b"", b.ROUTER_ALERT):
                query = b.igmp(kind, b.UNSPECIFIED4)
                yield b.ipv4(p.me.raw, b.group_mac(to), source, to, b.IGMP, query, options=options)


def _querier6(p: Parties) -> Iterable[bytes]:
    to = b.ALL_NODES
    for kind in (130, 151, 152, 153):
        body = b.icmp6(p.me.local, to, kind, bytes(20))
        yield b.ipv6(p.me.raw, b.group_mac(to), p.me.local, to, b.ICMPV6, body)
        yield b.ipv6(p.me.raw, b.group_mac(to), p.me.local, to, b.HOP_BY_HOP, b.option_header(b.ICMPV6) + body)


def _pim(p: Parties) -> Iterable[bytes]:
    yield b.ipv4(p.me.raw, b.group_mac(b.PIM4), p.me.ip4, b.PIM4, b.PIM, b.PIM_HELLO)
    yield b.ipv6(p.me.raw, b.group_mac(b.PIM6), p.me.local, b.PIM6, b.PIM, b.PIM_HELLO)


def _vrrp(p: Parties, source: bytes | None = None) -> Iterable[bytes]:
    sender = source or p.me.raw
    yield b.ipv4(sender, b.group_mac(b.VRRP4), p.me.ip4, b.VRRP4, b.VRRP, b.vrrp(p.router.ip4))


def _vrrp_virtual_mac(p: Parties) -> Iterable[bytes]:
    return _vrrp(p, bytes.fromhex("00005e000109"))


def _hsrp(p: Parties) -> Iterable[bytes]:
    body = b.udp(p.me.ip4, ROUTERS4, 1985, 1985, b"\0\0\x10\x03\x0a\xff\0\0cisco\0\0\0" + p.router.ip4.packed)
    yield b.ipv4(p.me.raw, b.group_mac(ROUTERS4), p.me.ip4, ROUTERS4, b.UDP, body)


ATTACKS = (
    Sample("the MAC of the router", _mac_spoof, "mac"),
    Sample("ICMP and ICMPv6 errors with the router's MAC", _icmp_as_router, "mac"),
    Sample("control frames with the router's MAC", control_with_foreign_source, "mac"),
    Sample("a flood of MACs", flood, "mac"),
    Sample("a multicast MAC as the sender", multicast_source, "mac"),
    Sample("somebody's IPv4 address", _ipv4_spoof, "ip4", "router", by_address=True),
    Sample("IPv4 from 0.0.0.0 other than DHCP", _unspecified4, "ip4", "router", by_address=True),
    Sample("somebody's IPv6 address", _ipv6_spoof, "ip6", "router", by_address=True),
    Sample("IPv6 from :: other than neighbour discovery", _unspecified6, "ip6", "router", by_address=True),
    Sample("an ARP reply as the router", _arp(2), "arp", by_address=True),
    Sample("an ARP request as the router", _arp(1), "arp", by_address=True),
    Sample("ARP as the other guest", _arp(2, as_other=True), "arp", by_address=True),
    Sample("ARP as the router with its MAC inside", _arp(2, spoofs_mac=True), "arp"),
    Sample("ARP for its own address with another's MAC inside", _arp_own_address_foreign_mac, "arp"),
    Sample("ARP of odd hardware, lengths and operations", _arp_odd, "arp"),
    Sample("a RARP announcement of another's MAC", _rarp, "type"),
    Sample("a neighbour advertisement for the router", _na(_own_mac), "nd", by_address=True),
    Sample("the same without an option", _na(lambda _: b""), "nd", by_address=True),
    Sample("the same with the option second", _na(lambda p: b.NONCE + _own_mac(p)), "nd"),
    Sample("the same behind a hop-by-hop header", _na(_own_mac, behind=b.HOP_BY_HOP), "headers"),
    Sample("the same behind destination options", _na(_own_mac, behind=b.DESTINATION), "headers"),
    Sample("its own advertisement with another's MAC", _na_own_target_foreign_mac, "nd"),
    Sample("a neighbour advertisement from another link (hop limit 64)", _na_far, "nd"),
    Sample("a neighbour solicitation with another's MAC", _ns_foreign_option, "nd"),
    Sample("a neighbour solicitation as the router", _ns_as_router, "ip6", by_address=True),
    Sample("an answer to another's duplicate address detection (DAD)", _dad_denial, "nd", by_address=True),
    Sample("a router solicitation with another's MAC", _rs_foreign_option, "nd"),
    Sample("a router advertisement", router_advertisement(), "router", "router"),
    Sample("the same from its global address", router_advertisement(source="ip6"), "router", "router"),
    Sample("the same behind a hop-by-hop header", router_advertisement(b.HOP_BY_HOP), "router", "router"),
    Sample("the same behind destination options", router_advertisement(b.DESTINATION), "router", "router"),
    Sample("the same behind both", router_advertisement(b.HOP_BY_HOP, b.DESTINATION), "router", "router"),
    Sample("the same in an atomic fragment", router_advertisement(atomic=True), "headers"),
    Sample("the same split behind destination options", _ra_split, "headers"),
    Sample("IPv6 behind extension headers", _hop_by_hop_after_fragment, "headers"),
    Sample("ICMP and ICMPv6 redirects", _redirect, "router", "router"),
    Sample("an ICMP router advertisement (IRDP)", _irdp, "router", "router"),
    Sample("a DHCP server", _dhcp_server, "dhcp", "dhcp-server"),
    Sample("a DHCPv6 server", _dhcp6_server, "dhcp", "dhcp-server"),
    Sample("DHCP requests and a release in others' names", _starvation, "chaddr", "dhcp-server"),
    Sample("DHCP requests in fragments", _starvation_in_fragments, "chaddr", "dhcp-server", rest=_rest_of_starvation),
    Sample("IGMP queries and multicast router discovery", _querier4, "querier", "multicast-querier"),
    Sample("MLD queries and multicast router discovery", _querier6, "querier", "multicast-querier"),
    Sample("PIM hellos", _pim, "querier", "multicast-querier"),
    Sample("VRRP from its own MAC", _vrrp, "vrrp", "group"),
    Sample("VRRP from the MAC of a group", _vrrp_virtual_mac, "mac"),
    Sample("HSRP", _hsrp, "vrrp", "group"),
    Sample("VLAN 0", behind_tags((b.VLAN, 0)), "type", "tags"),
    Sample("VLAN 0 twice", behind_tags((b.VLAN, 0), (b.VLAN, 0)), "type", "tags"),
    Sample("VLAN 5", behind_tags((b.VLAN, 5)), "type", "tags"),
    Sample("a priority tag of 802.1ad", behind_tags((b.QINQ, 0)), "type", "tags"),
    Sample("two tags", behind_tags((b.QINQ, 1), (b.VLAN, 5)), "type", "tags"),
    Sample("the older tag type 0x9100", behind_tags((0x9100, 5)), "type", "tags"),
    Sample("ARP and RA behind LLC and SNAP", snap, "type"),
    Sample("spanning tree", spanning_tree, "type", "bpdu"),
    Sample("CDP, DTP, VTP and UDLD", cisco, "type"),
    Sample("GVRP, MVRP, EAPOL, LACP, PAUSE and LLDP", bridge_groups, "type"),
    Sample("PPPoE discovery", ethertype(0x8863), "type"),
    Sample("PPPoE", ethertype(0x8864), "type"),
    Sample("MACsec", ethertype(0x88E5), "type"),
    Sample("PTP", ethertype(0x88F7), "type"),
    Sample("loop test frames (ECTP)", ethertype(0x9000), "type"),
    Sample("MPLS", ethertype(0x8847), "type"),
    Sample("TRILL", ethertype(0x22F3), "type"),
    Sample("frames with a length instead of a type", without_type, "type"),
    Sample("other protocols", other_types, "type"),
    Sample("the EtherType for experiments (0x88b5)", ethertype(0x88B5), "type"),
    *MORE_ATTACKS,
)
