"""VRRP versions 2 and 3: routers that share a gateway address; and CARP, which has taken its number."""

from __future__ import annotations

from bascule.frames.decoder import Decoder, Malformed, Packet, ip4, ip6
from bascule.frames.findings import Finding, Findings, Gateway, Remark, Sender

# struct carp_header of OpenBSD's ip_carp.h: version 2, type 1, group, advskew, 7 words of authentication, 36 bytes
CARP_SIZE, CARP_WORDS = 36, 7


def decode(packet: Packet) -> Findings:
    """The virtual addresses and the group."""
    body = packet.body
    version, kind = body[0] >> 4, body[0] & 15
    if version not in (2, 3) or kind != 1:
        raise Malformed(f"has the unknown version {version} or type {kind}")
    wide = packet.key[0] == "ip6"
    size = 16 if wide else 4
    if version == 2 and body[3] == CARP_WORDS and len(body) == CARP_SIZE:  # VRRP's would be 8 bytes longer
        remark = Remark("carp", f"CARP group {body[1]}: firewalls share an address, which CARP keeps secret")
        return (remark, Sender(packet.ip_src, "CARP")) if packet.ip_src and not wide else (remark,)
    if len(body) < 8 + body[3] * size:
        raise Malformed("is shorter than the number of its addresses")
    found: list[Finding] = []
    for at in range(8, 8 + body[3] * size, size):
        address = (ip6 if wide else ip4)(body[at : at + size])
        found.append(
            Gateway(address, "VRRP", f"group {body[1]}")
        )  # over IPv6 the first is link-local (RFC 5798, 5.2.9)
    if packet.ip_src and not wide:
        found.append(Sender(packet.ip_src, "VRRP"))
    return tuple(found)


DECODER = Decoder(
    name="vrrp",
    title="VRRP versions 2 and 3, CARP",
    keys=(("ip", 112), ("ip6", 112)),
    header=8,
    where="IP protocol 112",
    proves="the virtual gateway; its group number often is the VLAN's; CARP: a sender",
    weight="strong for the gateway (CARP: none, it hides the address)",
    source="RFC 3768, RFC 5798; CARP: OpenBSD, ip_carp.h",
    decode=decode,
)
