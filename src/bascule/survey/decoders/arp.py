"""ARP: who is on this subnet, and whom they ask for."""

from __future__ import annotations

from socket import inet_ntoa

from bascule.survey.decoders._decoder import Decoder, Malformed, Packet
from bascule.survey.findings import Asks, Findings, Sender

ETHERNET_IPV4 = b"\x00\x01\x08\x00\x06\x04"  # hardware, protocol and the sizes of their addresses
REQUEST = b"\x00\x01"


def decode(packet: Packet) -> Findings:
    """The sender, and for a request whom it takes for a neighbour; probes and 169.254/16 are mute."""
    body = packet.body
    if len(body) < 28:
        raise Malformed("is shorter than an ARP packet for Ethernet and IPv4")
    if body[:6] != ETHERNET_IPV4:
        raise Malformed("is not ARP for Ethernet and IPv4")
    sender, target = inet_ntoa(body[14:18]), inet_ntoa(body[24:28])
    if sender == "0.0.0.0" or sender.startswith("169.254."):
        return ()
    heard = Sender(sender, "ARP")
    return (heard, Asks(sender, target)) if body[6:8] == REQUEST and target != sender else (heard,)


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
