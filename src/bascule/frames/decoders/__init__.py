"""The protocols that are understood. A new one is one file in a room here and one entry in DECODERS."""

from __future__ import annotations

import struct
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from bascule.frames.decoder import Decoder
from bascule.frames.decoders.hosts import arp, dhcp4, dhcp6, igmp, mld, names, nd
from bascule.frames.decoders.neighbours import cdp, edp, fdp, lldp, mndp, udld
from bascule.frames.decoders.routers import eigrp, glbp, hsrp, ospf, pim, rip, vrrp
from bascule.frames.decoders.switching import dtp, eapol, lacp, pvst, stp, vtp
from bascule.frames.envelope import Key, Malformed, Packet, Tags, unwrap
from bascule.frames.findings import Findings

DECODERS: tuple[Decoder, ...] = tuple(
    module.DECODER
    for module in (
        lldp, cdp, stp, pvst, edp, fdp, mndp, udld, dtp, vtp, lacp,
        dhcp4, dhcp6, nd, mld, igmp, arp,
        hsrp, vrrp, glbp, ospf, eigrp, rip, pim,
        names, eapol,
    )
)  # fmt: skip


def by_key(decoders: Iterable[Decoder]) -> Mapping[Key, Decoder]:
    """Where each decoder is found."""
    return {key: decoder for decoder in decoders for key in decoder.keys}


BY_KEY = by_key(DECODERS)


class Dissection(NamedTuple):
    """What one frame says. ``skip`` names why it could not be read; ``decoder`` is empty for a data frame."""

    decoder: str = ""
    src: str = ""
    tags: Tags = ()
    findings: Findings = ()
    skip: str = ""


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
        return Dissection(decoder.name, packet.src, packet.tags, decoder.decode(packet))
    except Malformed as wrong:
        reason = f"{decoder.title if decoder else 'a frame'} {wrong}"
    except (struct.error, IndexError, ValueError):
        reason = f"{decoder.title if decoder else 'a frame'} ends in the middle of a field"
    return Dissection(decoder.name if decoder else "frame", tags=packet.tags if packet else stripped, skip=reason)
