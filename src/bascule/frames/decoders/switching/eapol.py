"""EAPOL: the switch port wants to be logged in to (802.1X), or encrypts (MACsec)."""

from __future__ import annotations

from bascule.frames.decoder import Decoder, Packet
from bascule.frames.findings import Findings, Remark

KINDS = {0: "EAP", 1: "start", 2: "logoff", 3: "key", 5: "MKA (MACsec)"}


def decode(packet: Packet) -> Findings:
    """That the port is closed until somebody logs in."""
    body = packet.body
    kind = KINDS.get(body[1], f"type {body[1]}")
    return (Remark("eapol", f"802.1X: the port may stay closed until somebody logs in (EAPOL {kind})"),)


DECODER = Decoder(
    name="eapol",
    title="EAPOL",
    keys=(("ether", 0x888E),),
    header=4,
    where="EtherType 0x888e",
    proves="that the switch port may be closed: silence then proves nothing",
    weight="none: explains, but names no network",
    source="IEEE 802.1X-2010 clause 11",
    decode=decode,
)
