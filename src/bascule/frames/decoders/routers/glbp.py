"""GLBP: Cisco routers that share a gateway address and its load."""

from __future__ import annotations

from bascule.frames.decoder import Decoder, Malformed, Packet, ip4, ip6, tlvs
from bascule.frames.findings import Finding, Findings, Gateway, Sender

HELLO = 1


def decode(packet: Packet) -> Findings:
    """The virtual address of a hello and the group."""
    body = packet.body
    group = int.from_bytes(body[2:4], "big")
    found: list[Finding] = []
    for kind, value in tlvs(body, 12, form="!BB"):
        if kind != HELLO:
            continue
        if len(value) < 22:
            raise Malformed("has a hello of less than 22 bytes")
        family, size = value[20], value[21]
        address = value[22 : 22 + size]
        if family == 1 and address != b"\0\0\0\0":
            found.append(Gateway(ip4(address), "GLBP", f"group {group}"))
        elif family == 2:
            found.append(Gateway(ip6(address), "GLBP", f"group {group}"))
    if packet.ip_src and ":" not in packet.ip_src:
        found.append(Sender(packet.ip_src, "GLBP"))
    return tuple(found)


DECODER = Decoder(
    name="glbp",
    title="GLBP",
    keys=(("udp", 3222),),
    header=12,
    where="UDP port 3222",
    proves="the virtual gateway",
    weight="strong for the gateway",
    source="undocumented by the maker; layout as observed (Wireshark names the same fields)",
    decode=decode,
)
