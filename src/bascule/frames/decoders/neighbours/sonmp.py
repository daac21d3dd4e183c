"""SONMP, which switches of Bay Networks, Nortel and Avaya send: their address and the port."""

from __future__ import annotations

from bascule.frames.decoder import Decoder, Malformed, Packet, ip4
from bascule.frames.findings import Findings, Neighbour

OTHER_CHASSIS = 1  # what lldpd says of a host


def decode(packet: Packet) -> Findings:
    """Address, segment (0.0.5 is port 5, 0.2.5 port 5 of unit 2) and kind of chassis; it has no other name."""
    body = packet.body
    if len(body) < 8:
        raise Malformed("is shorter than its fields")
    address, (high, unit, port) = ip4(body[:4]), body[4:7]
    label = f"{unit}/{port}" if unit else str(port)
    own = (address,) if address != "0.0.0.0" else ()
    said = Neighbour(
        protocol="SONMP",
        name=address if own else "",
        chassis=packet.src,
        port=f"{high}:{unit}:{port}" if high else label,
        roles=("switch",) if body[7] != OTHER_CHASSIS else (),
        addresses=own,
    )
    return (said,)


DECODER = Decoder(
    name="sonmp",
    title="SONMP",
    keys=(("snap", 0x00008101A2), ("snap", 0x00008101A1)),
    where="SNAP 000081/01a2 and 01a1, to 01:00:81:00:01:00 and 01:00:81:00:01:01",
    proves="switch and port",
    weight="strong",
    source="lldpd's and Wireshark's readers of it (there is no public standard)",
    groups=("01:00:81:00:01:00", "01:00:81:00:01:01"),
    decode=decode,
)
