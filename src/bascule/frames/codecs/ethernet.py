"""Ethernet: addresses, types, the frame around a payload (IEEE Std 802.3)."""

from __future__ import annotations

from ipaddress import IPv6Address

from bascule.model.values import IpAddress, Mac

IPV4, ARP, REVERSE_ARP, IPV6 = 0x0800, 0x0806, 0x8035, 0x86DD  # EtherTypes
VLAN = 0x8100  # IEEE Std 802.1Q
TPIDS = frozenset({VLAN, 0x88A8, 0x9100, 0x9200})  # tag protocols: also 802.1ad and what came before it
EXPERIMENTAL = 0x88B5  # IEEE Std 802, local experimental EtherType 1

BROADCAST = b"\xff" * 6
UNKNOWN = b"\x00" * 6


def mac_bytes(mac: str) -> bytes:
    """Six bytes of a MAC as text."""
    return bytes.fromhex(mac.replace(":", ""))


def padded(frame: bytes) -> bytes:
    """The frame with the zeros that a NIC adds to a short one: a wire carries 60 bytes at least."""
    return frame.ljust(60, b"\0")


def mac_text(mac: bytes) -> Mac:
    """A MAC as text."""
    return Mac(mac.hex(":"))


def group_mac(group: IpAddress) -> bytes:
    """The MAC of a multicast group (RFC 1112, RFC 2464)."""
    if isinstance(group, IPv6Address):
        return b"\x33\x33" + group.packed[12:]
    packed = group.packed
    return b"\x01\x00\x5e" + bytes([packed[1] & 0x7F]) + packed[2:]


def frame(dst: bytes, src: bytes, ethertype: int, payload: bytes, tags: tuple[int, ...] = ()) -> bytes:
    """An Ethernet II frame, with 802.1Q tags from outside to inside; the kernel and the NIC pad short ones."""
    tagged = b"".join(VLAN.to_bytes(2, "big") + tag.to_bytes(2, "big") for tag in tags)
    return dst + src + tagged + ethertype.to_bytes(2, "big") + payload
