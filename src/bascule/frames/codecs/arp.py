"""ARP for IPv4 over Ethernet (RFC 826), and its reverse (RFC 903)."""

from __future__ import annotations

from ipaddress import IPv4Address

from msgspec import Struct

from bascule.frames.codecs import ethernet
from bascule.model.values import Mac

REQUEST, REPLY, REVERSE_REQUEST = 1, 2, 3
SIZE = 28
HEADS = (b"\x00\x01\x08\x00\x06\x04", b"\x00\x06\x08\x00\x06\x04")  # Ethernet, IEEE 802 (RFC 1042); IPv4; sizes


class Arp(Struct, frozen=True):
    """An ARP request or reply."""

    operation: int
    sender_mac: Mac
    sender: IPv4Address
    target: IPv4Address


def build(
    operation: int,
    sender_mac: bytes,
    sender: IPv4Address,
    target: IPv4Address,
    *,
    target_mac: bytes = ethernet.UNKNOWN,
    dst: bytes = ethernet.BROADCAST,
    answer_to: bytes = b"",
) -> bytes:
    """The whole frame. ``dst`` may be one MAC: a neighbour is probed by unicast (RFC 1122, 2.3.2.1).

    ``answer_to`` is the sender's MAC as ARP says it, where that is not the frame's: whoever answers sends it there.
    """
    head = HEADS[0] + operation.to_bytes(2, "big")
    body = head + (answer_to or sender_mac) + sender.packed + target_mac + target.packed
    return ethernet.frame(dst, sender_mac, ethernet.ARP, body)


def reverse_request(mac: bytes, about: bytes = b"") -> bytes:
    """The broadcast frame of a reverse ARP request for one's own address; ``about`` is another MAC that it names."""
    asked = about or mac
    body = HEADS[0] + REVERSE_REQUEST.to_bytes(2, "big") + asked + bytes(4) + asked + bytes(4)
    return ethernet.frame(ethernet.BROADCAST, mac, ethernet.REVERSE_ARP, body)


def parties(body: bytes) -> tuple[int, bytes, bytes] | None:
    """Operation, sender's and target's address as bytes; None for other hardware or protocols."""
    if len(body) < SIZE or body[:6] not in HEADS:
        return None
    return body[7], body[14:18], body[24:28]


def read(body: bytes) -> Arp | None:
    """The packet as values."""
    found = parties(body)
    if found is None:
        return None
    operation, sender, target = found
    mac = ethernet.mac_text
    return Arp(operation, mac(body[8:14]), IPv4Address(sender), IPv4Address(target))
