"""VRRP versions 2 and 3: routers that share a gateway address."""

from __future__ import annotations

from bascule.survey.decoders._decoder import Decoder, Malformed, Packet, ip4, ip6
from bascule.survey.findings import Finding, Findings, Gateway, Sender


def decode(packet: Packet) -> Findings:
    """The virtual addresses and the group."""
    body = packet.body
    if len(body) < 8:
        raise Malformed("is shorter than its header")
    version, kind = body[0] >> 4, body[0] & 15
    if version not in (2, 3) or kind != 1:
        raise Malformed(f"has the unknown version {version} or type {kind}")
    wide = packet.key[0] == "ip6"
    size = 16 if wide else 4
    if len(body) < 8 + body[3] * size:
        raise Malformed("is shorter than the number of its addresses")
    found: list[Finding] = []
    for at in range(8, 8 + body[3] * size, size):
        address = (ip6 if wide else ip4)(body[at : at + size])
        if not address.startswith("fe80:"):
            found.append(Gateway(address, "VRRP", f"group {body[1]}"))
    if packet.ip_src and not wide:
        found.append(Sender(packet.ip_src, "VRRP"))
    return tuple(found)


DECODER = Decoder(
    name="vrrp",
    title="VRRP versions 2 and 3",
    keys=(("ip", 112), ("ip6", 112)),
    where="IP protocol 112",
    proves="the virtual gateway; its group number often is the VLAN's",
    weight="strong for the gateway",
    source="RFC 3768, RFC 5798",
    decode=decode,
)
