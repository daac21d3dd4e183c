"""VTP: Cisco's distribution of VLAN names over trunks."""

from __future__ import annotations

import struct

from bascule.frames.decoder import Decoder, Malformed, Packet, text
from bascule.frames.findings import Findings, Neighbour, Remark

SUMMARY, SUBSET = 1, 2


def decode(packet: Packet) -> Findings:
    """The domain of any message; the VLANs' numbers and names of a subset advertisement."""
    body = packet.body
    code, size = body[1], body[3]
    if size > 32:
        raise Malformed("has a domain name of more than 32 bytes")
    domain = text(body[4 : 4 + size], 32)
    remark = Remark("vtp", f"VTP domain {domain or '(none)'}: the port is a trunk")
    if code != SUBSET:
        return (remark,)
    names: list[tuple[int, str]] = []
    offset = 40
    while offset + 12 <= len(body):
        length, _status, _kind, name_size, vid = struct.unpack_from("!BBBBH", body, offset)
        if packet.is_cut and offset + length > len(body):
            break
        if length < 12 or offset + length > len(body) or 12 + name_size > length:
            raise Malformed("has a VLAN record that overruns the frame")
        if 1 <= vid <= 4094:
            names.append((vid, text(body[offset + 12 : offset + 12 + name_size], 32)))
        offset += length
    return (remark, Neighbour(protocol="VTP", domain=domain, roles=("switch",), vlan_names=tuple(names)))


DECODER = Decoder(
    name="vtp",
    title="VTP",
    keys=(("snap", 0x00000C2003),),
    header=36,
    where="SNAP 00000c/2003, to 01:00:0c:cc:cc:cc",
    proves="a Cisco trunk, its domain, the VLANs that it knows",
    weight="explains; a VLAN that it knows need not be on the wire",
    source="Cisco, Understand VLAN Trunk Protocol (document 10558)",
    groups=("01:00:0c:cc:cc:cc",),
    decode=decode,
)
