"""A TCP socket that listens, or a sentence that says why there is none."""

from __future__ import annotations

import errno
import socket
from ipaddress import IPv4Address, IPv6Address

from bascule.errors import BasculeError, NotPermitted

BACKLOG = 128


def listen(address: IPv4Address | IPv6Address, port: int) -> socket.socket:
    """Listen on one address; port 0 takes any free one. Raises BasculeError, NotPermitted."""
    family = socket.AF_INET6 if address.version == 6 else socket.AF_INET
    place = f"[{address}]:{port}" if address.version == 6 else f"{address}:{port}"
    try:
        sock = socket.socket(family, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
    except OSError as error:
        raise BasculeError.of("LISTEN", f"cannot listen on {place}: {error.strerror}") from error
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind((str(address), port))
        sock.listen(BACKLOG)
    except OSError as error:
        sock.close()
        raise _refused(error, place, port) from error
    return sock


def _refused(error: OSError, place: str, port: int) -> BasculeError:
    if error.errno == errno.EADDRINUSE:
        hint = f"see who has it with: ss -ltnp 'sport = :{port}'; or take a free port with --listen 127.0.0.1:0"
        return BasculeError.of("PORT-TAKEN", f"something else listens on {place} already", hint=hint)
    if error.errno in {errno.EACCES, errno.EPERM}:
        hint = "ports below 1024 are for root; take a higher one"
        return NotPermitted.of("LISTEN", f"you may not listen on {place}", hint=hint)
    if error.errno == errno.EADDRNOTAVAIL:
        hint = "see the addresses with: ip -brief address"
        return BasculeError.of("LISTEN", f"cannot listen on {place}: this machine does not have the address", hint=hint)
    return BasculeError.of("LISTEN", f"cannot listen on {place}: {error.strerror}")
