"""DHCP for IPv6: servers, relays and the addresses that they give."""

from __future__ import annotations

from bascule.frames.decoder import Decoder, Malformed, Packet, domains, ip6, prefix6, tlvs
from bascule.frames.findings import Finding, Findings, HeardServer, Name, Remark, Subnet

ADVERTISE, REPLY, RELAY_FORWARD, RELAY_REPLY = 2, 7, 12, 13
IA_ADDRESS, RELAY_MESSAGE, DOMAINS = 5, 9, 24
IDENTITIES = {3: 12, 4: 4}  # IA_NA and IA_TA, and where their options begin


def decode(packet: Packet) -> Findings:
    """Advertisements and replies; those in a relay's envelope (at most 8 of them) only show server and relay."""
    found = _message(packet.body, packet.ip_src, depth=0, is_cut=packet.is_cut)
    if packet.ip is not None and packet.ip.dst[:1] not in (b"\xfe", b"\xff"):  # it may go to a client on another wire
        found = [said for said in found if type(said) is not Subnet]
    return tuple(found)


def _message(body: bytes, source: str, *, depth: int, is_cut: bool) -> list[Finding]:
    if len(body) < 4:
        raise Malformed("is shorter than its header")
    kind = body[0]
    if kind in (RELAY_FORWARD, RELAY_REPLY):
        if len(body) < 34 or depth > 8:
            raise Malformed("is shorter than a relay's header" if depth <= 8 else "is relayed more than 8 times")
        link = ip6(body[2:18])
        found: list[Finding] = [] if link == "::" else [HeardServer("DHCPv6 relay", link)]
        for code, value in tlvs(body, 34, header_counts=False, is_cut=is_cut):
            if code == RELAY_MESSAGE:
                found += _message(value, source, depth=depth + 1, is_cut=is_cut)
        return found
    if kind not in (ADVERTISE, REPLY):
        return [Remark("dhcp6", "a client asks for an IPv6 address")]
    found = [HeardServer("DHCPv6 server", source)] if source else []
    if depth:  # the client is on another wire
        return found
    for code, value in tlvs(body, 4, header_counts=False, is_cut=is_cut):
        if code in IDENTITIES and len(value) >= IDENTITIES[code]:
            for inner, data in tlvs(value, IDENTITIES[code], header_counts=False):
                if inner == IA_ADDRESS and len(data) >= 24:
                    found.append(Subnet(prefix6(data[:16], 64), "DHCPv6 address"))
        elif code == DOMAINS:
            found += [Name(name, "DHCPv6 domain") for name in domains(value)]
    return found


DECODER = Decoder(
    name="dhcp6",
    title="DHCPv6",
    keys=(("udp", 546), ("udp", 547)),
    where="UDP ports 546 and 547",
    proves="the server, the relay, the /64 of an address that is given, the domain",
    weight="strong; an address says nothing of its prefix length, /64 is assumed",
    source="RFC 8415, RFC 3646",
    decode=decode,
)
