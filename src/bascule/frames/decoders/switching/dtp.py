"""DTP: a Cisco port that would become a trunk."""

from __future__ import annotations

from bascule.frames.decoder import Decoder, Malformed, Packet, text, tlvs
from bascule.frames.findings import Findings, Remark

MODES = {1: "on", 2: "off", 3: "desirable", 4: "auto"}


def decode(packet: Packet) -> Findings:
    """The trunking domain and the port's status."""
    body = packet.body
    if not body:
        raise Malformed("is empty")
    domain, status = "", None
    for kind, value in tlvs(body, 1, is_cut=packet.is_cut):
        if kind == 1:
            domain = text(value, 32)
        elif kind == 2 and value:
            status = value[0]
    if status is None:
        raise Malformed("has no status")
    what = "is a trunk" if status & 0x80 else "is an access port"
    words = f"the switch port {what} (DTP {MODES.get(status & 7, 'mode ' + str(status & 7))})"
    return (Remark("dtp", words + (f", VTP domain {domain}" if domain else "")),)


DECODER = Decoder(
    name="dtp",
    title="DTP",
    keys=(("snap", 0x00000C2004),),
    where="SNAP 00000c/2004, to 01:00:0c:cc:cc:cc",
    proves="a Cisco switch port; whether it is access or trunk; the VTP domain",
    weight="none: explains, but names no network",
    source="undocumented by the maker; layout as in scapy.contrib.dtp",
    groups=("01:00:0c:cc:cc:cc",),
    decode=decode,
)
