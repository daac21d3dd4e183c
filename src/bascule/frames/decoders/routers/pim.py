"""PIM: multicast routers greet each other."""

from __future__ import annotations

from bascule.frames.decoder import Decoder, Malformed, Packet
from bascule.frames.findings import Findings, Routing, Sender

HELLO = 0
UNICAST = (1, 2, 8)  # register, register-stop, candidate-RP-advertisement


def decode(packet: Packet) -> Findings:
    """The sender, of a hello as a router; what is sent to one address (registers) comes from elsewhere."""
    body = packet.body
    if body[0] >> 4 != 2:
        raise Malformed(f"has the unknown version {body[0] >> 4}")
    if body[0] & 15 != HELLO:
        return (Sender(packet.ip_src, "PIM"),) if packet.key[0] == "ip" and body[0] & 15 not in UNICAST else ()
    routing = Routing("PIM", packet.ip_src)
    return (routing, Sender(packet.ip_src, "PIM")) if packet.key[0] == "ip" else (routing,)


DECODER = Decoder(
    name="pim",
    title="PIM",
    keys=(("ip", 103), ("ip6", 103)),
    header=4,
    where="IP protocol 103",
    proves="a router's address",
    weight="medium: a sender in the subnet",
    source="RFC 7761 section 4.9",
    decode=decode,
)
