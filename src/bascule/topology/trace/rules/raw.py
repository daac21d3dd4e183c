"""Bits of a packet by their place in a header, as ``@th,64,128`` asks for them; offsets and lengths in bits."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

Part = tuple[int, int, str | int | None]
"""Offset, length, and the field that has the bits, or their constant value, or None where nobody knows them."""

ETHERNET: Sequence[Part] = ((0, 48, "ether daddr"), (48, 48, "ether saddr"), (96, 16, "ether type"))
ARP: Sequence[Part] = (
    (0, 16, "arp htype"), (16, 16, "arp ptype"), (32, 8, "arp hlen"), (40, 8, "arp plen"), (48, 16, "arp operation"),
    (64, 48, "arp saddr ether"), (112, 32, "arp saddr ip"), (144, 48, "arp daddr ether"), (192, 32, "arp daddr ip"),
)  # fmt: skip
IPV4: Sequence[Part] = ((0, 8, 0x45), (16, 16, "ip length"), (72, 8, "ip protocol"), (96, 32, "ip saddr"),
                        (128, 32, "ip daddr"))  # fmt: skip
IPV6: Sequence[Part] = ((0, 4, 6), (48, 8, "ip6 nexthdr"), (64, 128, "ip6 saddr"), (192, 128, "ip6 daddr"))
TRANSPORT: Sequence[Part] = ((0, 16, "th sport"), (16, 16, "th dport"))
TCP: Sequence[Part] = (*TRANSPORT, (104, 8, "tcp flags"))
ICMP: Sequence[Part] = ((0, 8, "icmp type"), (8, 8, "icmp code"))
ICMP6: Sequence[Part] = ((0, 8, "icmpv6 type"), (8, 8, "icmpv6 code"), (64, 128, "icmpv6 taddr"),
                         (192, 16, "nd option"), (208, 48, "nd option mac"))  # fmt: skip


def raw_bits(fields: Mapping[str, Any], base: str, offset: int, length: int) -> int | None:
    """The bits as a number, None where one of them is unknown, or beyond what is known of such a packet."""
    found, known = 0, 0
    for start, size, what in _layout(fields, base):
        low, high = max(start, offset), min(start + size, offset + length)
        if low >= high:
            continue
        value = fields.get(what) if isinstance(what, str) else what
        if not isinstance(value, int):
            return None
        bits = value >> start + size - high & (1 << high - low) - 1
        found |= bits << offset + length - high
        known += high - low
    return found if known == length else None


def _layout(fields: Mapping[str, Any], base: str) -> Sequence[Part]:
    if base == "ll":
        return () if "vlan id" in fields else ETHERNET
    if base == "nh":
        return IPV4 if "ip saddr" in fields else IPV6 if "ip6 saddr" in fields else ARP
    if "th dport" in fields:
        return TCP if "tcp dport" in fields else TRANSPORT
    return ICMP if "icmp type" in fields else ICMP6 if "icmpv6 type" in fields else ()
