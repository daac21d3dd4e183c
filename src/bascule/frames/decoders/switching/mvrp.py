"""MVRP: switches say which VLANs they want on a trunk."""

from __future__ import annotations

import struct

from bascule.frames.decoder import Decoder, Malformed, Packet
from bascule.frames.findings import Findings, Remark

VID = 1  # the attribute type


def decode(packet: Packet) -> Findings:
    """The VLANs that are declared, as ranges."""
    body = packet.body
    if len(body) < 7:
        raise Malformed("is shorter than its first message")
    if body[0] != 0:
        raise Malformed(f"has the unknown version {body[0]}")
    if body[1] != VID or body[2] != 2:
        return ()
    ranges = []
    offset = 3
    while offset + 4 <= len(body):
        header, first = struct.unpack_from("!HH", body, offset)
        number = header & 0x1FFF
        if not header:  # the end mark
            break
        if number:
            ranges.append(f"{first}" if number == 1 else f"{first}-{first + number - 1}")
        offset += 4 + (number + 2) // 3
    return (Remark("mvrp", f"MVRP declares VLAN {', '.join(ranges[:8]) or 'none'}: the port is a trunk"),)


DECODER = Decoder(
    name="mvrp",
    title="MVRP",
    keys=(("ether", 0x88F5),),
    where="EtherType 0x88f5, to 01:80:c2:00:00:21",
    proves="a trunk, and VLANs that somebody wants on it",
    weight="explains; a VLAN that is wanted need not be on the wire",
    source="IEEE 802.1Q-2018 clauses 10.8 and 11.2",
    decode=decode,
)
