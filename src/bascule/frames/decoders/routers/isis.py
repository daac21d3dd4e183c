"""IS-IS: routers greet each other without IP, and name their addresses."""

from __future__ import annotations

from bascule.frames.decoder import Decoder, Malformed, Packet, ip4, tlvs
from bascule.frames.findings import Finding, Findings, Routing, Sender

LEVELS = {15: ("level 1", 27), 16: ("level 2", 27), 17: ("point to point", 20)}  # hello: its name, where elements begin
IP_ADDRESSES = 132


def decode(packet: Packet) -> Findings:
    """The addresses of a hello's sender."""
    body = packet.body
    if body[0] != 0x83:
        return ()  # ES-IS and CLNP have the same LLC
    kind = body[4] & 0x1F
    if kind not in LEVELS:
        return ()
    level, first = LEVELS[kind]
    if len(body) < first:
        raise Malformed("is shorter than a hello")
    addresses = [
        ip4(value[at : at + 4])
        for code, value in tlvs(body, first, form="!BB", header_counts=False, is_cut=packet.is_cut)
        if code == IP_ADDRESSES
        for at in range(0, len(value) // 4 * 4, 4)
    ]
    found: list[Finding] = [Routing("IS-IS", addresses[0] if addresses else packet.src, level)]
    return (*found, *(Sender(address, "IS-IS") for address in addresses))


DECODER = Decoder(
    name="isis",
    title="IS-IS hello",
    keys=(("llc", 0xFE),),
    header=8,
    where="LLC 0xfe, to 01:80:c2:00:00:14 and :15",
    proves="a router's addresses",
    weight="medium: a sender in the subnet",
    source="ISO/IEC 10589, RFC 1195",
    groups=("01:80:c2:00:00:14", "01:80:c2:00:00:15"),
    decode=decode,
)
