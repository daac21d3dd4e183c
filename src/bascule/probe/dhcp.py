"""A DHCP client of many NICs at once, with its own frames (RFC 2131, options from RFC 2132).

It speaks on AF_PACKET sockets, so it needs no address and can ask from inside any namespace. It asks for unicast
answers (broadcast flag 0): with hundreds of clients on a wire a broadcast answer would wake all of them.
"""

from __future__ import annotations

import contextlib
import ctypes
import random
import select
import socket
import struct
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Interface

from bascule.model.values import Mac
from bascule.probe.dhcp_message import (
    CLIENT_ID,
    DNS,
    DOMAIN,
    ETH_IP,
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
    packed,
    parse,
    read_mac,
)
from bascule.system.netns import Namespace

# 'udp dst port 68' in the kernel's filter machine: others' questions never reach this process
_FILTER = (
    (0x28, 0, 0, 12),
    (0x15, 0, 8, ETH_IP),
    (0x30, 0, 0, 23),
    (0x15, 0, 6, 17),
    (0x28, 0, 0, 20),
    (0x45, 4, 0, 0x1FFF),
    (0xB1, 0, 0, 14),
    (0x48, 0, 0, 16),
    (0x15, 0, 1, 68),
    (0x06, 0, 0, 0x40000),
    (0x06, 0, 0, 0),
)


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


class _State:
    """One client's exchange."""

    def __init__(self, client: Client) -> None:
        self.client = client
        self.socket = _open(client)
        self.xid = random.getrandbits(32)
        self.request: Lease | None = None  # the offer that was taken
        self.offers: list[Lease] = []
        self.lease: Lease | None = None
        self.tries = 0
        self.started = time.monotonic()
        self.next = 0.0


def acquire(clients: Sequence[Client], *, timeout_s: float = 5.0) -> dict[Client, Lease | None]:
    """A lease for each, by DISCOVER, OFFER, REQUEST, ACK; None where no server gave one in time."""
    with contextlib.ExitStack() as stack:
        states = _states(clients, stack)
        rounds = _rounds(states, timeout_s)
        while not all(state.lease for state in states) and next(rounds, None) is not None:
            pass
    return {state.client: state.lease for state in states}


def discover(clients: Sequence[Client], *, wait_s: float = 1.0) -> dict[Client, tuple[Lease, ...]]:
    """All offers that come within the time; nothing is requested, so no server keeps anything."""
    with contextlib.ExitStack() as stack:
        states = _states(clients, stack)
        for _ in _rounds(states, wait_s, take=False):
            pass
    return {state.client: tuple(state.offers) for state in states}


def _states(clients: Sequence[Client], stack: contextlib.ExitStack) -> list[_State]:
    states: list[_State] = []
    stack.callback(lambda: _close([state.socket for state in states]))
    for client in clients:
        states.append(_State(client))  # noqa: PERF401  # one by one: those that are open are closed if one fails
    return states


def _close(sockets: Sequence[socket.socket]) -> None:
    """Close them at the same time: each close of a packet socket waits for an RCU grace period of some 12 ms."""
    if sockets:
        with ThreadPoolExecutor(max_workers=min(len(sockets), 64)) as pool:
            list(pool.map(socket.socket.close, sockets))


def _rounds(states: Sequence[_State], timeout_s: float, *, take: bool = True) -> Iterator[bool]:
    """Send what is due and read what came, again and again until the time is over."""
    poll = select.epoll()
    by_fd = {state.socket.fileno(): state for state in states}
    with contextlib.closing(poll):
        for fd in by_fd:
            poll.register(fd, select.EPOLLIN)
        end = time.monotonic() + timeout_s
        for state in states:
            if time.monotonic() >= state.next:
                _ask(state)
        while (now := time.monotonic()) < end:
            due = min((state.next for state in states if not state.lease), default=end)
            for fd, _ in poll.poll(max(0.0, min(due, end) - now)):
                _read(by_fd[fd], take=take)
            now = time.monotonic()
            for state in states:
                if not state.lease and now >= state.next:
                    _ask(state)
            yield True


