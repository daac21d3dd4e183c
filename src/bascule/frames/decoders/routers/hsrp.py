"""HSRP versions 1 and 2: Cisco routers that share a gateway address."""

from __future__ import annotations

import struct

from bascule.frames.decoder import Decoder, Malformed, Packet, ip4, ip6, tlvs
from bascule.frames.findings import Finding, Findings, Gateway, Sender


def decode(packet: Packet) -> Findings:
    """The virtual address and the group."""
    body = packet.body
    if len(body) < 2:
        raise Malformed("is empty")
    sender = [] if ":" in packet.ip_src or not packet.ip_src else [Sender(packet.ip_src, "HSRP")]
    return (*_gateways(body), *sender)


def _gateways(body: bytes) -> list[Finding]:
    if body[0] == 0:  # version 1: op codes 0 to 2 are hello, coup, resign; 3 is an advertisement without an address
        if body[1] == 3:
            return []
        if len(body) < 20:
            raise Malformed("is shorter than 20 bytes")
        return _gateway(ip4(body[16:20]), body[6])
    found: list[Finding] = []
    for kind, value in tlvs(body, form="!BB", header_counts=False):
        if kind == 1:
            if len(value) < 40:
                raise Malformed("has a group state element of less than 40 bytes")
            family, group = struct.unpack_from("!BH", value, 3)
            address = ip6(value[24:40]) if family == 6 else ip4(value[24:28])
            found += _gateway(address, group)
    return found


def _gateway(address: str, group: int) -> list[Finding]:
    return [] if address in ("0.0.0.0", "::") else [Gateway(address, "HSRP", f"group {group}")]


DECODER = Decoder(
    name="hsrp",
    title="HSRP versions 1 and 2",
    keys=(("udp", 1985), ("udp", 2029)),
    where="UDP port 1985 (IPv6: 2029)",
    proves="the virtual gateway; its group number often is the VLAN's",
    weight="strong for the gateway",
    source="RFC 2281; version 2 as in Cisco's First Hop Redundancy Protocols guide",
    decode=decode,
)
