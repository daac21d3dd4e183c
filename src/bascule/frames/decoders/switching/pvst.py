"""PVST+ and Rapid PVST+: a spanning tree per VLAN, with the VLAN's number in the frame."""

from __future__ import annotations

from msgspec.structs import replace

from bascule.frames.decoder import Decoder, Malformed, Packet, tlvs
from bascule.frames.decoders.switching.stp import read
from bascule.frames.findings import Findings


def decode(packet: Packet) -> Findings:
    """The BPDU with the VLAN from the element behind it."""
    bpdu = read(packet.body)
    if not bpdu.root:
        return (replace(bpdu, variant="PVST+"),)
    rapid = bpdu.variant != "STP"
    size = 36 if rapid else 35  # RSTP has one more byte, the length of version 1 data
    # some senders put a byte of padding before the element; both places are looked at
    for start in (size, size + 1, 35):
        vlan = _vlan(packet.body, start)
        if vlan is not None:
            return (replace(bpdu, variant="RPVST+" if rapid else "PVST+", vlan=vlan),)
    raise Malformed("has no VLAN element behind its BPDU")


def _vlan(body: bytes, start: int) -> int | None:
    try:
        for kind, value in tlvs(body, start, header_counts=False):
            if kind == 0 and len(value) == 2:
                vlan = int.from_bytes(value, "big") & 0xFFF
                return vlan if 1 <= vlan <= 4094 else None
    except Malformed:
        return None
    return None


DECODER = Decoder(
    name="pvst",
    title="PVST+, RPVST+",
    keys=(("snap", 0x00000C010B),),
    where="SNAP 00000c/010b, to 01:00:0c:cc:cc:cd",
    proves="the VLAN's number; an untagged one names the native VLAN, the tagged ones are the trunk's VLANs",
    weight="decisive",
    source="Cisco, Spanning Tree PVST+ notes (document 24063); the VLAN element: type 0, length 2",
    groups=("01:00:0c:cc:cc:cd",),
    decode=decode,
)
