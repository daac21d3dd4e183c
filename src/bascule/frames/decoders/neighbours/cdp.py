"""CDP versions 1 and 2: Cisco's own neighbour announcement."""

from __future__ import annotations

import struct
from typing import Any

from bascule.frames.decoder import Decoder, Malformed, Packet, ip4, ip6, text, tlvs
from bascule.frames.findings import Findings, Neighbour

ROLES = (
    (0x01, "router"),
    (0x02, "transparent bridge"),
    (0x04, "source-route bridge"),
    (0x08, "switch"),
    (0x10, "host"),
    (0x40, "repeater"),
    (0x80, "phone"),
    (0x400, "two-port relay"),
)
IPV4 = b"\x01\x01\xcc"
IPV6 = b"\x02\x08\xaa\xaa\x03\x00\x00\x00\x86\xdd"


def read(packet: Packet, protocol: str) -> Neighbour:
    """Version, time to live, checksum and elements; FDP has the same layout."""
    body = packet.body
    if body[0] not in (1, 2):
        raise Malformed(f"has the unknown version {body[0]}")
    said: dict[str, Any] = {"protocol": protocol}
    for kind, value in tlvs(body, 4, is_cut=packet.is_cut):
        if kind == 1:
            said["name"] = text(value)
        elif kind == 2:
            said["addresses"] = tuple(address for address in addresses(value) if address not in ("0.0.0.0", "::"))
        elif kind == 3:
            said["port"] = text(value)
        elif kind == 4 and len(value) == 4:
            bits = int.from_bytes(value, "big")
            said["roles"] = tuple(role for bit, role in ROLES if bits & bit)
        elif kind == 6:
            said["platform"] = text(value)
        elif kind == 9:
            said["domain"] = text(value)
        elif kind == 10 and len(value) == 2:
            said["native_vlan"] = _vlan(value)
        elif kind == 14 and len(value) >= 3:
            said["voice_vlan"] = _vlan(value[1:3])
        elif kind == 17 and len(value) == 4:
            said["mtu"] = int.from_bytes(value, "big")
    if not said.get("name"):
        raise Malformed("does not name its sender")
    return Neighbour(**said)


def _vlan(value: bytes) -> int | None:
    vlan = int.from_bytes(value, "big")
    return vlan if 1 <= vlan <= 4094 else None


def addresses(value: bytes) -> list[str]:
    """The address element: a count, then for each protocol type, length, protocol, length, address."""
    if len(value) < 4:
        return []
    found: list[str] = []
    offset = 4
    for _ in range(min(int.from_bytes(value[:4], "big"), 32)):
        if offset + 2 > len(value):
            break
        size = 2 + value[offset + 1]
        protocol = value[offset : offset + size]
        offset += size
        if offset + 2 > len(value):
            break
        (length,) = struct.unpack_from("!H", value, offset)
        address = value[offset + 2 : offset + 2 + length]
        offset += 2 + length
        if protocol == IPV4 and len(address) == 4:
            found.append(ip4(address))
        elif protocol == IPV6 and len(address) == 16:
            found.append(ip6(address))
    return found


def decode(packet: Packet) -> Findings:
    """One announcement."""
    return (read(packet, "CDP"),)


DECODER = Decoder(
    name="cdp",
    title="CDP versions 1 and 2",
    keys=(("snap", 0x00000C2000),),
    header=4,
    where="SNAP 00000c/2000, to 01:00:0c:cc:cc:cc",
    proves="switch, port, native VLAN, VTP domain, management address, voice VLAN",
    weight="decisive for the port, if the sender is a switch: phones and access points send it, too",
    source="Cisco, Catalyst Layer 3 switch software guide, frame formats of CDP; RFC 2922 for comparison",
    groups=("01:00:0c:cc:cc:cc", "01:00:0c:cd:cd:d0"),
    decode=decode,
)
