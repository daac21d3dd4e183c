"""A frame as values, for whoever asks and waits for an answer. Nothing here raises: what cannot be read is None."""

from __future__ import annotations

import struct
from ipaddress import ip_address
from typing import Any

from msgspec import Struct

from bascule.frames.codecs import arp, ethernet
from bascule.frames.codecs.icmp import NeighbourDiscovery, read_discovery
from bascule.frames.codecs.ip import ICMP, ICMPV6, TCP
from bascule.frames.envelope import Malformed, Packet, unwrap, unwrap_ip
from bascule.model.values import IpAddress, Mac

QUOTES = 2  # an error that quotes an error that quotes an error is read no further


class IpPacket(Struct, frozen=True, kw_only=True):
    """An IP packet's header and what is needed of the one behind it. Ports, flags and the like are 0 where absent."""

    src: IpAddress
    dst: IpAddress
    protocol: int
    type: int = 0  # ICMP
    code: int = 0
    identifier: int = 0
    sequence: int = 0
    source_port: int = 0
    port: int = 0
    tcp_sequence: int = 0
    tcp_acknowledged: int = 0
    tcp_flags: int = 0
    neighbour: NeighbourDiscovery | None = None
    quoted: IpPacket | None = None  # the packet that an ICMP error is about
    payload: bytes = b""

    @property
    def is_first(self) -> bool:
        """A TCP segment that opens a connection: SYN without ACK."""
        return self.protocol == TCP and self.tcp_flags & 0x12 == 0x02


class Frame(Struct, frozen=True, kw_only=True):
    """An Ethernet frame, whatever VLAN tags it has."""

    dst: Mac
    src: Mac
    arp: arp.Arp | None = None
    packet: IpPacket | None = None


def read_frame(data: bytes) -> Frame | None:
    """An Ethernet frame; what is damaged or unknown inside is left out."""
    if len(data) < 14:
        return None
    try:
        found = unwrap(data)
    except Malformed:
        return Frame(dst=ethernet.mac_text(data[:6]), src=ethernet.mac_text(data[6:12]))
    return Frame(
        dst=ethernet.mac_text(found.dst),
        src=Mac(found.src),
        arp=arp.read(found.body) if found.key == ("ether", ethernet.ARP) else None,
        packet=_ip_packet(found, 0),
    )


def read_packet(data: bytes, depth: int = 0) -> IpPacket | None:
    """An IP packet; of later fragments only the header."""
    try:
        return _ip_packet(unwrap_ip(data), depth)
    except Malformed:
        return None


def _ip_packet(found: Packet, depth: int) -> IpPacket | None:
    header, body = found.ip, found.body
    if header is None:
        return None
    more: dict[str, Any] = {"payload": body}
    protocol = header.protocol
    if found.key[0] == "udp":
        more["source_port"], more["port"] = found.ports
    elif protocol in {ICMP, ICMPV6} and len(body) >= 8:
        more = _icmp(protocol, body, depth)
    elif protocol == TCP and len(body) >= 8:
        source, port, sequence = struct.unpack_from("!HHI", body)
        more = {
            "source_port": source,
            "port": port,
            "tcp_sequence": sequence,
            "tcp_acknowledged": int.from_bytes(body[8:12], "big"),
            "tcp_flags": body[13] if len(body) > 13 else 0,
        }
    return IpPacket(src=ip_address(header.src), dst=ip_address(header.dst), protocol=protocol, **more)


def _icmp(protocol: int, body: bytes, depth: int) -> dict[str, Any]:
    kind = body[0]
    is_error = kind in {3, 11, 12} if protocol == ICMP else kind < 128
    return {
        "type": kind,
        "code": body[1],
        "identifier": int.from_bytes(body[4:6], "big"),
        "sequence": int.from_bytes(body[6:8], "big"),
        "quoted": read_packet(body[8:], depth + 1) if is_error and depth < QUOTES else None,
        "neighbour": read_discovery(body) if protocol == ICMPV6 else None,
        "payload": body[8:],
    }
