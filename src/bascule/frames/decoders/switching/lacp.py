"""LACP: the switch port belongs to an aggregated link."""

from __future__ import annotations

import struct

from bascule.frames.decoder import Decoder, Malformed, Packet
from bascule.frames.findings import Findings, Lacp

LACP, MARKER, OAM, ESMC = 1, 2, 3, 10


def decode(packet: Packet) -> Findings:
    """Actor and partner; the other slow protocols say nothing about the wire."""
    body = packet.body
    if body[0] != LACP:
        if body[0] in (MARKER, OAM, ESMC):
            return ()
        raise Malformed(f"is the unknown slow protocol {body[0]}")
    if len(body) < 42:
        raise Malformed("is shorter than actor and partner")
    if body[2:4] != b"\x01\x14" or body[22:24] != b"\x02\x14":
        raise Malformed("has no actor and partner where they belong")
    system, key, port = _end(body, 4)
    partner, _, _ = _end(body, 24)
    known = not partner.endswith("00:00:00:00:00:00")
    return (Lacp(system=system, key=key, port=port, partner=partner if known else ""),)


def _end(body: bytes, at: int) -> tuple[str, int, int]:
    key, _priority, port = struct.unpack_from("!HHH", body, at + 8)
    return f"{body[at : at + 2].hex()}.{body[at + 2 : at + 8].hex(':')}", key, port


DECODER = Decoder(
    name="lacp",
    title="LACP",
    keys=(("ether", 0x8809),),
    header=2,
    where="EtherType 0x8809 subtype 1, to 01:80:c2:00:00:02",
    proves="NICs that hear the same system and key belong to one aggregated link (LAG)",
    weight="decisive for a LAG",
    source="IEEE 802.1AX-2014 clause 6",
    decode=decode,
)
