"""FDP: Foundry's (Brocade's, Ruckus's) announcement, laid out like CDP."""

from __future__ import annotations

from bascule.frames.decoder import Decoder, Packet
from bascule.frames.decoders.neighbours.cdp import read
from bascule.frames.findings import Findings


def decode(packet: Packet) -> Findings:
    """One announcement."""
    return (read(packet, "FDP"),)


DECODER = Decoder(
    name="fdp",
    title="FDP",
    keys=(("snap", 0x00E0522000),),
    header=4,
    where="SNAP 00e052/2000, to 01:e0:52:cc:cc:cc",
    proves="switch, port, management address",
    weight="strong",
    source="undocumented by the maker; layout as lldpd sends it (lldpd, FDP)",
    groups=("01:e0:52:cc:cc:cc",),
    decode=decode,
)
