"""Neighbour entries of a namespace, set and taken away by netlink: hundreds for each random host."""

from __future__ import annotations

import socket
import struct

from bascule.system.net.netns import Namespace

NEW, DELETE = 28, 29  # RTM_NEWNEIGH, RTM_DELNEIGH
REQUEST, ACK, REPLACE, CREATE = 1, 4, 0x100, 0x400
PERMANENT, DESTINATION, MAC = 0x80, 1, 2  # NUD_PERMANENT, NDA_DST, NDA_LLADDR


class Neighbours:
    """The entries of one namespace."""

    def __init__(self, namespace: Namespace) -> None:
        with namespace.entered():
            self._socket = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE)
            self._indexes = {name: index for index, name in socket.if_nameindex()}

    def set(self, link: str, address: str, mac: str) -> None:
        """Make an entry for good."""
        lladdr = bytes.fromhex(mac.replace(":", ""))
        self._send(NEW, REQUEST | ACK | REPLACE | CREATE, link, address, struct.pack("=HH", 10, MAC) + lladdr + b"\0\0")

    def forget(self, link: str, address: str) -> None:
        """Take an entry away, if it is there."""
        self._send(DELETE, REQUEST | ACK, link, address, b"")

    def _send(self, kind: int, flags: int, link: str, address: str, more: bytes) -> None:
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        packed = socket.inet_pton(family, address)
        body = struct.pack("=BBHiHBB", family, 0, 0, self._indexes[link], PERMANENT, 0, 0)
        body += struct.pack("=HH", 4 + len(packed), DESTINATION) + packed + more
        self._socket.send(struct.pack("=IHHII", 16 + len(body), kind, flags, 1, 0) + body)
        self._socket.recv(4096)

    def close(self) -> None:
        """Close the socket."""
        self._socket.close()
