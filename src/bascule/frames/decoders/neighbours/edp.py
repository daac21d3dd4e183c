"""EDP: Extreme Networks' announcement."""

from __future__ import annotations

import struct

from bascule.frames.decoder import Decoder, Malformed, Packet, ip4, mac, text, tlvs
from bascule.frames.findings import Findings, Neighbour

MARKER = 0x99
DISPLAY, INFO, VLAN = 1, 2, 5


def decode(packet: Packet) -> Findings:
    """The display name, slot and port, and VLANs of the sender."""
    body = packet.body
    chassis = mac(body[10:16])
    name = port = ""
    vlans: list[tuple[int, str]] = []
    found: list[str] = []
    for kind, value in tlvs(body, 16, is_cut=packet.is_cut):
        if kind >> 8 != MARKER:
            raise Malformed("has an element without the mark 0x99")
        element = kind & 0xFF
        if element == 0:
            break
        if element == DISPLAY:
            name = text(value.split(b"\0", maxsplit=1)[0])
        elif element == INFO and len(value) >= 4:
            slot, number = struct.unpack_from("!HH", value)
            port = f"{slot + 1}:{number + 1}"  # counted from 0 on the wire, from 1 on the front
        elif element == VLAN and len(value) >= 12:
            vid = int.from_bytes(value[2:4], "big")
            if 1 <= vid <= 4094:
                vlans.append((vid, text(value[12:], 32)))
            if value[8:12] != b"\0\0\0\0":
                found.append(ip4(value[8:12]))
    return (
        Neighbour(
            protocol="EDP",
            name=name,
            port=port,
            chassis=chassis,
            roles=("switch",),
            vlan_names=tuple(vlans),
            addresses=tuple(dict.fromkeys(found)),
        ),
    )


DECODER = Decoder(
    name="edp",
    title="EDP",
    keys=(("snap", 0x00E02B00BB),),
    header=16,
    where="SNAP 00e02b/00bb, to 00:e0:2b:00:00:00",
    proves="switch, slot and port, names and numbers of its VLANs",
    weight="strong",
    source="undocumented by the maker; layout as lldpd sends it (lldpd, EDP)",
    groups=("00:e0:2b:00:00:00",),
    decode=decode,
)
