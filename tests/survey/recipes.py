"""Frames from recipes: what a capture of the corpus is written in (``tests/survey/corpus``)."""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator, Mapping, Sequence
from ipaddress import IPv4Address, ip_address
from typing import Any

from bascule.frames.codecs import dhcp, ethernet, ip
from bascule.model.values import IpAddress
from tests.survey import frames
from tests.survey.hearing import many

Recipe = Mapping[str, Any]


def ether(*, src: str, dst: str = "ff:ff:ff:ff:ff:ff", kind: int, body: str = "", tags: Sequence[int] = ()) -> bytes:
    """A frame with an EtherType and a body in hexadecimal digits."""
    mac = ethernet.mac_bytes
    return ethernet.frame(mac(dst), mac(src), kind, bytes.fromhex(body), tuple(tags)).ljust(60, b"\0")


def packet(
    *, src: str, dst: str, protocol: int, body: str = "", payload: bytes = b"", mac: str, to: str = "ff:ff:ff:ff:ff:ff"
) -> bytes:
    """An IP packet, IPv4 or IPv6."""
    source, target = ip_address(src), ip_address(dst)
    kind = ethernet.IPV4 if source.version == 4 else ethernet.IPV6
    inner = ip.packet(source, target, protocol, payload or bytes.fromhex(body))
    return ethernet.frame(ethernet.mac_bytes(to), ethernet.mac_bytes(mac), kind, inner)


def udp(
    *, src: str, dst: str, sport: int, dport: int, mac: str, to: str = "ff:ff:ff:ff:ff:ff", body: str = ""
) -> bytes:
    """A UDP datagram."""
    source, target = ip_address(src), ip_address(dst)
    return packet(src=src, dst=dst, protocol=ip.UDP, payload=_udp(source, target, sport, dport, body), mac=mac, to=to)


def _udp(source: IpAddress, target: IpAddress, sport: int, dport: int, body: str) -> bytes:
    return ip.udp(source, target, sport, dport, bytes.fromhex(body) or b"data")


def dhcp_reply(
    *,
    kind: int = dhcp.ACK,
    src: str,
    dst: str = "255.255.255.255",
    dport: int = 68,
    mac: str,
    to: str = "ff:ff:ff:ff:ff:ff",
    yours: str = "0.0.0.0",
    client: str = "0.0.0.0",
    relay: str = "0.0.0.0",
    mask: str = "255.255.255.0",
    router: str = "",
) -> bytes:
    """A server's offer or acknowledgement."""
    options = [(dhcp.SERVER, IPv4Address(src).packed), (dhcp.MASK, IPv4Address(mask).packed)]
    if router:
        options.append((dhcp.ROUTER, IPv4Address(router).packed))
    message = bytearray(dhcp.build(kind, 7, b"\x52\x54\0\0\0\x09", options, client=IPv4Address(client)))
    message[0] = 2
    message[16:20], message[24:28] = IPv4Address(yours).packed, IPv4Address(relay).packed
    return udp(src=src, dst=dst, sport=67, dport=dport, mac=mac, to=to, body=message.hex())


BUILDERS: Mapping[str, Callable[..., bytes | Sequence[bytes]]] = {
    "arp": frames.arp,
    "bpdu": frames.bpdu,
    "cdp": frames.cdp,
    "cisco": lambda code, body, **rest: frames.cisco(code, bytes.fromhex(body), **rest),
    "dhcp_reply": dhcp_reply,
    "ether": ether,
    "hex": bytes.fromhex,
    "lacp": frames.lacp,
    "lldp": frames.lldp,
    "many": many,
    "packet": packet,
    "pvst": frames.pvst,
    "ra": frames.ra,
    "udp": udp,
}


def sll(frame: bytes, *, hardware: int = 1, kind: int = 1) -> bytes:
    """A record of LINKTYPE_LINUX_SLL: who it was to (1: everybody, 4: it went out), hardware, sender, EtherType."""
    protocol = frame[12:14] if frame[12:14] >= b"\6\0" else b"\0\4"
    return struct.pack("!HHH", kind, hardware, 6) + frame[6:12] + bytes(2) + protocol + frame[14:]


def sll2(frame: bytes, *, hardware: int = 1, kind: int = 1, link: int = 2) -> bytes:
    """A record of LINKTYPE_LINUX_SLL2, which also says the number of the link."""
    protocol = frame[12:14] if frame[12:14] >= b"\6\0" else b"\0\4"
    return protocol + struct.pack("!HIHBB", 0, link, hardware, kind, 6) + frame[6:12] + bytes(2) + frame[14:]


def capture(form: str, *, link: int = 1, snaplen: int = 65535, **given: Any) -> bytes:
    """A file: ``pcap``, cut at ``snaplen``; ``sll`` and ``sll2`` of ``records``; ``pcapng`` of ``interfaces``."""
    if form == "pcapng":
        return _pcapng({name: list(build(recipes)) for name, recipes in given["interfaces"].items()}, link)
    if form in ("sll", "sll2"):
        link, cook = (113, sll) if form == "sll" else (276, sll2)
        whole = [
            cook(frame, **{key: part[key] for key in part if key != "frames"})
            for part in given["records"]
            for frame in build(part["frames"])
        ]
    else:
        whole = list(build(given["frames"]))
    data = struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, snaplen, link)
    for number, frame in enumerate(whole):
        data += struct.pack("<IIII", 1_700_000_000 + number, 0, len(frame[:snaplen]), len(frame)) + frame[:snaplen]
    return data


def _pcapng(interfaces: Mapping[str, Sequence[bytes]], link: int) -> bytes:
    def block(kind: int, body: bytes) -> bytes:
        body += bytes(-len(body) % 4)
        return struct.pack("<II", kind, len(body) + 12) + body + struct.pack("<I", len(body) + 12)

    data = block(0x0A0D0D0A, struct.pack("<IHHq", 0x1A2B3C4D, 1, 0, -1))
    for name in interfaces:
        option = struct.pack("<HH", 2, len(name)) + name.encode() + bytes(-len(name) % 4)
        data += block(1, struct.pack("<HHI", link, 0, 0) + (option + bytes(4) if name != "-" else b""))
    for number, sent in enumerate(interfaces.values()):
        for frame in sent:
            data += block(6, struct.pack("<IIIII", number, 0, 5, len(frame), len(frame)) + frame)
    return data


def build(recipes: Sequence[Recipe]) -> Iterator[bytes]:
    """The frames of some recipes, each ``{builder: arguments}``, with ``times`` beside it where it comes often."""
    for recipe in recipes:
        name = next(key for key in recipe if key != "times")
        given = recipe[name]
        tags = {"tags": tuple(given["tags"])} if isinstance(given, Mapping) and "tags" in given else {}
        made = BUILDERS[name](**{**given, **tags}) if isinstance(given, Mapping) else BUILDERS[name](*given)
        for _ in range(recipe.get("times", 3)):
            yield from [made] if isinstance(made, bytes) else made
