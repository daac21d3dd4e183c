"""LLDP: the device at the other end of the cable, in its own words."""

from __future__ import annotations

from typing import Any

from bascule.frames.decoder import Decoder, Malformed, Packet, ip4, ip6, text
from bascule.frames.findings import Findings, Neighbour

ROLES = (  # IEEE 802.1AB-2016 table 8-4, bit 0 first
    "other",
    "repeater",
    "bridge",
    "access point",
    "router",
    "phone",
    "cable modem",
    "station",
    "bridge",  # C-VLAN component
    "bridge",  # S-VLAN component
    "two-port relay",
)
DOT1, DOT3, MED = b"\x00\x80\xc2", b"\x00\x12\x0f", b"\x00\x12\xbb"
CHASSIS_MAC, PORT_MAC = 4, 3
MED_CLASSES = {1: "station", 2: "station", 3: "phone", 4: "bridge"}  # ANSI/TIA-1057 table 11: class I to III, network
MED_INVENTORY = (9, 10)  # manufacturer and model


def decode(packet: Packet) -> Findings:
    """One LLDPDU; chassis, port and time to live must come first, as the standard wants."""
    said: dict[str, Any] = {"protocol": "LLDP"}
    names: list[tuple[int, str]] = []
    addresses: list[str] = []
    seen: list[int] = []
    body, offset = packet.body, 0
    while offset + 2 <= len(body):
        header = body[offset] << 8 | body[offset + 1]
        kind, length = header >> 9, header & 0x1FF
        value = body[offset + 2 : offset + 2 + length]
        if len(value) < length:
            if seen[:3] == [1, 2, 3]:
                break  # a capture has cut the frame; what stands before the cut is whole
            raise Malformed(f"has an element of type {kind} that overruns the frame")
        offset += 2 + length
        seen.append(kind)
        if kind == 0:
            break
        if kind == 1:
            said["chassis"] = _identity(value, CHASSIS_MAC, address=5)
        elif kind == 2:
            said["port"] = _identity(value, PORT_MAC, address=4)
        elif kind == 4:
            said["port_text"] = text(value)
        elif kind == 5:
            said["name"] = text(value)
        elif kind == 6:
            said["platform"] = text(value, 200)
        elif kind == 7 and length >= 4:
            enabled = value[2] << 8 | value[3]
            roles = (role for bit, role in enumerate(ROLES) if enabled >> bit & 1)
            said["roles"] = tuple(dict.fromkeys((*said.get("roles", ()), *roles)))
        elif kind == 8:
            addresses += _management(value)
        elif kind == 127 and length >= 4:
            _organisation(value[:3], value[3], value[4:], said, names)
    if seen[:3] != [1, 2, 3]:
        raise Malformed("does not begin with chassis, port and time to live")
    said["addresses"] = tuple(dict.fromkeys(address for address in addresses if address not in ("0.0.0.0", "::")))
    return (Neighbour(vlan_names=tuple(names), **said),)


def _identity(value: bytes, mac_subtype: int, *, address: int) -> str:
    if len(value) < 2:
        raise Malformed("has an empty chassis or port")
    subtype, identity = value[0], value[1:]
    if subtype == mac_subtype and len(identity) == 6:
        return identity.hex(":")
    if subtype == address and len(identity) == 5 and identity[0] == 1:
        return ip4(identity[1:])
    return text(identity)


def _management(value: bytes) -> list[str]:
    size = value[0] if value else 0
    if size == 5 and len(value) >= 6 and value[1] == 1:
        return [ip4(value[2:6])]
    if size == 17 and len(value) >= 18 and value[1] == 2:
        return [ip6(value[2:18])]
    return []


def _organisation(
    organisation: bytes, subtype: int, value: bytes, said: dict[str, Any], names: list[tuple[int, str]]
) -> None:
    number = int.from_bytes(value[:2], "big")
    if organisation == DOT1:
        if subtype == 1 and len(value) >= 2 and 1 <= number <= 4094:
            said["native_vlan"] = number
        elif subtype == 3 and len(value) >= 3 and 1 <= number <= 4094:
            names.append((number, text(value[3 : 3 + value[2]], 32)))
        elif subtype == 7 and len(value) >= 5 and value[0] & 2:
            said["lag"] = int.from_bytes(value[1:5], "big")
    elif organisation == DOT3:
        if subtype == 4 and len(value) >= 2:
            said["mtu"] = number
        elif subtype == 3 and len(value) >= 5 and value[0] & 2:
            said["lag"] = int.from_bytes(value[1:5], "big")
    elif organisation == MED:
        if subtype == 1 and len(value) >= 3 and value[2] in MED_CLASSES:
            said["roles"] = (*said.get("roles", ()), MED_CLASSES[value[2]])
        elif subtype in MED_INVENTORY and value:
            said["inventory"] = f"{said.get('inventory', '')} {text(value, 32)}".strip()
        elif subtype == 2 and len(value) >= 4 and value[0] == 1:
            vlan = int.from_bytes(value[1:4], "big") >> 9 & 0xFFF
            if 1 <= vlan <= 4094:
                said["voice_vlan"] = vlan


DECODER = Decoder(
    name="lldp",
    title="LLDP with 802.1, 802.3 and MED elements",
    keys=(("ether", 0x88CC),),
    where="EtherType 0x88cc, to 01:80:c2:00:00:0e (also :03 and :00)",
    proves="switch, port, native VLAN (PVID), VLAN names, frame size, aggregated port",
    weight="decisive for the port, if the sender is a switch: phones, access points and hosts send it, too",
    source="IEEE 802.1AB-2016, IEEE 802.1Q-2018 annex D, IEEE 802.3-2018 clause 79, ANSI/TIA-1057",
    decode=decode,
)
