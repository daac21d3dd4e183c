"""What a socket of a probe hears: each function is one kind of frame, and :func:`bpf.any_of` makes a filter of them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from bascule.frames.bpf import (
    ACCEPT,
    JGE,
    JSET,
    LD_B,
    LD_B_X,
    LD_H,
    LD_H_X,
    LD_W,
    LDX_MSH,
    NEXT,
    Block,
    Test,
    loads,
    one_of,
)
from bascule.frames.codecs import arp, dhcp, icmp, ip
from bascule.frames.codecs.ethernet import ARP, IPV4, IPV6, mac_bytes

HEADER, HEADER6 = 14, 14 + 40  # where IPv4 begins, and where it goes on behind an IPv6 header without extensions
SYN = 0x02
TYPE = (LD_H, 12)


def _over_ipv4(protocol: int) -> list[Test]:
    """The protocol behind an IPv4 header; the index register holds the header's length."""
    return [*loads((*TYPE, IPV4), (LD_B, 23, protocol)), (LDX_MSH, HEADER, "", "")]


def _over_ipv6(protocol: int) -> list[Test]:
    return loads((*TYPE, IPV6), (LD_B, 20, protocol))


def of_ethertype(ethertype: int) -> Block:
    """Untagged frames of an EtherType."""
    return [(*TYPE, "", ""), *one_of([ethertype])]


def all_frames() -> Block:
    """Whatever comes in."""
    return [(LD_H, 12, "", ""), (JGE, 0, ACCEPT, NEXT)]


def arp_frames() -> Block:
    """All of ARP."""
    return of_ethertype(ARP)


def from_macs(macs: Iterable[str]) -> list[Block]:
    """Frames of some senders."""
    parts = [mac_bytes(mac) for mac in macs]
    return [
        [
            *loads((LD_W, 6, int.from_bytes(mac[:4], "big"))),
            (LD_H, 10, "", ""),
            *one_of([int.from_bytes(mac[4:], "big")]),
        ]
        for mac in parts
    ]


def neighbour_answers() -> list[Block]:
    """ARP replies and neighbour advertisements: what an asker waits for, without the others' questions."""
    return [
        [*loads((*TYPE, ARP)), (LD_H, 20, "", ""), *one_of([arp.REPLY])],
        [*_over_ipv6(ip.ICMPV6), (LD_B, HEADER6, "", ""), *one_of([icmp.ADVERTISEMENT])],
    ]


def neighbour_discovery() -> Block:
    """Neighbour solicitations and advertisements."""
    return [*_over_ipv6(ip.ICMPV6), (LD_B, HEADER6, "", ""), *one_of([icmp.SOLICITATION, icmp.ADVERTISEMENT])]


def icmpv6() -> Block:
    """All of ICMPv6."""
    return [*loads((*TYPE, IPV6)), (LD_B, 20, "", ""), *one_of([ip.ICMPV6])]


def dhcp_to_client() -> Block:
    """DHCP of IPv4 to a client."""
    return [*_over_ipv4(ip.UDP), (LD_H_X, HEADER + 2, "", ""), *one_of([dhcp.CLIENT_PORT])]


def dhcp_from_server() -> Block:
    """DHCP of IPv4 from a server."""
    return [*_over_ipv4(ip.UDP), (LD_H_X, HEADER, "", ""), *one_of([dhcp.SERVER_PORT])]


def echoes() -> list[Block]:
    """ICMP echo requests and replies, both families."""
    return [
        [*_over_ipv4(ip.ICMP), (LD_B_X, HEADER, "", ""), *one_of([icmp.ECHO_REQUEST, icmp.ECHO_REPLY])],
        [*_over_ipv6(ip.ICMPV6), (LD_B, HEADER6, "", ""), *one_of([icmp.ECHO6_REQUEST, icmp.ECHO6_REPLY])],
    ]


def ports(protocol: int, spans: Iterable[tuple[int, int]]) -> Iterator[Block]:
    """UDP datagrams or opening TCP segments to or from ports in the spans, both families."""
    opening: list[Test] = [(JSET, SYN, "", NEXT)] if protocol == ip.TCP else []
    for first, last in spans:
        span: list[Test] = [(JGE, first, "", NEXT), (JGE, last + 1, NEXT, ACCEPT)]
        for at in (0, 2):  # source, destination
            flags: list[Test] = [(LD_B_X, HEADER + 13, "", ""), *opening] if opening else []
            flags6: list[Test] = [(LD_B, HEADER6 + 13, "", ""), *opening] if opening else []
            yield [*_over_ipv4(protocol), *flags, (LD_H_X, HEADER + at, "", ""), *span]
            yield [*_over_ipv6(protocol), *flags6, (LD_H, HEADER6 + at, "", ""), *span]
