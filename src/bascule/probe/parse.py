"""Bytes as frames. Whatever arrives from a wire, nothing here ever raises: what cannot be read is None."""

from __future__ import annotations

import struct
from ipaddress import IPv4Address, IPv6Address

from msgspec import Struct, field

from bascule.model.values import IpAddress, Mac
from bascule.probe import frames

_EXTENSIONS = {0, 43, 60}  # hop-by-hop, routing and destination options (RFC 8200)


class Arp(Struct, frozen=True):
    """An ARP request or reply, IPv4 over Ethernet."""

    operation: int
    sender_mac: Mac
    sender: IPv4Address
    target_mac: Mac
    target: IPv4Address


class Neighbour(Struct, frozen=True):
    """A neighbour solicitation or advertisement; ``link`` is the link-layer address it carries."""

    is_solicitation: bool
    target: IPv6Address
    link: Mac | None


class Packet(Struct, frozen=True, kw_only=True):
    """An IP packet's header and what is needed of the one behind it. Ports, flags and the like are 0 where absent."""

    src: IpAddress
    dst: IpAddress
    protocol: int
    ttl: int = 0
    type: int = 0  # ICMP
    code: int = 0
    identifier: int = 0
    sequence: int = 0
    source_port: int = 0
    port: int = 0
    tcp_sequence: int = 0
    tcp_acknowledged: int = 0
    tcp_flags: int = 0
    neighbour: Neighbour | None = None
    quoted: Packet | None = None  # the packet that an ICMP error is about
    payload: bytes = b""

    @property
    def is_first(self) -> bool:
        """A TCP segment that opens a connection: SYN without ACK."""
        return self.protocol == frames.TCP and self.tcp_flags & 0x12 == 0x02


class Frame(Struct, frozen=True, kw_only=True):
    """An Ethernet frame; ``vlans`` are its tags from outside to inside."""

    dst: Mac
    src: Mac
    ethertype: int
    vlans: tuple[int, ...] = ()
    arp: Arp | None = None
    packet: Packet | None = None


class Dhcp(Struct, frozen=True, kw_only=True):
    """A DHCP message. ``yours`` is the address that a server offers, ``server`` its identifier."""

    is_reply: bool
    xid: int
    mac: Mac
    yours: IPv4Address
    type: int
    options: dict[int, bytes] = field(default_factory=dict)

    @property
    def server(self) -> IPv4Address | None:
        """The server's identifier (option 54)."""
        return self.address(frames.OPT_SERVER)

    def address(self, option: int) -> IPv4Address | None:
        """The first address in an option."""
        value = self.options.get(option, b"")
        return IPv4Address(value[:4]) if len(value) >= 4 else None


def parse_frame(data: bytes) -> Frame | None:
    """An Ethernet frame; what is truncated or unknown inside is left out."""
    if len(data) < 14:
        return None
    vlans: list[int] = []
    ethertype, offset = int.from_bytes(data[12:14], "big"), 14
    while ethertype in {frames.ETH_VLAN, frames.ETH_QINQ} and len(data) >= offset + 4 and len(vlans) < 4:
        vlans.append(int.from_bytes(data[offset : offset + 2], "big") & 0xFFF)
        ethertype, offset = int.from_bytes(data[offset + 2 : offset + 4], "big"), offset + 4
    body = data[offset:]
    return Frame(
        dst=frames.mac_text(data[:6]),
        src=frames.mac_text(data[6:12]),
        ethertype=ethertype,
        vlans=tuple(vlans),
        arp=parse_arp(body) if ethertype == frames.ETH_ARP else None,
        packet=parse_packet(body) if ethertype in {frames.ETH_IPV4, frames.ETH_IPV6} else None,
    )


def parse_arp(data: bytes) -> Arp | None:
    """An ARP packet of IPv4 over Ethernet."""
    if len(data) < 28 or data[:6] != b"\x00\x01\x08\x00\x06\x04":
        return None
    return Arp(
        int.from_bytes(data[6:8], "big"),
        frames.mac_text(data[8:14]),
        IPv4Address(data[14:18]),
        frames.mac_text(data[18:24]),
        IPv4Address(data[24:28]),
    )


