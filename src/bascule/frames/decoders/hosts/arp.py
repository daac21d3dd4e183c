"""ARP: who is on this subnet, and whom they ask for."""

from __future__ import annotations

from bascule.frames.codecs.arp import REQUEST, SIZE, parties
from bascule.frames.codecs.ip import address_text
from bascule.frames.decoder import Decoder, Malformed, Packet
from bascule.frames.findings import Asks, Findings, Gateway, Sender
from bascule.frames.vendors import virtual_gateway

MUTE = (0, 127)  # the first byte of what is nobody's address


def decode(packet: Packet) -> Findings:
    """The sender, and for a request whom it takes for a neighbour; probes and 169.254/16 are mute."""
    found = parties(packet.body)
    if found is None:
        is_short = len(packet.body) < SIZE
        raise Malformed(
            "is shorter than an ARP packet for Ethernet and IPv4" if is_short else "is not for Ethernet and IPv4"
        )
    operation, own, wanted = found
    sender = address_text(own)
    if own[0] in MUTE or sender.startswith("169.254."):
        return ()
    shared = virtual_gateway(packet.src) if packet.src[:4] == "00:0" else None
    heard = Gateway(sender, shared.protocol, f"group {shared.group}") if shared else Sender(sender, "ARP")
    return (heard, Asks(sender, address_text(wanted))) if operation == REQUEST and own != wanted else (heard,)


DECODER = Decoder(
    name="arp",
    title="ARP",
    keys=(("ether", 0x0806),),
    where="EtherType 0x0806",
    proves="the sender's address; the address it asks for is on its subnet; the one asked for most is the gateway",
    weight="medium: three senders or more; probes (0.0.0.0) and 169.254/16 do not count",
    source="RFC 826, RFC 5227",
    decode=decode,
)
