"""Numbers as nft tells and takes them, and the names of protocols.

nft knows some names by itself and has the others from /etc/protocols, which not every host has. So rules have names, as
nft tells them where that file is, and their text has numbers where nft alone knows no name.
"""

from __future__ import annotations

from typing import TypeVar

NUMBERS = {
    "ip": 0, "icmp": 1, "igmp": 2, "ipencap": 4, "tcp": 6, "udp": 17, "dccp": 33, "ipv6": 41, "ipv6-route": 43,
    "ipv6-frag": 44, "gre": 47, "esp": 50, "ah": 51, "ipv6-icmp": 58, "ipv6-nonxt": 59, "ipv6-opts": 60, "ospf": 89,
    "pim": 103, "vrrp": 112, "sctp": 132, "mobility-header": 135, "udplite": 136,
    "hip": 139, "shim6": 140,
}  # fmt: skip
NAMES = {number: name for name, number in NUMBERS.items()}
OF_NFT = {"icmp", "igmp", "tcp", "udp", "dccp", "esp", "ah", "sctp", "udplite"}  # measured, nft 1.0.6

V = TypeVar("V")


def number(value: int) -> int | str:
    """A number as nft's JSON tells it: in hexadecimal where 64 bits do not hold it."""
    return value if value < 1 << 63 else f"{value:#x}"


def name_of(value: V) -> V | str:
    """The name of a protocol that is told as a number; everything else as it is."""
    return NAMES.get(value, value) if isinstance(value, int) else value


def word_of(name: str) -> str:
    """The word by which nft knows a protocol on any host."""
    return name if name in OF_NFT or name not in NUMBERS else str(NUMBERS[name])
