"""PAgP: Cisco's own way to bundle links."""

from __future__ import annotations

from bascule.frames.decoder import Decoder, Packet, mac, text, tlvs
from bascule.frames.findings import Findings, Neighbour, Remark

INFORMATION = 1
FIRST_ELEMENT = 46


def decode(packet: Packet) -> Findings:
    """Device and port of the sender, which would like to bundle the port."""
    body = packet.body
    if body[0] != INFORMATION:
        return ()
    name = port = ""
    count = int.from_bytes(body[44:46], "big")
    for (kind, value), _ in zip(tlvs(body, FIRST_ELEMENT, is_cut=packet.is_cut), range(count), strict=False):
        if kind == 1:
            name = text(value)
        elif kind == 2:
            port = text(value)
    device = Neighbour(protocol="PAgP", name=name, port=port, chassis=mac(body[2:8]), roles=("switch",))
    return (device, Remark("pagp", "the switch would bundle this port with others (PAgP)"))


DECODER = Decoder(
    name="pagp",
    title="PAgP",
    keys=(("snap", 0x00000C0104),),
    header=FIRST_ELEMENT,
    where="SNAP 00000c/0104, to 01:00:0c:cc:cc:cc",
    proves="switch and port; that the port would be bundled",
    weight="strong",
    source="undocumented by the maker; layout as in Wireshark's packet-pagp.c",
    groups=("01:00:0c:cc:cc:cc",),
    decode=decode,
)
