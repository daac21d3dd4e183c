"""Frames as a hostile or a well-behaved guest sends them; pure.

The project's codecs write what is right; these write what is wrong as well, so that every field can be given.
"""

from __future__ import annotations

import struct
from ipaddress import IPv4Address, IPv6Address

from msgspec import Struct

from bascule.frames.codecs import arp as codec
from bascule.frames.codecs import ethernet, icmp, ip
from bascule.frames.codecs.dhcp import COOKIE
from bascule.frames.codecs.ethernet import BROADCAST, mac_bytes
from bascule.model.values import Mac

ARP, IPV4, IPV6, RARP, VLAN = ethernet.ARP, ethernet.IPV4, ethernet.IPV6, ethernet.REVERSE_ARP, ethernet.VLAN
ICMP, TCP, UDP, ICMPV6 = ip.ICMP, ip.TCP, ip.UDP, ip.ICMPV6
udp, group_mac, solicited = ip.udp, ethernet.group_mac, icmp.solicited_node  # right as they are
QINQ = 0x88A8
IGMP, PIM, VRRP = 2, 103, 112
HOP_BY_HOP, ROUTING, FRAGMENT, DESTINATION = 0, 43, 44, 60
OF_FRAGMENTS = 0xB000  # identification (IPv4) or flow label (IPv6) of fragments, which whoever joins them keeps
UNSPECIFIED4, UNSPECIFIED6 = IPv4Address(0), IPv6Address(0)
BROADCAST4, ALL_NODES, ALL_ROUTERS = IPv4Address("255.255.255.255"), IPv6Address("ff02::1"), IPv6Address("ff02::2")
HOSTS4, ROUTERS4 = IPv4Address("224.0.0.1"), IPv4Address("224.0.0.2")
PIM4, PIM6 = IPv4Address("224.0.0.13"), IPv6Address("ff02::d")
VRRP4, VRRP6 = IPv4Address("224.0.0.18"), IPv6Address("ff02::12")
PIM_HELLO = b"\x20\0\xdf\xff"


class Party(Struct, frozen=True, kw_only=True):
    """Somebody on the segment."""

    mac: Mac
    ip4: IPv4Address
    ip6: IPv6Address
    local: IPv6Address  # its link-local address

    @property
    def raw(self) -> bytes:
        """The MAC as six bytes."""
        return mac_bytes(self.mac)


class Parties(Struct, frozen=True, kw_only=True):
    """The guest that sends, another guest, and the router of the network."""

    me: Party
    other: Party
    router: Party


def ether(dst: bytes, src: bytes, kind: int, body: bytes) -> bytes:
    """An Ethernet frame, padded to the least that there is on a wire."""
    return ethernet.padded(ethernet.frame(dst, src, kind, body))


def llc(dst: bytes, src: bytes, body: bytes) -> bytes:
    """A frame with a length instead of a type (IEEE 802.3)."""
    return ether(dst, src, len(body), body)


def snap(dst: bytes, src: bytes, kind: int, body: bytes) -> bytes:
    """An Ethernet II type behind LLC and SNAP (RFC 1042)."""
    return llc(dst, src, b"\xaa\xaa\x03\0\0\0" + struct.pack("!H", kind) + body)


def tagged(frame: bytes, vid: int, *, outer: int = VLAN) -> bytes:
    """The same frame behind one more tag."""
    return frame[:12] + struct.pack("!HH", outer, vid) + frame[12:]


def arp(
    me: bytes, operation: int, sender: bytes, sender_ip: IPv4Address, target_ip: IPv4Address,
    *, dst: bytes = BROADCAST, target: bytes = bytes(6),
) -> bytes:  # fmt: skip
    """ARP with any sender behind any source."""
    frame = codec.build(operation, me, sender_ip, target_ip, target_mac=target, dst=dst, answer_to=sender)
    return ethernet.padded(frame)


def rarp(me: bytes, inner: bytes) -> bytes:
    """The announcement of a guest that was moved, as QEMU sends it."""
    return ethernet.padded(codec.reverse_request(me, inner))


def ipv4(
    me: bytes, dst: bytes, src: IPv4Address, to: IPv4Address, protocol: int, body: bytes,
    *, fragment: int = 0, options: bytes = b"",
) -> bytes:  # fmt: skip
    """IPv4; ``fragment`` is the field of flags and offset, options are a multiple of four bytes."""
    first, whole = 0x45 + len(options) // 4, 20 + len(options) + len(body)
    number = OF_FRAGMENTS if fragment else 7
    head = struct.pack("!BBHHHBBH4s4s", first, 0, whole, number, fragment, 64, protocol, 0, src.packed, to.packed)
    head += options
    head = head[:10] + struct.pack("!H", ip.checksum(head)) + head[12:]
    return ether(dst, me, IPV4, head + body)


