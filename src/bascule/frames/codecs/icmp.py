"""ICMP echo (RFC 792, RFC 4443) and neighbour discovery (RFC 4861)."""

from __future__ import annotations

import struct
from ipaddress import IPv6Address

from msgspec import Struct

from bascule.frames.codecs import ethernet
from bascule.frames.codecs.ip import ICMPV6, packet, pseudo, with_checksum
from bascule.model.values import Mac

ECHO_REPLY, ECHO_REQUEST = 0, 8
ECHO6_REQUEST, ECHO6_REPLY = 128, 129
SOLICITATION, ADVERTISEMENT = 135, 136


class NeighbourDiscovery(Struct, frozen=True):
    """A neighbour solicitation or advertisement; ``link`` is the link-layer address it carries."""

    is_solicitation: bool
    target: IPv6Address
    link: Mac | None


def echo(identifier: int, sequence: int, payload: bytes) -> bytes:
    """An ICMP echo request."""
    return with_checksum(struct.pack("!BBHHH", ECHO_REQUEST, 0, 0, identifier, sequence) + payload)


def echo6(identifier: int, sequence: int, payload: bytes) -> bytes:
    """An ICMPv6 echo request without checksum: the kernel fills it in on a raw ICMPv6 socket (RFC 3542, 3.1)."""
    return struct.pack("!BBHHH", ECHO6_REQUEST, 0, 0, identifier, sequence) + payload


def solicitation(sender_mac: bytes, sender: IPv6Address, target: IPv6Address) -> bytes:
    """The whole frame of a neighbour solicitation to the target's solicited-node group."""
    body = struct.pack("!BBHI", SOLICITATION, 0, 0, 0) + target.packed + b"\x01\x01" + sender_mac
    return _to_group(sender_mac, sender, solicited_node(target), body)


def solicited_node(target: IPv6Address) -> IPv6Address:
    """The group that is asked for an address (RFC 4291, 2.7.1)."""
    return IPv6Address(b"\xff\x02" + bytes(9) + b"\x01\xff" + target.packed[13:])


def _to_group(sender_mac: bytes, sender: IPv6Address, group: IPv6Address, body: bytes) -> bytes:
    body = with_checksum(body, pseudo(sender, group, ICMPV6, len(body)))
    dst = ethernet.group_mac(group)
    return ethernet.frame(dst, sender_mac, ethernet.IPV6, packet(sender, group, ICMPV6, body, ttl=255))


def echo_to_all_nodes(sender_mac: bytes, interface: bytes) -> bytes:
    """The whole frame of an echo request to all IPv6 nodes of a link, from a link-local address of 8 given bytes.

    Another one than the kernel derives from the MAC (RFC 4291, appendix A): who has the same MAC would take that for
    its own and be silent. Another one each time: whom a node has looked for in vain it does not look for again soon.
    """
    sender, group = IPv6Address(b"\xfe\x80" + bytes(6) + interface), IPv6Address("ff02::1")
    return _to_group(sender_mac, sender, group, echo6(int.from_bytes(sender_mac[4:], "big"), 1, b"bascule"))


def read_discovery(body: bytes) -> NeighbourDiscovery | None:
    """A solicitation or advertisement from its ICMPv6 type on; None for other messages and for a cut one."""
    kind = body[0] if body else 0
    if kind not in {SOLICITATION, ADVERTISEMENT} or len(body) < 24:
        return None
    wanted, link, options = (1 if kind == SOLICITATION else 2), None, body[24:]
    while len(options) >= 8 and options[1]:
        if options[0] == wanted and options[1] == 1:
            link = ethernet.mac_text(options[2:8])
        options = options[options[1] * 8 :]
    return NeighbourDiscovery(kind == SOLICITATION, IPv6Address(body[8:24]), link)
