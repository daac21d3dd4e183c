"""PPPoE discovery: an access line, and the concentrator that answers on it."""

from __future__ import annotations

from bascule.frames.decoder import Decoder, Malformed, Packet, text, tlvs
from bascule.frames.findings import Findings, Remark

OFFER, CONFIRMATION = 0x07, 0x65  # PADO, PADS
SERVICE, CONCENTRATOR = 0x0101, 0x0102


def decode(packet: Packet) -> Findings:
    """Who answers, or that a client looks for somebody."""
    body = packet.body
    if body[0] != 0x11:
        raise Malformed(f"has the unknown version and type 0x{body[0]:02x}")
    end = 6 + int.from_bytes(body[4:6], "big")
    if end > len(body):
        raise Malformed("is shorter than it says")
    said = dict(tlvs(body[:end], 6, header_counts=False))
    if body[1] not in (OFFER, CONFIRMATION):
        return (Remark("pppoe", "a client looks for a PPPoE access concentrator"),)
    name = text(said.get(CONCENTRATOR, b"")) or "without a name"
    return (Remark("pppoe", f"the PPPoE access concentrator {name} answers: this wire is an access line"),)


DECODER = Decoder(
    name="pppoe",
    title="PPPoE discovery",
    keys=(("ether", 0x8863),),
    header=6,
    where="EtherType 0x8863",
    proves="an access line and the name of its concentrator",
    weight="none: explains, but names no network",
    source="RFC 2516",
    decode=decode,
)
