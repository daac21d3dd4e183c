"""STP, RSTP and MSTP: which switched network this is, and through which port of which bridge."""

from __future__ import annotations

import struct

from bascule.frames.decoder import Decoder, Malformed, Packet, text
from bascule.frames.findings import Bpdu, Findings, Remark

GARP, GVRP = b"\0\1", bytes.fromhex("0180c2000021")  # IEEE 802.1D-2004 clause 12
VARIANTS = {0: "STP", 2: "RSTP", 3: "MSTP", 4: "MSTP"}  # protocol version; 4 is SPB, which keeps MSTP's layout


def read(body: bytes) -> Bpdu:
    """A BPDU from its protocol identifier on; a topology change notification has no ids."""
    if len(body) < 4:
        raise Malformed("is shorter than a BPDU")
    protocol, version, kind = struct.unpack_from("!HBB", body)
    if protocol != 0:
        raise Malformed(f"has the unknown protocol identifier 0x{protocol:04x}")
    variant = VARIANTS.get(version, "STP")
    if kind == 0x80:
        return Bpdu(variant=variant)
    if kind not in (0, 2) or len(body) < 35:
        raise Malformed("is shorter than a configuration BPDU" if kind in (0, 2) else f"has the unknown type {kind}")
    (port,) = struct.unpack_from("!H", body, 25)
    region, sender = "", body[17:25]
    if variant == "MSTP" and body[36:38] != b"\0\0":  # else it is sent as RSTP to a neighbour that knows no more
        # bytes 17 to 24 are the regional root, the sender is behind
        region, sender = text(body[39:71]) if len(body) >= 71 else "", body[93:101]
    return Bpdu(
        variant=variant,
        root=_bridge_id(body[5:13]),
        bridge=_bridge_id(sender) if len(sender) == 8 else "",
        port=port & 0xFFF,
        region=region,
        state=_state(body[4]) if kind == 2 else "",
    )


def _state(flags: int) -> str:
    """What a designated port says of itself (IEEE 802.1D-2004, 9.3.3)."""
    if flags & 0x0C != 0x0C:
        return ""
    return "forwarding" if flags & 0x20 else "learning" if flags & 0x10 else "discarding"


def _bridge_id(data: bytes) -> str:
    return f"{data[:2].hex()}.{data[2:].hex(':')}"


def decode(packet: Packet) -> Findings:
    """One BPDU; GARP, which has the same LLC, tells who wants which VLAN or group."""
    if packet.body[:2] == GARP and packet.dst == GVRP:
        return (Remark("gvrp", "GVRP is spoken here: the port is a trunk"),)
    if packet.body[:2] == GARP:
        return ()
    return (read(packet.body),)


DECODER = Decoder(
    name="stp",
    title="STP, RSTP, MSTP",
    keys=(("llc", 0x42),),
    where="LLC 0x42, to 01:80:c2:00:00:00",
    proves="root and bridge id, port: NICs that hear the same root are on one switched network",
    weight="strong for the same wire; a VLAN is not in it, so two access ports of one switch look alike",
    source="IEEE 802.1D-2004 clause 9, IEEE 802.1Q-2018 clause 14",
    groups=("01:80:c2:00:00:00",),
    decode=decode,
)
