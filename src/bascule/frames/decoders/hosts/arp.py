"""ARP: who is on this subnet, and whom they ask for."""

from __future__ import annotations

from bascule.frames.codecs.arp import REQUEST, SIZE, fields
from bascule.frames.codecs.ip import address_text
from bascule.frames.decoder import Decoder, Malformed, Packet
from bascule.frames.findings import Asks, Findings, Gateway, Sender
from bascule.frames.vendors import virtual_gateway


def decode(packet: Packet) -> Findings:
    """The sender, and for a request whom it takes for a neighbour; probes and 169.254/16 are mute."""
    found = fields(packet.body)
    if found is None:
        is_short = len(packet.body) < SIZE
        raise Malformed("is shorter than an ARP packet for Ethernet and IPv4" if is_short else "is not for IPv4")
    operation, _, own, _, wanted = found
    sender, target = address_text(own), address_text(wanted)
    if sender.startswith(("0.", "127.", "169.254.")):
        return ()
    heard: Findings = (Sender(sender, "ARP"),)
    if (shared := virtual_gateway(packet.src)) is not None:
        heard = (Gateway(sender, shared.protocol, f"group {shared.group}"),)
    return (*heard, Asks(sender, target)) if operation == REQUEST and target != sender else heard


DECODER = Decoder(
    name="arp",
    title="ARP",
    keys=(("ether", 0x0806),),
    where="EtherType 0x0806",
    proves="the sender's address; whom it asks is on its subnet; the most asked one is the gateway",
    weight="medium: from three senders on; probes (0.0.0.0) and 169.254/16 do not count",
    source="RFC 826, RFC 5227",
    decode=decode,
)
