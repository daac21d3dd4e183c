"""IGMP: who asks for and who joins IPv4 groups."""

from __future__ import annotations

from bascule.frames.decoder import Decoder, Malformed, Packet
from bascule.frames.findings import Findings, HeardServer, Sender

QUERY = 0x11


def decode(packet: Packet) -> Findings:
    """The sender's address; of a query also that it is the querier."""
    if len(packet.body) < 8:
        raise Malformed("is shorter than 8 bytes")
    if packet.ip_src in ("", "0.0.0.0"):  # a snooping switch may query without an address (RFC 4541)
        return ()
    heard = Sender(packet.ip_src, "IGMP")
    return (heard, HeardServer("IGMP querier", packet.ip_src)) if packet.body[0] == QUERY else (heard,)


DECODER = Decoder(
    name="igmp",
    title="IGMP",
    keys=(("ip", 2),),
    where="IP protocol 2",
    proves="a sender's address; that there is a querier",
    weight="weak, additive",
    source="RFC 2236, RFC 3376",
    decode=decode,
)
