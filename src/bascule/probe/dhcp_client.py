"""A DHCP client of many NICs at once, with its own frames (RFC 2131, options from RFC 2132).

It speaks on AF_PACKET sockets, so it needs no address and can ask from inside any namespace. It asks for unicast
answers (broadcast flag 0): with hundreds of clients on a wire a broadcast answer would wake all of them.
"""

from __future__ import annotations

import contextlib
import itertools
import random
import select
import time
from collections.abc import Sequence
from ipaddress import IPv4Address, IPv4Interface
from typing import Self

from msgspec import Struct

from bascule.frames import bpf, filters
from bascule.frames.codecs import dhcp, ethernet
from bascule.frames.packet import read_frame
from bascule.model.values import Mac
from bascule.system.net.netns import Namespace
from bascule.system.net.packet import open_packet
from bascule.system.net.sockets import close_all

WISHES = bytes((dhcp.MASK, dhcp.ROUTER))
FIRST_WAIT_S = 0.25  # RFC 2131 says 4 s, for servers that are far away and many clients that wake at once
TRIES = 4
STALLED_S = 0.5
AT_ONCE = 64  # clients: every DISCOVER reaches everybody on the wire, so the cost grows with the square


class DhcpNic(Struct, frozen=True, kw_only=True):
    """A NIC that wants an address."""

    namespace: Namespace
    link: str
    mac: Mac
    hostname: str = ""


class DhcpLease(Struct, frozen=True, kw_only=True):
    """What a server gave, or offered, and for how long."""

    address: IPv4Interface
    server: IPv4Address
    routers: tuple[IPv4Address, ...] = ()
    lease_s: int = 0
    mac: Mac | None = None  # from which an offer came


_ANSWERS = bpf.any_of(filters.dhcp_to_client(), refuse_outgoing=True)  # others' questions never reach this process


class _Exchange:
    """One client's exchange."""

    def __init__(self, client: DhcpNic) -> None:
        self.client = client
        with client.namespace.entered():
            self.socket = open_packet(client.link, _ANSWERS, protocol=ethernet.IPV4)
        self.xid = random.getrandbits(32)
        self.request: DhcpLease | None = None  # the offer that was taken
        self.offers: list[DhcpLease] = []
        self.lease: DhcpLease | None = None
        self.tries = 0
        self.started = time.monotonic()
        self.next = 0.0


def acquire(clients: Sequence[DhcpNic], *, timeout_s: float = 5.0) -> dict[DhcpNic, DhcpLease | None]:
    """A lease for each, by DISCOVER, OFFER, REQUEST, ACK; None where no server gave one.

    It gives up when ``timeout_s`` pass in which nobody got a lease and nobody was left to begin.
    """
    with contextlib.ExitStack() as stack:
        states = _states(clients, stack)
        queue = iter(states)
        asking = list(itertools.islice(queue, AT_ONCE))
        end, stalled = time.monotonic() + timeout_s, time.monotonic() + STALLED_S
        while asking and time.monotonic() < end:
            _round(asking, min(end, stalled))
            rest = [state for state in asking if not state.lease]
            got_on = len(rest) < len(asking)
            if not got_on and time.monotonic() < stalled:
                continue
            # places are free, or nobody gets on: one dead server must not keep the clients of others waiting
            more = list(itertools.islice(queue, max(0, AT_ONCE - len(rest)) if got_on else AT_ONCE))
            asking = rest + more
            stalled = time.monotonic() + STALLED_S
            if got_on or more:
                end = time.monotonic() + timeout_s
    return {state.client: state.lease for state in states}


class Discovery:
    """All offers to some NICs: asked for at once, and read later. Nothing is requested, so no server keeps anything.

    A context manager. Raises NotPermitted.
    """

    def __init__(self, clients: Sequence[DhcpNic]) -> None:
        self._clients = clients
        self._states: list[_Exchange] = []
        self._stack = contextlib.ExitStack()

    def __enter__(self) -> Self:
        self._states = _states(self._clients, self._stack)
        for state in self._states:
            _ask(state)
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def offers(self, *, within_s: float = 1.0) -> dict[DhcpNic, tuple[DhcpLease, ...]]:
        """Those that came until so many seconds after they were asked for."""
        end = max((state.started + within_s for state in self._states), default=0.0)
        while self._states:
            _round(self._states, end, take=False)
            if time.monotonic() >= end:
                break
        return {state.client: tuple(state.offers) for state in self._states}


