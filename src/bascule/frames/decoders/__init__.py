"""The protocols that are understood. A new one is one file in a room here and one entry in DECODERS."""

from __future__ import annotations

import struct
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from bascule.frames.codecs import ethernet
from bascule.frames.codecs.ip import address_text
from bascule.frames.decoder import Decoder
from bascule.frames.decoders.hosts import arp, dhcp4, dhcp6, igmp, mld, names, nd, pppoe
from bascule.frames.decoders.neighbours import cdp, edp, fdp, lldp, mndp, sonmp, udld
from bascule.frames.decoders.routers import eigrp, glbp, hsrp, isis, ospf, pim, rip, vrrp
from bascule.frames.decoders.switching import dtp, eapol, lacp, mvrp, pagp, pvst, stp, vtp
from bascule.frames.envelope import IpHeader, Key, Malformed, Packet, Tags, unwrap
from bascule.frames.findings import DIRECTED, Findings, Remark, Sender, Subnet

DECODERS: tuple[Decoder, ...] = tuple(
    module.DECODER
    for module in (
        lldp, cdp, stp, pvst, edp, fdp, mndp, sonmp, udld, dtp, vtp, mvrp, lacp, pagp,
        dhcp4, dhcp6, nd, mld, igmp, arp,
        hsrp, vrrp, glbp, ospf, isis, eigrp, rip, pim,
        names, eapol, pppoe,
    )
)  # fmt: skip


def by_key(decoders: Iterable[Decoder]) -> Mapping[Key, Decoder]:
    """Where each decoder is found."""
    return {key: decoder for decoder in decoders for key in decoder.keys}


BY_KEY = by_key(DECODERS)
CUT = "is cut short: its headers want more bytes than were captured"
TUNNEL = ethernet.mac_bytes("01:00:0c:cd:cd:d0")  # Cisco, layer 2 protocol tunnelling


class Dissection(NamedTuple):
    """What one frame says. ``skip`` names why it could not be read; ``decoder`` is empty for a data frame."""

    decoder: str = ""
    src: str = ""
    tags: Tags = ()
    findings: Findings = ()
    skip: str = ""


def _of_this_wire(packet: Packet, header: IpHeader, findings: Findings) -> Findings:
    """Without the IP sources that may be elsewhere; and the subnet that a directed broadcast shows.

    A frame to a single MAC may have crossed a router, so its IP source says nothing of this wire; a directed broadcast
    may as well, which its TTL shows. Neighbour discovery never crosses one.
    """
    if packet.key[0] == "icmp6":
        return findings
    if not packet.is_to_group or packet.crossed_a_router:
        return tuple(found for found in findings if type(found) is not Sender)
    net = directed_broadcast(header.src, header.dst) if packet.dst == ethernet.BROADCAST else None
    return (*findings, Subnet(net, DIRECTED)) if net else findings


def directed_broadcast(src: bytes, dst: bytes) -> str | None:
    """The sender's subnet where it follows from the broadcast address alone: 10.0.4.131 to 10.0.5.255 is a /23.

    The host part covers all in which the two differ, and is all ones in the broadcast address.
    """
    if len(src) != 4 or dst == b"\xff" * 4 or dst[0] >= 224 or src[0] in (0, 127):
        return None
    target = int.from_bytes(dst, "big")
    fewest = (int.from_bytes(src, "big") ^ target).bit_length()
    ones = (~target & (target + 1)).bit_length() - 1  # at the end of the address
    if fewest != ones or not 8 < ones <= 16:  # up to /24 a shorter prefix would fit as well
        return None
    return f"{address_text(((target >> ones) << ones).to_bytes(4, 'big'))}/{32 - ones}"


def dissect(data: bytes, stripped: Tags = (), decoders: Mapping[Key, Decoder] = BY_KEY) -> Dissection:
    """Read one frame. Never raises for what is in it: a frame that breaks its protocol is skipped by name."""
    decoder: Decoder | None = None
    packet: Packet | None = None
    try:
        packet = unwrap(data, stripped)
        decoder = decoders.get(packet.key)
        if decoder is None and packet.key[0] == "udp":  # a reply goes to the asker's port, and comes from ours
            packet = packet._replace(key=("udp", packet.ports[0]))
            decoder = decoders.get(packet.key)
        if decoder is None:
            return Dissection(tags=packet.tags)
        if packet.dst == TUNNEL:
            words = f"{decoder.title} of somebody else passes here in a tunnel (L2PT)"
            return Dissection(decoder.name, packet.src, packet.tags, (Remark("l2pt", words),))
        if len(packet.body) < decoder.header:
            raise Malformed("is shorter than its header")
        findings = decoder.decode(packet)
        if packet.ip is not None:
            findings = _of_this_wire(packet, packet.ip, findings)
        return Dissection(decoder.name, packet.src, packet.tags, findings)
    except (struct.error, IndexError, ValueError) as wrong:
        is_cut = packet is not None and packet.is_cut
        words = str(wrong) if isinstance(wrong, Malformed) else "ends in the middle of a field"
        reason = f"{decoder.title if decoder else 'a frame'} {CUT if is_cut else words}"
    return Dissection(decoder.name if decoder else "frame", tags=packet.tags if packet else stripped, skip=reason)