def _ask(state: _State) -> None:
    """Send the question of the current state. Waiting doubles with each try, with a tenth of chance (RFC 2131 4.1).

    It starts at 0.25 s and not at 4 s: the servers of a twin answer in milliseconds.
    """
    state.tries += 1
    if state.tries > 4:
        state.request = None  # the server that offered has gone: begin anew
        state.tries = 1
    wait = 0.25 * 2 ** (state.tries - 1)
    state.next = time.monotonic() + wait * random.uniform(0.9, 1.1)
    options: list[tuple[int, bytes]] = [(CLIENT_ID, b"\x01" + packed(state.client.mac))]
    kind = Kind.DISCOVER
    if state.request is not None:
        kind = Kind.REQUEST
        options += [(REQUESTED, state.request.address.ip.packed), (SERVER, state.request.server.packed)]
    if state.client.hostname:
        options.append((HOSTNAME, state.client.hostname.encode()[:63]))
    options.append((WANTED, bytes((MASK, ROUTER, DNS, DOMAIN, MTU))))
    seconds = min(0xFFFF, int(time.monotonic() - state.started))
    frame = build(kind, state.client.mac, state.xid, options, seconds=seconds)
    with contextlib.suppress(BlockingIOError, OSError):  # a link that is down now: the next try may find it up
        state.socket.send(frame)


def _read(state: _State, *, take: bool) -> None:
    while True:
        try:
            frame = state.socket.recv(2048)
        except BlockingIOError:
            return
        except OSError:
            return  # ENETDOWN: the link went down under us
        message = parse(frame)
        if message is None or message.xid != state.xid or message.mac != state.client.mac or state.lease:
            continue
        offer = _lease(message, frame)
        if message.kind is Kind.OFFER and offer is not None and state.request is None:
            state.offers.append(offer)
            if take:
                state.request, state.tries = offer, 0
                _ask(state)
        elif message.kind is Kind.ACK and offer is not None and state.request is not None:
            state.lease = offer
        elif message.kind is Kind.NAK and state.request is not None:
            state.request, state.tries, state.xid = None, 0, random.getrandbits(32)
            _ask(state)


def _lease(message: Message, frame: bytes) -> Lease | None:
    options = message.options
    server = options.get(SERVER, b"")
    if len(server) != 4 or not int(message.yours):
        return None
    mask = options.get(MASK, b"")
    prefix = bin(int.from_bytes(mask, "big")).count("1") if len(mask) == 4 else 32
    mtu = options.get(MTU, b"")
    return Lease(
        address=IPv4Interface((int(message.yours), prefix)),
        server=IPv4Address(server),
        server_mac=read_mac(frame[6:12]),
        routers=addresses(options.get(ROUTER, b"")),
        dns=addresses(options.get(DNS, b"")),
        domain=options.get(DOMAIN, b"").decode("ascii", "replace").rstrip("\0"),
        mtu=int.from_bytes(mtu, "big") if len(mtu) == 2 else None,
        lease_s=int.from_bytes(options.get(LEASE, b"")[:4], "big"),
    )


def _open(client: Client) -> socket.socket:
    """A socket that sees only what is sent to a DHCP client's port."""
    with client.namespace.entered():
        door = socket.socket(socket.AF_PACKET, socket.SOCK_RAW | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC, 0)
    program = b"".join(struct.pack("=HBBI", *line) for line in _FILTER)
    memory = ctypes.create_string_buffer(program)
    door.setsockopt(
        socket.SOL_SOCKET, 26, struct.pack("@HP", len(_FILTER), ctypes.addressof(memory))
    )  # SO_ATTACH_FILTER
    door.bind((client.link, ETH_IP))
    return door
