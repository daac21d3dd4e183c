r"""Everything that guests and machines serve: sockets in many namespaces, held by one process.

The answer says whose address was seen, so that a question can check it:

* TCP: on accept ``bascule <peer address> <peer port>\n`` is sent and the connection closed.
* UDP: the reply is ``bascule <peer address> <peer port> `` and then the payload of the question.
"""

from __future__ import annotations

import contextlib
import errno
import os
import select
import socket
import struct
from collections.abc import Callable, Iterable, Iterator
from ipaddress import ip_address

from msgspec import Struct

from bascule.errors import BasculeError, CommandFailed, Problem
from bascule.model.ruleset.text import table_text
from bascule.model.values import Service, unmapped
from bascule.policy.masquerade import redirect_table
from bascule.system.net.netns import Namespace
from bascule.system.process.workers import Worker
from bascule.system.run import run

GREETING = b"bascule"
_BACKLOG = 1024
_BURST = 64  # how much one socket may do before the others have their turn


WIDE = 512  # ports: a longer range is led to one socket by nft, which costs a process; a socket costs 0.02 ms
DNS = 53


class ServiceOffer(Struct, frozen=True, kw_only=True):
    """What one endpoint serves; ``others`` are ports that a program of its own answers on."""

    endpoint: str
    namespace: Namespace
    services: tuple[Service, ...]
    others: frozenset[tuple[str, int]] = frozenset()


class Services:
    """The sockets and the process that answers on them."""

    def __init__(self, offers: Iterable[ServiceOffer]) -> None:
        """Open all of them, then answer until ``stop``.

        Raises CommandFailed with one problem per service that could not be opened.
        """
        doors: list[socket.socket] = []
        self._worker: Worker | None = None
        try:
            problems = [problem for offer in offers for problem in _open_offer(offer, doors)]
            if problems:
                raise CommandFailed(*problems)
            if doors:
                self._worker = Worker(lambda ready: _serve(doors, ready))
        finally:
            for sock in doors:
                sock.close()
        if self._worker is not None and not self._worker.ready:
            raise BasculeError.of("SERVICES", "the process that plays the services did not start")

    def stop(self) -> None:
        """Close them all. Thousands take their time, and the kernel has that while we go on: nobody asks any more."""
        if self._worker is not None:
            self._worker.stop(wait=False)


def _open_offer(offer: ServiceOffer, doors: list[socket.socket]) -> Iterator[Problem]:
    """Open an endpoint's sockets into ``doors``; what could not be opened, each as a problem."""
    wanted = [service for service in offer.services if service.protocol in {"tcp", "udp"}]
    wide = [service for service in wanted if len(service.ports) > WIDE]
    ports: dict[tuple[str, int], None] = {}  # in order, each once: ranges may overlap
    for service in wanted:
        ports |= dict.fromkeys((service.protocol, port) for port in service.ports if service not in wide)
    behind = {service: _socket_of(service, offer.others) for service in wide}
    ports |= dict.fromkeys((service.protocol, port) for service, port in behind.items())
    with offer.namespace.entered():
        for protocol, port in ports:
            if (protocol, port) not in offer.others:
                try:
                    doors.append(_open(protocol, port))
                except OSError as refusal:
                    yield _problem(offer, protocol, port, refusal)
    if behind:
        run(("nft", "-f", "-"), stdin=table_text(redirect_table(behind, offer.others)), namespace=offer.namespace)


def _socket_of(service: Service, others: frozenset[tuple[str, int]]) -> int:
    """The port of a wide range on which its socket is."""
    return next(port for port in service.ports if (service.protocol, port) not in others)


def _problem(offer: ServiceOffer, protocol: str, port: int, refusal: OSError) -> Problem:
    hint = None
    if refusal.errno == errno.EMFILE:
        hint = (
            "the ranges under 'serves' need more sockets than this process may open: raise 'ulimit -n', or narrow them"
        )
    if refusal.errno == errno.EADDRINUSE and port == DNS:
        hint = "the name server of a virtual network has that port: take it out of 'serves', or the network's addresses"
    return Problem(
        code="SERVICE",
        message=f"{offer.endpoint} cannot serve {protocol}/{port}: {os.strerror(refusal.errno or 0)}",
        hint=hint,
    )


def _open(protocol: str, port: int) -> socket.socket:
    """A socket for both families (IPv4 alone where the kernel has no IPv6)."""
    style = socket.SOCK_STREAM if protocol == "tcp" else socket.SOCK_DGRAM
    kind = style | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC
    six = True
    try:
        sock = socket.socket(socket.AF_INET6, kind)
    except OSError:
        six = False
        sock = socket.socket(socket.AF_INET, kind)
    try:
        if protocol == "tcp":
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        elif six:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_RECVPKTINFO, 1)
        else:
            sock.setsockopt(socket.IPPROTO_IP, 8, 1)  # IP_PKTINFO
        if six:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        sock.bind(("::" if six else "0.0.0.0", port))
        if protocol == "tcp":
            sock.listen(_BACKLOG)
    except OSError:
        sock.close()
        raise
    return sock


def _serve(doors: list[socket.socket], ready: Callable[[], None]) -> None:
    by_fd = {sock.fileno(): sock for sock in doors}
    with select.epoll() as poll:
        for fd in by_fd:
            poll.register(fd, select.EPOLLIN)
        ready()
        while True:
            for fd, _ in poll.poll():
                sock = by_fd[fd]
                answer = _accept if sock.type & socket.SOCK_STREAM else _echo
                with contextlib.suppress(BlockingIOError):
                    for _ in range(_BURST):
                        answer(sock)


def _accept(sock: socket.socket) -> None:
    try:
        talk, peer = sock.accept()
    except ConnectionError:
        return  # it hung up before we looked
    with talk, contextlib.suppress(OSError):
        talk.send(b"%s %s %d\n" % (GREETING, plain_address(peer[0]).encode(), peer[1]))
        talk.shutdown(socket.SHUT_WR)


def _echo(sock: socket.socket) -> None:
    try:
        data, ancillary, _, peer = sock.recvmsg(65535, 128)
    except ConnectionError:
        return  # an earlier answer met a closed port
    answer = b"%s %s %d " % (GREETING, plain_address(peer[0]).encode(), peer[1]) + data
    # answer from the address that was asked, else a machine with several would be taken for another
    asked = [_without_link(item) for item in ancillary]
    with contextlib.suppress(OSError):
        sock.sendmsg([answer[:65000]], asked, 0, peer)


def _without_link(item: tuple[int, int, bytes]) -> tuple[int, int, bytes]:
    level, kind, data = item
    if level == socket.IPPROTO_IPV6:
        address, link = struct.unpack_from("=16sI", data)
        local = address.startswith(b"\xfe\x80")
        return level, kind, struct.pack("=16sI", address, link if local else 0)
    _, spec, _ = struct.unpack_from("=I4s4s", data)
    return level, kind, struct.pack("=I4s4s", 0, spec, bytes(4))


def plain_address(text: str) -> str:
    """An address as people write it."""
    return str(unmapped(ip_address(text)))
