"""mDNS, LLMNR and NetBIOS names: how hosts call themselves, and from which address."""

from __future__ import annotations

import struct
from collections.abc import Iterator

from bascule.frames.codecs import dns
from bascule.frames.decoder import Decoder, Malformed, Packet, text
from bascule.frames.findings import Finding, Findings, Name, Sender

HOW = {5353: "mDNS", 5355: "LLMNR", 137: "NBNS"}
REGISTRATION = 5
BROWSER = "__MSBROWSE__"


def decode(packet: Packet) -> Findings:
    """The sender, and the host's name where the message states it (an answer or a registration)."""
    how = HOW[packet.key[1]]
    body = packet.body
    flags, questions, answers = struct.unpack_from("!HHH", body, 2)
    found: list[Finding] = []
    if packet.ip_src and not packet.ip_src.startswith(("0.", "169.254.", "fe80:", "::")):
        found.append(Sender(packet.ip_src, how))
    if how == "NBNS":
        if flags >> 11 & 15 == REGISTRATION and questions:
            name = _netbios(_name(body, 12)[0])
            if BROWSER not in name:  # every master browser registers it
                found.append(Name(name, how))
        return tuple(found)
    if flags & 0x8000 and answers:
        try:
            found += [Name(name, how) for name in _answers(body, min(questions, 16), min(answers, 16))]
        except Malformed:
            if not packet.is_cut:  # who sent it stands before the cut
                raise
    return tuple(dict.fromkeys(found))


def _answers(body: bytes, questions: int, answers: int) -> Iterator[str]:
    """The names to which addresses are given."""
    offset = 12
    for _ in range(questions):
        offset = _name(body, offset)[1] + 4
    for _ in range(answers):
        name, offset = _name(body, offset)
        if offset + 10 > len(body):
            raise Malformed("has an answer that overruns the frame")
        kind, length = struct.unpack_from("!H6xH", body, offset)
        offset += 10 + length
        if kind in (dns.A, dns.AAAA):
            yield name


def _name(body: bytes, offset: int) -> tuple[str, int]:
    try:
        labels, offset = dns.name(body, offset)
    except ValueError as wrong:
        raise Malformed(str(wrong)) from wrong
    return ".".join(text(label, 63) for label in labels), offset


def _netbios(name: str) -> str:
    """RFC 1001: every byte of the name is written as two letters from A to P."""
    half = name.split(".", maxsplit=1)[0]
    if len(half) != 32 or not all("A" <= letter <= "P" for letter in half):
        raise Malformed("has a NetBIOS name that is not written in RFC 1001's letters")
    pairs = zip(half[::2], half[1::2], strict=True)
    return text(bytes((ord(a) - 65) << 4 | (ord(b) - 65) for a, b in pairs)[:15]).strip()


DECODER = Decoder(
    name="names",
    title="mDNS, LLMNR, NBNS",
    keys=(("udp", 5353), ("udp", 5355), ("udp", 137)),
    header=12,
    where="UDP ports 5353, 5355 and 137",
    proves="a sender's address, hosts' names",
    weight="weak, additive",
    source="RFC 6762, RFC 4795, RFC 1002",
    decode=decode,
)
