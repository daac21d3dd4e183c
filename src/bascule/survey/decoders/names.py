"""mDNS, LLMNR and NetBIOS names: how hosts call themselves, and from which address."""

from __future__ import annotations

import struct

from bascule.survey.decoders._decoder import Decoder, Malformed, Packet, text
from bascule.survey.findings import Finding, Findings, Name, Sender

HOW = {5353: "mDNS", 5355: "LLMNR", 137: "NBNS"}
ADDRESS, ADDRESS6, NETBIOS = 1, 28, 32
REGISTRATION = 5


def decode(packet: Packet) -> Findings:
    """The sender, and the host's name where the message states it (an answer or a registration)."""
    how = HOW[packet.key[1]]
    body = packet.body
    if len(body) < 12:
        raise Malformed("is shorter than its header")
    flags, questions, answers = struct.unpack_from("!HHH", body, 2)
    found: list[Finding] = []
    if packet.ip_src and not packet.ip_src.startswith(("0.", "169.254.", "fe80:", "::")):
        found.append(Sender(packet.ip_src, how))
    if how == "NBNS":
        if flags >> 11 & 15 == REGISTRATION and questions:
            found.append(Name(_netbios(_name(body, 12)[0]), how))
        return tuple(found)
    if flags & 0x8000 and answers:
        offset = 12
        for _ in range(min(questions, 16)):
            offset = _name(body, offset)[1] + 4
        for _ in range(min(answers, 16)):
            name, offset = _name(body, offset)
            if offset + 10 > len(body):
                raise Malformed("has an answer that overruns the frame")
            kind, length = struct.unpack_from("!H6xH", body, offset)
            offset += 10 + length
            if kind in (ADDRESS, ADDRESS6):
                found.append(Name(name, how))
    return tuple(dict.fromkeys(found))


def _name(body: bytes, offset: int) -> tuple[str, int]:
    """A domain name and where the message goes on; pointers may lead backwards only, so it always ends."""
    labels: list[str] = []
    after = None
    while True:
        if offset >= len(body):
            raise Malformed("has a name that overruns the frame")
        size = body[offset]
        if size >= 0xC0:
            if offset + 2 > len(body):
                raise Malformed("has a name that overruns the frame")
            target = (size & 0x3F) << 8 | body[offset + 1]
            after = offset + 2 if after is None else after
            if target >= offset:
                raise Malformed("has a name whose pointer does not lead backwards")
            offset = target
        elif size > 63:
            raise Malformed("has a name with an impossible label")
        elif size == 0:
            return ".".join(labels), offset + 1 if after is None else after
        else:
            if len(labels) > 127:
                raise Malformed("has a name with more than 127 labels")
            labels.append(text(body[offset + 1 : offset + 1 + size], 63))
            offset += 1 + size


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
    where="UDP ports 5353, 5355 and 137",
    proves="a sender's address, hosts' names",
    weight="weak, additive",
    source="RFC 6762, RFC 4795, RFC 1002",
    decode=decode,
)
