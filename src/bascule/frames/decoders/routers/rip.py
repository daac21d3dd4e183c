"""RIP and RIPng: routers tell each other what lies behind them."""

from __future__ import annotations

from bascule.frames.decoder import Decoder, Malformed, Packet
from bascule.frames.findings import Findings, Routing, Sender


def decode(packet: Packet) -> Findings:
    """The sender; what it announces lies elsewhere, so it proves nothing about this wire."""
    body = packet.body
    if body[0] not in (1, 2):
        raise Malformed(f"has the unknown command {body[0]}")
    ng = packet.key[1] == 521
    routing = Routing("RIPng" if ng else f"RIPv{body[1]}", packet.ip_src)
    return (routing,) if ng or not packet.ip_src else (routing, Sender(packet.ip_src, "RIP"))


DECODER = Decoder(
    name="rip",
    title="RIP and RIPng",
    keys=(("udp", 520), ("udp", 521)),
    header=4,
    where="UDP ports 520 and 521",
    proves="a router's address",
    weight="medium: a sender in the subnet",
    source="RFC 2453, RFC 2080",
    decode=decode,
)