def discover(clients: Sequence[DhcpNic], *, wait_s: float = 1.0) -> dict[DhcpNic, tuple[DhcpLease, ...]]:
    """All offers that come within the time."""
    with Discovery(clients) as asked:
        return asked.offers(within_s=wait_s)


def _states(clients: Sequence[DhcpNic], stack: contextlib.ExitStack) -> list[_Exchange]:
    states: list[_Exchange] = []
    stack.callback(lambda: close_all([state.socket for state in states]))
    for client in clients:
        states.append(_Exchange(client))  # noqa: PERF401  # one by one: those that are open are closed if one fails
    return states


def _round(states: Sequence[_Exchange], end: float, *, take: bool = True) -> None:
    """Send what is due, wait for something to come or for the next to be due, read what came."""
    for state in states:
        if time.monotonic() >= state.next:
            _ask(state)
    poll = select.poll()
    by_fd = {state.socket.fileno(): state for state in states}
    for fd in by_fd:
        poll.register(fd, select.POLLIN)
    due = min((state.next for state in states), default=end)
    for fd, _ in poll.poll(1000 * max(0.0, min(due, end) - time.monotonic())):
        _read(by_fd[fd], take=take)


def _ask(state: _Exchange) -> None:
    """Send the question of the current state. Waiting doubles with each try, with a tenth of chance (RFC 2131 4.1)."""
    state.tries += 1
    if state.tries > TRIES:
        state.request = None  # the server that offered has gone: begin anew
        state.tries = 1
    _wait(state, FIRST_WAIT_S * 2 ** (state.tries - 1))
    mac = ethernet.mac_bytes(state.client.mac)
    kind, options = dhcp.DISCOVER, list[tuple[int, bytes]]()
    if state.request is not None:
        kind = dhcp.REQUEST
        options.append((dhcp.ADDRESS, state.request.address.ip.packed))
        options.append((dhcp.SERVER, state.request.server.packed))
    if state.client.hostname:
        options.append((dhcp.HOSTNAME, state.client.hostname.encode()))
    with contextlib.suppress(OSError):  # a link that is down now: the next try may find it up
        state.socket.send(dhcp.question(kind, state.xid, mac, WISHES, *options))


def _wait(state: _Exchange, seconds: float) -> None:
    state.next = time.monotonic() + seconds * random.uniform(0.9, 1.1)


def _read(state: _Exchange, *, take: bool) -> None:
    while True:
        try:
            frame = read_frame(state.socket.recv(2048))
        except OSError:  # nothing more, or the link went down under us
            return
        if frame is not None and frame.packet is not None:
            message = dhcp.read(frame.packet.payload)
            if message and message.is_reply and (message.xid, message.mac) == (state.xid, state.client.mac):
                _answered(state, message, Mac(frame.src), take=take)


def _answered(state: _Exchange, message: dhcp.DhcpMessage, sender: Mac, *, take: bool) -> None:
    offer = _lease(message, sender)
    if state.lease is not None:
        return
    if message.type == dhcp.OFFER and offer is not None and state.request is None:
        state.offers.append(offer)
        if take:
            state.request, state.tries = offer, 0
            _ask(state)
    elif message.type == dhcp.ACK and offer is not None and state.request is not None:
        state.lease = offer
    elif message.type == dhcp.NAK and state.request is not None:
        # anew, but not at once: a server that always refuses must not keep us running in a circle
        state.request, state.tries, state.xid = None, 0, random.getrandbits(32)
        _wait(state, FIRST_WAIT_S)


def _lease(message: dhcp.DhcpMessage, sender: Mac) -> DhcpLease | None:
    server = message.server
    if server is None or not int(message.yours):
        return None
    prefix = int.from_bytes(message.mask, "big").bit_count() if message.mask else 32
    return DhcpLease(
        address=IPv4Interface((int(message.yours), prefix)),
        server=server,
        routers=message.addresses(dhcp.ROUTER),
        lease_s=int.from_bytes(message.options.get(dhcp.LEASE, b""), "big"),
        mac=sender,
    )