def parse_packet(data: bytes, depth: int = 0) -> Packet | None:
    """An IP packet; of later fragments only the header."""
    version = data[0] >> 4 if data else 0
    src: IpAddress
    dst: IpAddress
    if version == 4:
        size = (data[0] & 15) * 4
        if size < 20 or len(data) < size:
            return None
        total, protocol, ttl = int.from_bytes(data[2:4], "big"), data[9], data[8]
        src, dst = IPv4Address(data[12:16]), IPv4Address(data[16:20])
        end = total if size <= total <= len(data) else len(data)  # padding is not payload; a quoted packet is cut
        body = b"" if int.from_bytes(data[6:8], "big") & 0x1FFF else data[size:end]
    elif version == 6 and len(data) >= 40:
        protocol, ttl = data[6], data[7]
        src, dst = IPv6Address(data[8:24]), IPv6Address(data[24:40])
        protocol, body = _skip_extensions(protocol, data[40 : 40 + int.from_bytes(data[4:6], "big")])
    else:
        return None
    if protocol in {frames.ICMP, frames.ICMPV6} and len(body) >= 8:
        return _icmp(src, dst, protocol, ttl, body, depth)
    if protocol == frames.UDP and len(body) >= 8:
        source, port = struct.unpack("!HH", body[:4])
        return Packet(
            src=src, dst=dst, protocol=protocol, ttl=ttl, source_port=source, port=port, payload=body[8:]
        )  # fmt: skip
    if protocol == frames.TCP and len(body) >= 8:
        source, port, sequence = struct.unpack("!HHI", body[:8])
        acknowledged = int.from_bytes(body[8:12], "big")
        return Packet(
            src=src, dst=dst, protocol=protocol, ttl=ttl, source_port=source, port=port, tcp_sequence=sequence,
            tcp_acknowledged=acknowledged, tcp_flags=body[13] if len(body) > 13 else 0,
        )  # fmt: skip
    return Packet(src=src, dst=dst, protocol=protocol, ttl=ttl, payload=body)


def _skip_extensions(protocol: int, body: bytes) -> tuple[int, bytes]:
    while protocol in _EXTENSIONS and len(body) >= 8:
        size = 8 + body[1] * 8
        protocol, body = body[0], body[size:]
    return protocol, body


def _icmp(src: IpAddress, dst: IpAddress, protocol: int, ttl: int, body: bytes, depth: int) -> Packet:
    kind, code = body[0], body[1]
    is_error = kind in {3, 11, 12} if protocol == frames.ICMP else kind < 128
    is_neighbour = protocol == frames.ICMPV6 and kind in {frames.SOLICITATION, frames.ADVERTISEMENT}
    return Packet(
        src=src, dst=dst, protocol=protocol, ttl=ttl, type=kind, code=code,
        identifier=int.from_bytes(body[4:6], "big"),
        sequence=int.from_bytes(body[6:8], "big"),
        quoted=parse_packet(body[8:], depth + 1) if is_error and depth < 2 else None,
        neighbour=_neighbour(kind, body) if is_neighbour else None,
        payload=body[8:],
    )  # fmt: skip


def _neighbour(kind: int, body: bytes) -> Neighbour | None:
    if len(body) < 24:
        return None
    wanted, link, options = (1 if kind == frames.SOLICITATION else 2), None, body[24:]
    while len(options) >= 8 and options[1]:
        if options[0] == wanted and options[1] == 1:
            link = frames.mac_text(options[2:8])
        options = options[options[1] * 8 :]
    return Neighbour(kind == frames.SOLICITATION, IPv6Address(body[8:24]), link)


def parse_dhcp(payload: bytes) -> Dhcp | None:
    """A DHCP message from the payload of its UDP datagram; options that are cut short are left out."""
    if len(payload) < 240 or payload[236:240] != frames.DHCP_COOKIE or payload[1:3] != b"\x01\x06":
        return None
    options: dict[int, bytes] = {}
    rest = payload[240:]
    while rest and rest[0] != 255:
        if rest[0] == 0:
            rest = rest[1:]
            continue
        if len(rest) < 2 or len(rest) < 2 + rest[1]:
            break
        options[rest[0]] = options.get(rest[0], b"") + rest[2 : 2 + rest[1]]  # long options come in parts (RFC 3396)
        rest = rest[2 + rest[1] :]
    return Dhcp(
        is_reply=payload[0] == 2,
        xid=int.from_bytes(payload[4:8], "big"),
        mac=frames.mac_text(payload[28:34]),
        yours=IPv4Address(payload[16:20]),
        type=options.get(frames.OPT_TYPE, b"\0")[0] if options.get(frames.OPT_TYPE) else 0,
        options=options,
    )
