"""MLD: who asks for and who joins IPv6 groups."""

from __future__ import annotations

from bascule.frames.decoder import Decoder, Malformed, Packet
from bascule.frames.findings import Findings, HeardServer

QUERY, REPORT, DONE, REPORT2 = 130, 131, 132, 143


def decode(packet: Packet) -> Findings:
    """The querier, if this is a query."""
    if len(packet.body) < (8 if packet.body[0] == REPORT2 else 24):
        raise Malformed("is shorter than its fixed part")
    return (HeardServer("MLD querier", packet.ip_src),) if packet.body[0] == QUERY and packet.ip_src != "::" else ()


DECODER = Decoder(
    name="mld",
    title="MLD",
    keys=tuple(("icmp6", kind) for kind in (QUERY, REPORT, DONE, REPORT2)),
    where="ICMPv6 types 130 to 132 and 143",
    proves="that there is a querier, and its link-local address",
    weight="weak, additive",
    source="RFC 2710, RFC 3810",
    decode=decode,
)
