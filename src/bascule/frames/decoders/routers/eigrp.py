"""EIGRP: Cisco routers greet each other."""

from __future__ import annotations

from bascule.frames.decoder import Decoder, Malformed, Packet
from bascule.frames.findings import Findings, Routing, Sender


def decode(packet: Packet) -> Findings:
    """The autonomous system and the sender."""
    body = packet.body
    if body[0] != 2:
        raise Malformed(f"has the unknown version {body[0]}")
    routing = Routing("EIGRP", packet.ip_src, f"AS {int.from_bytes(body[18:20], 'big')}")
    return (routing, Sender(packet.ip_src, "EIGRP")) if packet.key[0] == "ip" else (routing,)


DECODER = Decoder(
    name="eigrp",
    title="EIGRP",
    keys=(("ip", 88), ("ip6", 88)),
    header=20,
    where="IP protocol 88",
    proves="a router's address and its autonomous system",
    weight="medium: a sender in the subnet",
    source="RFC 7868 section 6",
    decode=decode,
)
