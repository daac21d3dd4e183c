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
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Interface

from bascule.model.values import Mac
from bascule.probe import bpf, frames
from bascule.probe.dhcp_message import (
    CLIENT_ID,
    DNS,
    DOMAIN,
    HOSTNAME,
    LEASE,
    MASK,
    MTU,
    REQUESTED,
    ROUTER,
    SERVER,
    WANTED,
    Kind,
    Message,
    addresses,
    build,
    parse,
)
from bascule.system.netns import Namespace
from bascule.system.sockets import close_all, open_packet

WISHES = bytes((MASK, ROUTER, DNS, DOMAIN, MTU))
FIRST_WAIT_S = 0.25  # RFC 2131 says 4 s, for servers that are far away and many clients that wake at once
TRIES = 4
AT_ONCE = 64  # clients: every DISCOVER reaches everybody on the wire, so the cost grows with the square


@dataclass(frozen=True, slots=True, kw_only=True)
class Client:
    """A NIC that wants an address."""

    namespace: Namespace
    link: str
    mac: Mac
    hostname: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Lease:
    """What a server gave, or offered. Times are in seconds; renewal and rebinding at 1/2 and 7/8 of the lease."""

    address: IPv4Interface
    server: IPv4Address
    server_mac: Mac
    routers: tuple[IPv4Address, ...] = ()
    dns: tuple[IPv4Address, ...] = ()
    domain: str = ""
    mtu: int | None = None
    lease_s: int = 0


_ANSWERS = bpf.program(bpf.dhcp_to_client(), refuse_outgoing=True)  # others' questions never reach this process


class _State:
    """One client's exchange."""

    def __init__(self, client: Client) -> None:
        self.client = client
        with client.namespace.entered():
            self.socket = open_packet(client.link, _ANSWERS, protocol=frames.ETH_IPV4)
        self.xid = random.getrandbits(32)
        self.request: Lease | None = None  # the offer that was taken
        self.offers: list[Lease] = []
        self.lease: Lease | None = None
        self.tries = 0
        self.started = time.monotonic()
        self.next = 0.0


def acquire(clients: Sequence[Client], *, timeout_s: float = 5.0) -> dict[Client, Lease | None]:
    """A lease for each, by DISCOVER, OFFER, REQUEST, ACK; None where no server gave one.

    It gives up when ``timeout_s`` pass without a new lease for anybody.
    """
    with contextlib.ExitStack() as stack:
        states = _states(clients, stack)
        queue = iter(states)
        asking = list(itertools.islice(queue, AT_ONCE))
        end = time.monotonic() + timeout_s
        while asking and time.monotonic() < end:
            _round(asking, end)
            if any(state.lease for state in asking):
                end = time.monotonic() + timeout_s
                asking = [state for state in asking if not state.lease]
                asking += itertools.islice(queue, AT_ONCE - len(asking))
    return {state.client: state.lease for state in states}


def discover(clients: Sequence[Client], *, wait_s: float = 1.0) -> dict[Client, tuple[Lease, ...]]:
    """All offers that come within the time; nothing is requested, so no server keeps anything."""
    with contextlib.ExitStack() as stack:
        states = _states(clients, stack)
        end = time.monotonic() + wait_s
        while time.monotonic() < end:
            _round(states, end, take=False)
    return {state.client: tuple(state.offers) for state in states}


def _states(clients: Sequence[Client], stack: contextlib.ExitStack) -> list[_State]:
    states: list[_State] = []
    stack.callback(lambda: close_all([state.socket for state in states]))
    for client in clients:
        states.append(_State(client))  # noqa: PERF401  # one by one: those that are open are closed if one fails
    return states


def _round(states: Sequence[_State], end: float, *, take: bool = True) -> None:
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


def _ask(state: _State) -> None:
    """Send the question of the current state. Waiting doubles with each try, with a tenth of chance (RFC 2131 4.1)."""
    state.tries += 1
    if state.tries > TRIES:
        state.request = None  # the server that offered has gone: begin anew
        state.tries = 1
    _wait(state, FIRST_WAIT_S * 2 ** (state.tries - 1))
    mac = state.client.mac
    options: list[tuple[int, bytes]] = [(CLIENT_ID, b"\x01" + frames.mac_bytes(mac)), (WANTED, WISHES)]
    kind = Kind.DISCOVER
    if state.request is not None:
        kind = Kind.REQUEST
        options.append((REQUESTED, state.request.address.ip.packed))
        options.append((SERVER, state.request.server.packed))
    if state.client.hostname:
        options.append((HOSTNAME, state.client.hostname.encode()))
    with contextlib.suppress(OSError):  # a link that is down now: the next try may find it up
        state.socket.send(build(kind, mac, state.xid, options))


def _wait(state: _State, seconds: float) -> None:
    state.next = time.monotonic() + seconds * random.uniform(0.9, 1.1)


def _read(state: _State, *, take: bool) -> None:
    while True:
        try:
            frame = state.socket.recv(2048)
        except OSError:  # nothing more, or the link went down under us
            return
        message = parse(frame)
        if message is not None and (message.xid, message.mac) == (state.xid, state.client.mac):
            _answered(state, message, frames.mac_text(frame[6:12]), take=take)


def _answered(state: _State, message: Message, sender: Mac, *, take: bool) -> None:
    offer = _lease(message, sender)
    if state.lease is not None:
        return
    if message.kind is Kind.OFFER and offer is not None and state.request is None:
        state.offers.append(offer)
        if take:
            state.request, state.tries = offer, 0
            _ask(state)
    elif message.kind is Kind.ACK and offer is not None and state.request is not None:
        state.lease = offer
    elif message.kind is Kind.NAK and state.request is not None:
        # anew, but not at once: a server that always refuses must not keep us running in a circle
        state.request, state.tries, state.xid = None, 0, random.getrandbits(32)
        _wait(state, FIRST_WAIT_S)


def _lease(message: Message, sender: Mac) -> Lease | None:
    server = addresses(message.options.get(SERVER, b""))
    if not server or not int(message.yours):
        return None
    mask = message.options.get(MASK, b"")
    prefix = int.from_bytes(mask, "big").bit_count() if len(mask) == 4 else 32
    return Lease(
        address=IPv4Interface((int(message.yours), prefix)),
        server=server[0],
        server_mac=sender,
        routers=addresses(message.options.get(ROUTER, b"")),
        dns=addresses(message.options.get(DNS, b"")),
        domain=message.options.get(DOMAIN, b"").decode("ascii", "replace").rstrip("\0"),
        mtu=int.from_bytes(message.options[MTU], "big") if MTU in message.options else None,
        lease_s=int.from_bytes(message.options.get(LEASE, b""), "big"),
    )
