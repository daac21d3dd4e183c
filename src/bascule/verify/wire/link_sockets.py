"""Frames sent by links of this host, and what comes in by these meanwhile; each check has its own questions."""

from __future__ import annotations

import contextlib
import os
import socket
import time
from collections.abc import Iterable, Iterator, Mapping
from ipaddress import IPv4Address, IPv6Address
from typing import Self, TypeGuard

from msgspec import Struct

from bascule.frames import bpf
from bascule.frames.codecs import arp, icmp
from bascule.model.state import Link
from bascule.model.values import IfName, IpAddress
from bascule.system.net.packet import open_packet, open_sender
from bascule.system.net.sockets import close_all

LISTEN_S = 1.0  # after everybody was asked to speak
UNSPECIFIED = IPv4Address(0)  # the sender of an ARP probe


class LinkQuestions(Struct, frozen=True):
    """What is sent by a link, and the filter for what comes in by it."""

    program: tuple[bpf.Instruction, ...]
    frames: tuple[bytes, ...]


class LinkSockets:
    """A socket on each link, in the namespace that we are in. A context manager: it asks on entry."""

    def __init__(self, questions: Mapping[IfName, LinkQuestions]) -> None:
        self._questions = questions
        self._sockets: dict[IfName, socket.socket] = {}
        self._began = 0.0

    def __enter__(self) -> Self:
        """Listen, and let everybody out there speak. Raises NotPermitted."""
        if not self._questions:
            return self
        with open_sender() as sender:
            for link, asked in self._questions.items():
                with contextlib.suppress(OSError):  # it is gone meanwhile
                    self._sockets[link] = open_packet(link, asked.program)
                    for frame in asked.frames:
                        sender.sendto(frame, (link, 0))
        self._began = time.monotonic()
        return self

    def __exit__(self, *_: object) -> None:
        close_all([*self._sockets.values()])

    def received(self) -> Iterator[tuple[IfName, Iterator[bytes]]]:
        """The frames that came in by each link, after LISTEN_S at least."""
        if self._sockets:
            time.sleep(max(0.0, self._began + LISTEN_S - time.monotonic()))
        for link, sock in self._sockets.items():
            yield link, waiting(sock)


def waiting(sock: socket.socket) -> Iterator[bytes]:
    """What waits in a socket; the link may have gone."""
    while True:
        try:
            yield sock.recv(bpf.SNAPLEN)
        except OSError:
            return


def can_ask(link: Link | None) -> TypeGuard[Link]:
    """Whether the host itself speaks on a link that is there and works."""
    return link is not None and link.master is None and link.mac is not None and link.up and bool(link.facts.carrier)


def address_probes(mac: bytes, addresses: Iterable[IpAddress]) -> Iterator[bytes]:
    """ARP probes (RFC 5227), and neighbour solicitations from an address that nobody has."""
    nobody = IPv6Address(b"\xfe\x80" + bytes(6) + os.urandom(8))
    for address in addresses:
        if isinstance(address, IPv4Address):
            yield arp.build(arp.REQUEST, mac, UNSPECIFIED, address)
        else:
            yield icmp.solicitation(mac, nobody, address)
