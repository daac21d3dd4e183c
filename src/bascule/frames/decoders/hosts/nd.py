"""IPv6 router and neighbour discovery."""

from __future__ import annotations

from bascule.frames.decoder import Decoder, Malformed, Packet, domains, ip6, prefix6
from bascule.frames.findings import Finding, Findings, Gateway, Name, Remark, Sender, Subnet

SOLICIT_ROUTER, ADVERTISE_ROUTER, SOLICIT, ADVERTISE, REDIRECT = 133, 134, 135, 136, 137
FIXED = {SOLICIT_ROUTER: 8, ADVERTISE_ROUTER: 16, SOLICIT: 24, ADVERTISE: 24, REDIRECT: 40}


def decode(packet: Packet) -> Findings:
    """A router's prefixes, MTU and name servers; the address of whoever is sought or seeks."""
    body = packet.body
    kind = body[0]
    if len(body) < FIXED[kind]:
        raise Malformed("is shorter than its fixed part")
    found: list[Finding] = []
    if kind == ADVERTISE_ROUTER:
        found = _router(packet, body)
    elif kind == ADVERTISE:
        found = _sender(ip6(body[8:24]))
    elif kind in (SOLICIT, SOLICIT_ROUTER):
        found = _sender(packet.ip_src)
    return tuple(found)


def _router(packet: Packet, body: bytes) -> list[Finding]:
    found: list[Finding] = []
    if body[6] << 8 | body[7]:  # a router lifetime of 0 is no default router
        found.append(Gateway(packet.ip_src, "RA"))
    offset = 16
    while offset + 2 <= len(body):
        option, size = body[offset], body[offset + 1] * 8
        if size == 0 or offset + size > len(body):
            raise Malformed(f"has option {option} that overruns the frame")
        value = body[offset : offset + size]
        if option == 3 and size == 32 and _is_usable(value):
            found.append(Subnet(prefix6(value[16:32], value[2]), "RA"))
        elif option == 5 and size == 8:
            found.append(Remark("ra", f"the router asks for an MTU of {int.from_bytes(value[4:8], 'big')} bytes"))
        elif option == 25:
            servers = [ip6(value[at : at + 16]) for at in range(8, size - 15, 16)]
            found.append(Remark("ra", f"name servers {', '.join(servers[:4])}"))
        elif option == 31:
            found += [Name(name, "RA domain") for name in domains(value[8:])]
        offset += size
    return found


def _is_usable(prefix: bytes) -> bool:
    """Whether a prefix is on-link or autonomous, not withdrawn (lifetime 0), and neither link-local nor a group's."""
    is_here = bool(prefix[3] & 0xC0) and prefix[4:8] != bytes(4)
    return (
        is_here
        and 8 <= prefix[2] <= 128
        and not ((prefix[16] == 0xFE and prefix[17] & 0xC0 == 0x80) or prefix[16] == 0xFF)
    )


def _sender(ip: str) -> list[Finding]:
    return [] if ip == "::" or ip.startswith(("fe80:", "ff")) else [Sender(ip, "ND")]


DECODER = Decoder(
    name="nd",
    title="IPv6 router and neighbour discovery",
    keys=tuple(("icmp6", kind) for kind in FIXED),
    where="ICMPv6 types 133 to 137",
    proves="a router advertisement: the prefix, the router, the MTU, the domain; the others: a sender's address",
    weight="decisive for the prefix (RA), medium for senders",
    source="RFC 4861, RFC 8106",
    decode=decode,
)
