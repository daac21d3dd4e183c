"""DHCP for IPv4: a server that offers says subnet and way out; a relay says who it is."""

from __future__ import annotations

from bascule.frames.codecs import dhcp, ethernet
from bascule.frames.codecs.ip import address_text
from bascule.frames.decoder import Decoder, Malformed, Packet, prefix4, text
from bascule.frames.findings import Finding, Findings, Gateway, HeardServer, Name, Remark, Subnet


def decode(packet: Packet) -> Findings:
    """Offers and acknowledgements; requests only show that somebody asks."""
    said = dhcp.read(packet.body)
    if said is None:
        raise Malformed("lacks DHCP's magic cookie")
    if said.cut is not None and not packet.is_cut:
        raise Malformed(f"has option {said.cut} that overruns the frame")
    found: list[Finding] = []
    if int(said.relay):
        found.append(HeardServer("DHCP relay", str(said.relay)))
    if (agent := said.options.get(dhcp.RELAY_AGENT)) is not None:
        found.append(Remark("dhcp", f"relay agent information (option 82): {_agent(agent)}"))
    if not said.is_reply or said.type not in (dhcp.OFFER, dhcp.ACK):
        return tuple(found) if said.is_reply or found else (Remark("dhcp", "a client asks for an address"),)
    if packet.ports[1] == dhcp.SERVER_PORT:  # to a relay, whose client is on another wire
        return tuple(found)
    if not int(said.yours) and said.type == dhcp.OFFER:  # a boot server beside the one that gives addresses (PXE 2.1)
        return (*found, Remark("dhcp", f"a boot server (PXE) answers: {said.server or packet.ip_src}"))
    if not packet.is_to_group and packet.dst != ethernet.mac_bytes(said.mac):  # on its way to a client elsewhere
        return tuple(found)
    if said.server is not None:
        found.append(HeardServer("DHCP server", str(said.server)))
    given = said.yours if int(said.yours) else said.client  # an answer to DHCPINFORM gives no address
    if said.mask is not None and int(given):
        found.append(Subnet(prefix4(str(given), address_text(said.mask)), "DHCP"))
    found += [Gateway(str(router), "DHCP") for router in said.addresses(dhcp.ROUTER)]
    if dhcp.DOMAIN in said.options:
        found.append(Name(text(said.options[dhcp.DOMAIN]), "DHCP domain"))
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
    header=dhcp.FIXED,
    where="UDP ports 67 and 68",
    proves="an offer or acknowledgement: subnet, router, server, domain; giaddr and option 82: the relay",
    weight="strong; replies that are sent to one client only are not heard",
    source="RFC 2131, RFC 2132, RFC 3046",
    decode=decode,
)
