"""OSPF: routers greet each other and say the subnet's mask."""

from __future__ import annotations

from bascule.frames.decoder import Decoder, Malformed, Packet, ip4, prefix4
from bascule.frames.findings import Finding, Findings, Routing, Sender, Subnet

HELLO = 1


def decode(packet: Packet) -> Findings:
    """Router id and area; an OSPFv2 hello also carries the netmask."""
    body = packet.body
    version, kind = body[0], body[1]
    if version not in (2, 3):
        raise Malformed(f"has the unknown version {version}")
    found: list[Finding] = [
        Routing(f"OSPFv{version}", packet.ip_src, f"router {ip4(body[4:8])} area {ip4(body[8:12])}")
    ]
    if version == 2 and packet.ip_src:
        found.append(Sender(packet.ip_src, "OSPF"))
        if kind == HELLO:
            if len(body) < 44:
                raise Malformed("is shorter than a hello")
            mask = ip4(body[24:28])
            if mask not in ("0.0.0.0", "255.255.255.255"):  # unnumbered and point-to-point links say none
                found.append(Subnet(prefix4(packet.ip_src, mask), "OSPF"))
    return tuple(found)


DECODER = Decoder(
    name="ospf",
    title="OSPF versions 2 and 3",
    keys=(("ip", 89), ("ip6", 89)),
    header=16,
    where="IP protocol 89",
    proves="a hello: the subnet with its mask; router id and area",
    weight="strong",
    source="RFC 2328 appendix A.3, RFC 5340 appendix A.3",
    decode=decode,
)
