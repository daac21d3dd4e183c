"""DHCP for IPv4: messages (RFC 2131) and options (RFC 2132)."""

from __future__ import annotations

import struct
from collections.abc import Iterable, Mapping
from ipaddress import IPv4Address

from msgspec import Struct, field

from bascule.frames.codecs import ethernet, ip
from bascule.model.values import Mac

DISCOVER, OFFER, REQUEST, DECLINE, ACK, NAK, RELEASE = 1, 2, 3, 4, 5, 6, 7
COOKIE = b"\x63\x82\x53\x63"  # RFC 2131 section 3
MASK, ROUTER, HOSTNAME, DOMAIN = 1, 3, 12, 15
ADDRESS, LEASE, TYPE, SERVER, WISHES, CLIENT_ID, RELAY_AGENT = 50, 51, 53, 54, 55, 61, 82
SERVER_PORT, CLIENT_PORT = 67, 68
FIXED = 240  # bytes before the options, with the cookie


class DhcpMessage(Struct, frozen=True, kw_only=True):
    """A DHCP message.

    ``yours`` is the address that a server offers, ``client`` one that the client has already, ``relay`` the agent that
    forwarded the message.
    """

    is_reply: bool
    xid: int
    mac: Mac
    client: IPv4Address
    yours: IPv4Address
    relay: IPv4Address
    type: int
    options: dict[int, bytes] = field(default_factory=dict)
    cut: int | None = None  # the option that overruns the message

    @property
    def server(self) -> IPv4Address | None:
        """The server's identifier (option 54)."""
        return self.address(SERVER)

    @property
    def mask(self) -> bytes | None:
        """The netmask (option 1) where it has four bytes."""
        value = self.options.get(MASK, b"")
        return value if len(value) == 4 else None

    def address(self, option: int) -> IPv4Address | None:
        """The first address in an option."""
        return next(iter(self.addresses(option)), None)

    def addresses(self, option: int) -> tuple[IPv4Address, ...]:
        """All addresses in an option."""
        data = self.options.get(option, b"")
        return tuple(IPv4Address(data[at : at + 4]) for at in range(0, len(data) - 3, 4))


def build(
    message: int,
    xid: int,
    mac: bytes,
    options: Mapping[int, bytes] | Iterable[tuple[int, bytes]] = (),
    *,
    client: IPv4Address | None = None,
) -> bytes:
    """The UDP payload of a client's message, with its type and ``options``."""
    pairs = options.items() if isinstance(options, Mapping) else options
    head = struct.pack("!BBBBIHH", 1, 1, 6, 0, xid, 0, 0)
    addresses = (client or IPv4Address(0)).packed + bytes(12)
    body = head + addresses + mac + bytes(10 + 64 + 128) + COOKIE + bytes((TYPE, 1, message))
    body += b"".join(bytes((code, len(value))) + value for code, value in pairs) + b"\xff"
    return body.ljust(300, b"\0")  # shorter ones are dropped by old relays (RFC 1542, 2.1)


def question(kind: int, xid: int, mac: bytes, wishes: bytes, *more: tuple[int, bytes]) -> bytes:
    """A client's message as a broadcast frame from 0.0.0.0: it goes by its MAC, and asks for the options ``wishes``."""
    payload = build(kind, xid, mac, [(CLIENT_ID, b"\x01" + mac), (WISHES, wishes), *more])
    nobody, everybody = IPv4Address(0), IPv4Address("255.255.255.255")
    packet = ip.packet(nobody, everybody, ip.UDP, ip.udp(nobody, everybody, CLIENT_PORT, SERVER_PORT, payload))
    return ethernet.frame(ethernet.BROADCAST, mac, ethernet.IPV4, packet)


def read(payload: bytes) -> DhcpMessage | None:
    """A message from the payload of its UDP datagram; options that are cut short are left out."""
    if len(payload) < FIXED or payload[236:240] != COOKIE:
        return None
    options, cut = _options(payload)
    return DhcpMessage(
        is_reply=payload[0] == 2,
        xid=int.from_bytes(payload[4:8], "big"),
        mac=ethernet.mac_text(payload[28:34]),
        client=IPv4Address(payload[12:16]),
        yours=IPv4Address(payload[16:20]),
        relay=IPv4Address(payload[24:28]),
        type=options[TYPE][0] if options.get(TYPE) else 0,
        options=options,
        cut=cut,
    )


def _options(payload: bytes) -> tuple[dict[int, bytes], int | None]:
    """Options by number, and the one that overruns; a repeated one is one long one (RFC 3396)."""
    found: dict[int, bytes] = {}
    at = FIXED
    while at < len(payload) and payload[at] != 255:
        code = payload[at]
        if code == 0:
            at += 1
            continue
        if at + 2 > len(payload) or at + 2 + payload[at + 1] > len(payload):
            return found, code
        size = payload[at + 1]
        found[code] = found.get(code, b"") + payload[at + 2 : at + 2 + size]
        at += 2 + size
    return found, None
