"""MNDP: MikroTik's neighbour announcement."""

from __future__ import annotations

from typing import Any

from bascule.frames.decoder import Decoder, Malformed, Packet, ip4, mac, text, tlvs
from bascule.frames.findings import Findings, Neighbour, Sender


def decode(packet: Packet) -> Findings:
    """Identity, board and interface of the sender; an empty frame is a request."""
    body = packet.body
    if len(body) <= 9:  # the request: a header of 4 bytes, at times with padding
        return ()
    said: dict[str, Any] = {"protocol": "MNDP", "roles": ("router",)}
    version = board = ""
    for kind, value in tlvs(body, 4, header_counts=False, is_cut=packet.is_cut):
        if kind == 1:
            said["chassis"] = mac(value)
        elif kind == 5:
            said["name"] = text(value)
        elif kind == 7:
            version = text(value)
        elif kind == 12:
            board = text(value)
        elif kind == 16:
            said["port"] = text(value)
        elif kind == 17:
            said["addresses"] = (ip4(value),)
    if "chassis" not in said:
        raise Malformed("does not name its sender")
    said["platform"] = f"MikroTik {board} {version}".strip()
    sender = (Sender(packet.ip_src, "MNDP"),) if _usable(packet.ip_src) else ()
    return (Neighbour(**said), *sender)


def _usable(ip: str) -> bool:
    return bool(ip) and ":" not in ip and not ip.startswith(("0.", "169.254."))


DECODER = Decoder(
    name="mndp",
    title="MNDP",
    keys=(("udp", 5678),),
    where="UDP port 5678, broadcast",
    proves="a MikroTik router or switch: name, board, interface",
    weight="strong for the device; it is forwarded like any broadcast, so it need not be the next one",
    source="MikroTik, Neighbor discovery; element numbers as observed",
    decode=decode,
)
