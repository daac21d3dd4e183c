"""Ask a DNS server for the address of a name (RFC 1035), from inside any namespace."""

from __future__ import annotations

import contextlib
import os
import socket
import struct
from collections.abc import Iterable

from bascule.frames.codecs import dns
from bascule.model.values import IpAddress
from bascule.system.net.netns import Namespace


def look_up(
    namespace: Namespace, server: IpAddress, names: Iterable[tuple[str, int]], *, timeout_s: float = 1.0
) -> dict[tuple[str, int], tuple[IpAddress, ...]]:
    """The addresses of each (name, IP version); nothing for one that is not answered in time, or is not known."""
    found: dict[tuple[str, int], tuple[IpAddress, ...]] = {}
    family = socket.AF_INET6 if server.version == 6 else socket.AF_INET
    with namespace.entered():
        sock = socket.socket(family, socket.SOCK_DGRAM)
    with sock, contextlib.suppress(OSError):
        sock.settimeout(timeout_s)
        sock.connect((str(server), 53))
        for name, version in names:
            number = os.urandom(2)
            sock.send(dns.question(number, name, dns.AAAA if version == 6 else dns.A))
            with contextlib.suppress(OSError, ValueError, IndexError, struct.error):
                while not (reply := sock.recv(4096)).startswith(number):
                    pass  # an answer to an earlier question that came too late
                found[name, version] = dns.addresses(reply)
    return found
