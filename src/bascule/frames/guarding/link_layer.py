"""Hostile frames that hide below IP: other MACs, tags, SNAP, the protocols of switches; and what is hidden so; pure."""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable

from bascule.frames.codecs.ethernet import BROADCAST
from bascule.frames.guarding import build as b
from bascule.frames.guarding.build import Parties

BPDU = bytes.fromhex("424203000000000000000000020000000000000000020000008001000014000200") + b"\x0f\0"
TO_BRIDGES = bytes.fromhex("0180c2000000")

Recipe = Callable[[Parties], Iterable[bytes]]


def router_advertisement(*headers: int, source: str = "local", atomic: bool = False) -> Recipe:
    """A router advertisement, behind extension headers or in an atomic fragment (RFC 6946)."""

    def frames(p: Parties) -> Iterable[bytes]:
        sender, to = getattr(p.me, source), b.ALL_NODES
        body = b.icmp6(sender, to, 134, b.router_advertisement(p.me.raw))
        head = b.ICMPV6
        if atomic:
            body, head = b.fragment_header(head, 0, more=False) + body, b.FRAGMENT
        for kind in reversed(headers):
            body, head = b.option_header(head) + body, kind
        yield b.ipv6(p.me.raw, b.group_mac(to), sender, to, head, body)

    return frames


def control_with_foreign_source(p: Parties) -> Iterable[bytes]:
    """Frames that a bridge keeps for itself, and may learn from before any rule sees them."""
    for last in (0x00, 0x02, 0x03, 0x0E):
        yield b.ether(TO_BRIDGES[:5] + bytes([last]), p.router.raw, 0x88CC, b"\x02\x07\x04" + p.router.raw + bytes(8))


def flood(_: Parties) -> Iterable[bytes]:
    """Many senders, so that the bridge forgets the others (macof)."""
    for number in range(32):
        yield b.ether(BROADCAST, bytes([2, 0, 0, 0, 7, number]), b.IPV4, bytes(40))


def behind_tags(*tags: tuple[int, int]) -> Recipe:
    """ARP and RA as the router behind tags: VID 0 is taken off by a receiver that knows no VLANs (CERT VU#855201)."""

    def frames(p: Parties) -> Iterable[bytes]:
        poison = b.arp(p.me.raw, 2, p.me.raw, p.router.ip4, p.other.ip4, dst=p.other.raw, target=p.other.raw)
        for frame in (poison, *router_advertisement()(p), b.arp(p.me.raw, 1, p.me.raw, p.me.ip4, p.other.ip4)):
            made = frame
            for kind, vid in reversed(tags):
                made = b.tagged(made, vid, outer=kind)
            yield made

    return frames


def snap(p: Parties) -> Iterable[bytes]:
    """ARP and RA behind LLC and SNAP (CVE-2021-27854)."""
    yield b.snap(p.other.raw, p.me.raw, b.ARP, b.arp(p.me.raw, 2, p.me.raw, p.router.ip4, p.other.ip4)[14:42])
    (ra,) = router_advertisement()(p)
    yield b.snap(b.group_mac(b.ALL_NODES), p.me.raw, b.IPV6, ra[14:])
    claim = b.advertisement(p.router.ip6, b.option(2, p.me.raw))
    body = b.icmp6(p.me.ip6, b.ALL_NODES, 136, claim)
    na = b.ipv6(p.me.raw, b.group_mac(b.ALL_NODES), p.me.ip6, b.ALL_NODES, b.ICMPV6, body)
    yield b.snap(b.group_mac(b.ALL_NODES), p.me.raw, b.IPV6, na[14:])


def spanning_tree(p: Parties) -> Iterable[bytes]:
    """The BPDU of a better root, also as PVST+ sends it."""
    yield b.llc(TO_BRIDGES, p.me.raw, BPDU)
    yield b.llc(bytes.fromhex("01000ccccccd"), p.me.raw, b"\xaa\xaa\x03\0\0\x0c\x01\x0b" + BPDU[3:])


def cisco(p: Parties) -> Iterable[bytes]:
    """What switches of one maker say to each other: CDP, DTP, VTP, UDLD."""
    for kind in (0x2000, 0x2004, 0x2003, 0x0111):  # CDP, DTP, VTP, UDLD
        yield b.llc(
            bytes.fromhex("01000ccccccc"), p.me.raw, b"\xaa\xaa\x03\0\0\x0c" + struct.pack("!H", kind) + bytes(9)
        )


def bridge_groups(p: Parties) -> Iterable[bytes]:
    """Protocols of bridges and of their ports."""
    yield b.llc(bytes.fromhex("0180c2000021"), p.me.raw, b"\x42\x42\x03\0\1\0\0")  # GVRP
    yield b.ether(bytes.fromhex("0180c2000021"), p.me.raw, 0x88F5, bytes(8))  # MVRP
    yield b.ether(bytes.fromhex("0180c2000003"), p.me.raw, 0x888E, b"\x01\x01\0\0")  # EAPOL
    yield b.ether(bytes.fromhex("0180c2000002"), p.me.raw, 0x8809, b"\x01\x01" + bytes(50))  # LACP
    yield b.ether(bytes.fromhex("0180c2000001"), p.me.raw, 0x8808, b"\0\1\xff\xff")  # pause
    yield b.ether(bytes.fromhex("0180c200000e"), p.me.raw, 0x88CC, b"\x02\x07\x04" + p.me.raw + bytes(4))  # LLDP


def without_type(p: Parties) -> Iterable[bytes]:
    """What has a length instead of a type: XID and TEST, IPX as Novell sent it, NetBEUI, IS-IS."""
    for group, body in (
        (BROADCAST, b"\0\1\xaf\x81\1\2"), (BROADCAST, b"\0\0\xf3"), (BROADCAST, b"\xff\xff" + bytes(32)),
        (BROADCAST, b"\xf0\xf0\x03" + bytes(9)), (bytes.fromhex("0180c2000014"), b"\xfe\xfe\x03\x83" + bytes(30)),
    ):  # fmt: skip
        yield b.llc(group, p.me.raw, body)


def other_types(p: Parties) -> Iterable[bytes]:
    """Wake-on-LAN, AoE, FCoE, RoCE, field buses, redundant rings, service headers, Ethernet in Ethernet, old ones."""
    for kind in (0x0842, 0x88A2, 0x8906, 0x8914, 0x8915, 0x8892, 0x88B8, 0x88BA, 0x892F, 0x88FB, 0x894F, 0x6558,
                 0x8137, 0x809B, 0x80F3, 0x22EA, 0x6003, 0x876B):  # fmt: skip
        yield b.ether(p.other.raw, p.me.raw, kind, bytes(46))


def ethertype(kind: int) -> Recipe:
    """Any protocol of its own, to one and to all."""

    def frames(p: Parties) -> Iterable[bytes]:
        yield b.ether(p.other.raw, p.me.raw, kind, bytes(46))
        yield b.ether(BROADCAST, p.me.raw, kind, bytes(46))

    return frames


def multicast_source(p: Parties) -> Iterable[bytes]:
    """A group cannot send (IEEE 802.3, 3.2.3)."""
    yield b.arp(BROADCAST, 1, BROADCAST, p.me.ip4, p.other.ip4)
    yield b.ether(p.other.raw, b"\x01\0\x5e\0\0\1", b.IPV4, bytes(40))
