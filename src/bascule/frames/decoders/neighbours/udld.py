"""UDLD: a link that watches whether both directions work, and names both ends."""

from __future__ import annotations

from bascule.frames.decoder import Decoder, Malformed, Packet, text, tlvs
from bascule.frames.findings import Findings, Neighbour


def decode(packet: Packet) -> Findings:
    """Device and port of the sender."""
    body = packet.body
    if body[0] >> 5 != 1:
        raise Malformed(f"has the unknown version {body[0] >> 5}")
    device = port = name = ""
    for kind, value in tlvs(body, 4, is_cut=packet.is_cut):
        if kind == 1:
            device = text(value)
        elif kind == 2:
            port = text(value)
        elif kind == 6:
            name = text(value)
    if not device:
        raise Malformed("does not name its sender")
    return (Neighbour(protocol="UDLD", name=name or device, chassis=device, port=port, roles=("switch",)),)


DECODER = Decoder(
    name="udld",
    title="UDLD",
    keys=(("snap", 0x00000C0111),),
    header=4,
    where="SNAP 00000c/0111, to 01:00:0c:cc:cc:cc",
    proves="switch and port",
    weight="strong",
    source="RFC 5171",
    groups=("01:00:0c:cc:cc:cc",),
    decode=decode,
)
