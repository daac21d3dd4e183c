"""DHCP for IPv4: a server that offers says subnet and way out; a relay says who it is."""

from __future__ import annotations

from bascule.survey.decoders._decoder import Decoder, Malformed, Packet, ip4, prefix4, text
from bascule.survey.findings import Finding, Findings, Gateway, Name, Remark, Server, Subnet

COOKIE = b"\x63\x82\x53\x63"
OFFER, ACK = 2, 5
NOBODY = "0.0.0.0"


def options(body: bytes, offset: int) -> dict[int, bytes]:
    """Options by number; a repeated one is one long one (RFC 3396)."""
    found: dict[int, bytes] = {}
    while offset < len(body):
        code = body[offset]
        if code == 255:
            break
        if code == 0:
            offset += 1
            continue
        if offset + 2 > len(body) or offset + 2 + body[offset + 1] > len(body):
            raise Malformed(f"has option {code} that overruns the frame")
        size = body[offset + 1]
        found[code] = found.get(code, b"") + body[offset + 2 : offset + 2 + size]
        offset += 2 + size
    return found


def decode(packet: Packet) -> Findings:
    """Offers and acknowledgements; requests only show that somebody asks."""
    body = packet.body
    if len(body) < 240:
        raise Malformed("is shorter than its fixed part")
    if body[236:240] != COOKIE:
        raise Malformed("lacks DHCP's magic cookie")
    said = options(body, 240)
    found: list[Finding] = []
    relay = ip4(body[24:28])
    if relay != NOBODY:
        found.append(Server("DHCP relay", relay))
    if 82 in said:
        found.append(Remark("dhcp", f"relay agent information (option 82): {_agent(said[82])}"))
    kind = said.get(53, b"\0")[0] if said.get(53) else 0
    if body[0] != 2 or kind not in (OFFER, ACK):
        return tuple(found) if body[0] == 2 or found else (Remark("dhcp", "a client asks for an address"),)
    if len(said.get(54, b"")) == 4:
        found.append(Server("DHCP server", ip4(said[54])))
    given = ip4(body[16:20])
    if len(said.get(1, b"")) == 4 and given != NOBODY:
        found.append(Subnet(prefix4(given, ip4(said[1])), "DHCP"))
    routers = said.get(3, b"")
    found += [Gateway(ip4(routers[at : at + 4]), "DHCP") for at in range(0, len(routers) // 4 * 4, 4)]
    if 15 in said:
        found.append(Name(text(said[15]), "DHCP domain"))
    return tuple(found)


def _agent(value: bytes) -> str:
    words = []
    offset = 0
    while offset + 2 <= len(value) and offset + 2 + value[offset + 1] <= len(value):
        kind, data = value[offset], value[offset + 2 : offset + 2 + value[offset + 1]]
        label = {1: "circuit", 2: "remote"}.get(kind, f"sub-option {kind}")
        printable = data.isascii() and data.decode("ascii").isprintable()
        words.append(f"{label} {text(data) if printable else data.hex()}")
        offset += 2 + len(data)
    return ", ".join(words) or "empty"


DECODER = Decoder(
    name="dhcp4",
    title="DHCPv4",
    keys=(("udp", 67), ("udp", 68)),
    where="UDP ports 67 and 68",
    proves="an offer or acknowledgement: subnet, router, server, domain; giaddr and option 82: the relay",
    weight="strong; replies that are sent to one client only are not heard",
    source="RFC 2131, RFC 2132, RFC 3046",
    decode=decode,
)
