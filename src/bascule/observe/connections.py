"""Who is connected with this host by TCP, and where it takes connections: read from /proc, without a program."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from ipaddress import IPv4Address, IPv6Address
from pathlib import Path

from bascule.model.values import IpAddress, unmapped

NET = Path("/proc/thread-self/net")  # of the namespace that this thread is in
ESTABLISHED, CLOSE, LISTEN = "01", "07", "0A"  # include/net/tcp_states.h; a UDP socket without a peer is closed


def served() -> frozenset[tuple[str, int]]:
    """Protocol and port of all on which somebody takes what comes from outside."""
    found = (("tcp", end) for end, _, state in _sockets("tcp", "tcp6") if state == LISTEN)
    unconnected = (("udp", end) for end, _, state in _sockets("udp", "udp6") if state == CLOSE)
    return frozenset((name, port) for name, (address, port) in (*found, *unconnected) if not address.is_loopback)


def incoming() -> dict[str, str]:
    """Our addresses to which others are connected, each with one of those; what we began ourselves is left out."""
    sockets = tuple(_sockets("tcp", "tcp6"))
    ports = {port for (_, port), _, state in sockets if state == LISTEN}
    own = {address for (address, _), _, _ in sockets}
    return {
        str(address): str(peer)
        for (address, port), (peer, _), state in sockets
        if state == ESTABLISHED and port in ports and peer not in own
    }


def _sockets(*tables: str) -> Iterator[tuple[tuple[IpAddress, int], tuple[IpAddress, int], str]]:
    """Our end, the far end and the state of each socket of this namespace (proc_net_tcp.rst)."""
    for name in tables:
        try:
            lines = (NET / name).read_text().splitlines()[1:]
        except OSError:  # a kernel without IPv6
            continue
        for line in lines:
            _, own, far, state, *_ = line.split(maxsplit=4)
            if state in {ESTABLISHED, LISTEN, CLOSE}:
                yield _end(own), _end(far), state


def _end(text: str) -> tuple[IpAddress, int]:
    """An address, printed in words of the machine's own byte order, and a port."""
    digits, _, port = text.partition(":")
    words = (int(digits[at : at + 8], 16).to_bytes(4, sys.byteorder) for at in range(0, len(digits), 8))
    packed = b"".join(words)
    return unmapped(IPv4Address(packed) if len(packed) == 4 else IPv6Address(packed)), int(port, 16)