def dhcp(
    operation: int, mac: bytes, kind: int, *, hardware: int = 1, length: int = 6, relay: IPv4Address = UNSPECIFIED4
) -> bytes:
    """A DHCP message of a client (1) or a server (2), with the kind and the length of the hardware address."""
    head = struct.pack("!BBBBIHH", operation, hardware, length, 0, 0xBA5C, 0, 0x8000) + bytes(12) + relay.packed
    return head + mac.ljust(16, b"\0") + bytes(192) + COOKIE + bytes([53, 1, kind, 255])


def icmp4(kind: int, code: int, rest: bytes) -> bytes:
    """An ICMP message with its checksum."""
    return ip.with_checksum(struct.pack("!BBH", kind, code, 0) + rest)


def igmp(kind: int, group: IPv4Address) -> bytes:
    """An IGMP message, or one of multicast router discovery (RFC 4286)."""
    return ip.with_checksum(struct.pack("!BBH", kind, 0, 0) + group.packed)


def icmp6(src: IPv6Address, to: IPv6Address, kind: int, rest: bytes) -> bytes:
    """An ICMPv6 message with its checksum."""
    body = struct.pack("!BBH", kind, 0, 0) + rest
    return ip.with_checksum(body, ip.pseudo(src, to, ICMPV6, len(body)))


def ipv6(
    me: bytes, dst: bytes, src: IPv6Address, to: IPv6Address, next_header: int, body: bytes,
    *, hops: int = 255, fragment: bool = False,
) -> bytes:  # fmt: skip
    """IPv6 with any header behind it; ``fragment`` says that a fragment header comes later."""
    label = OF_FRAGMENTS if fragment or next_header == FRAGMENT else 0
    head = struct.pack("!IHBB", 0x60000000 | label, len(body), next_header, hops)
    return ether(dst, me, IPV6, head + src.packed + to.packed + body)


def numbered(frame: bytes, number: int) -> bytes:
    """The same frame; a fragment with a number of its own, so that it is known again when somebody has joined it."""
    kind = int.from_bytes(frame[12:14])
    if not is_of_fragments(frame):
        return frame
    if kind == IPV6:
        return frame[:16] + struct.pack("!H", OF_FRAGMENTS | number) + frame[18:]
    length = (frame[14] & 0xF) * 4
    head = frame[14:18] + struct.pack("!H", OF_FRAGMENTS | number) + frame[20:24] + bytes(2) + frame[26 : 14 + length]
    return frame[:14] + head[:10] + struct.pack("!H", ip.checksum(head)) + head[12:] + frame[14 + length :]


def is_of_fragments(frame: bytes) -> bool:
    """Whether it is a fragment of ours, or was joined of such."""
    place = {IPV4: 18, IPV6: 16}.get(int.from_bytes(frame[12:14]))
    return place is not None and int.from_bytes(frame[place : place + 2]) & 0xF000 == OF_FRAGMENTS


def option_header(next_header: int) -> bytes:
    """A hop-by-hop or destination header that says nothing (PadN)."""
    return bytes([next_header, 0, 1, 4, 0, 0, 0, 0])


def fragment_header(next_header: int, offset: int, *, more: bool) -> bytes:
    """A fragment header; the offset in bytes."""
    return struct.pack("!BBHI", next_header, 0, offset | int(more), OF_FRAGMENTS)


def option(kind: int, mac: bytes) -> bytes:
    """The option of neighbour discovery that carries a MAC (1 source, 2 target)."""
    return bytes([kind, 1]) + mac


ROUTER_ALERT = b"\x94\x04\0\0"  # RFC 2113, in all of IGMP since version 2
NONCE = b"\x0e\x01bascul"  # RFC 7527


def solicitation(target: IPv6Address, options: bytes = b"") -> bytes:
    """The body of a neighbour solicitation."""
    return bytes(4) + target.packed + options


def advertisement(target: IPv6Address, options: bytes = b"", flags: int = 0x60) -> bytes:
    """The body of a neighbour advertisement: solicited and override, unless told otherwise."""
    return bytes([flags, 0, 0, 0]) + target.packed + options


def vrrp(address: IPv4Address) -> bytes:
    """An advertisement of group 9 with the highest priority, for an address."""
    return bytes([0x21, 9, 255, 1, 0, 1, 0, 0]) + address.packed + bytes(8)


def router_advertisement(mac: bytes) -> bytes:
    """The body of a router advertisement with a prefix."""
    prefix = bytes([3, 4, 64, 0xC0]) + struct.pack("!III", 86400, 14400, 0) + IPv6Address("2001:db8:bad::").packed
    return struct.pack("!BBHII", 64, 0, 1800, 0, 0) + option(1, mac) + prefix
