"""The protocols that a survey understands. A new one is one file here and one entry in DECODERS."""

from __future__ import annotations

import struct
from collections.abc import Mapping
from typing import NamedTuple

from bascule.survey.decoders import (
    arp,
    cdp,
    dhcp4,
    dhcp6,
    dtp,
    eapol,
    edp,
    eigrp,
    fdp,
    glbp,
    hsrp,
    igmp,
    lacp,
    lldp,
    mld,
    mndp,
    names,
    nd,
    ospf,
    pim,
    pvst,
    rip,
    stp,
    udld,
    vrrp,
    vtp,
)
from bascule.survey.decoders._decoder import Decoder
from bascule.survey.findings import Findings
from bascule.survey.frame import Key, Malformed, Packet, Tags, unwrap

__all__ = ["BY_KEY", "DECODERS", "Decoder", "Dissection", "dissect"]

DECODERS: tuple[Decoder, ...] = tuple(
    module.DECODER
    for module in (
        lldp, cdp, stp, pvst, edp, fdp, mndp, udld, dtp, vtp, lacp,
        dhcp4, dhcp6, nd, mld, igmp, arp,
        hsrp, vrrp, glbp, ospf, eigrp, rip, pim,
        names, eapol,
    )
)  # fmt: skip

BY_KEY: Mapping[Key, Decoder] = {key: decoder for decoder in DECODERS for key in decoder.keys}


class Dissection(NamedTuple):
    """What one frame says. ``skip`` names why it could not be read; ``decoder`` is empty for a data frame."""

    decoder: str = ""
    src: str = ""
    tags: Tags = ()
    findings: Findings = ()
    skip: str = ""


def dissect(data: bytes, stripped: Tags = ()) -> Dissection:
    """Read one frame. Never raises for what is in it: a frame that breaks its protocol is skipped by name."""
    decoder: Decoder | None = None
    packet: Packet | None = None
    try:
        packet = unwrap(data, stripped)
        decoder = BY_KEY.get(packet.key) if packet is not None else None
        if packet is None or decoder is None:
            return Dissection(tags=packet.tags if packet else stripped)
        return Dissection(decoder.name, packet.src, packet.tags, decoder.decode(packet))
    except Malformed as wrong:
        reason = f"{decoder.title if decoder else 'a frame'} {wrong}"
    except (struct.error, IndexError, ValueError):
        reason = f"{decoder.title if decoder else 'a frame'} ends in the middle of a field"
    return Dissection(decoder.name if decoder else "frame", tags=packet.tags if packet else stripped, skip=reason)
