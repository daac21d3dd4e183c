"""A host with two bridges, five guests and a wire, on which rules and switches are changed and real frames are sent.

The lab is built once. For each random host only its rules, switches and flags are set anew.
"""

from __future__ import annotations

import contextlib
import errno
import ipaddress
import os
import select
import socket
import struct
import subprocess
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from bascule.system.net.netns import Namespace
from bascule.system.run import run
from tests.lab import Lab

PORTS = (53, 80, 443)
IP_PKTINFO = 8  # linux/in.h; Python 3.11 has no name for it
QUIET_S = 0.012  # after the last frame that arrived; on one host all frames pass within the call that sends them
LONGEST_S = 2.0


@dataclass(frozen=True)
class Guest:
    name: str
    port: str
    bridge: str
    v4: str
    v6: str
    mac: str
    host4: str
    host6: str


def _guest(number: int, name: str, bridge: str, net: int) -> Guest:
    return Guest(
        name=name,
        port=f"p{name}",
        bridge=bridge,
        v4=f"10.9.{net}.{number}",
        v6=f"fd09:0:0:{net}::{number}",
        mac=f"02:00:00:00:00:{number}",
        host4=f"10.9.{net}.1",
        host6=f"fd09:0:0:{net}::1",
    )


GUESTS = (
    _guest(11, "a", "br0", 0),
    _guest(12, "b", "br0", 0),
    _guest(13, "c", "br0", 0),
    _guest(14, "d", "br1", 1),
    _guest(15, "e", "br1", 1),
    _guest(16, "x", "", 2),
)
BY_NAME = {guest.name: guest for guest in GUESTS}
HOST_MACS = {"br0": "02:00:00:00:01:00", "br1": "02:00:00:00:01:01", "px": "02:00:00:00:01:02"}
HOST4 = ("10.9.0.1", "10.9.1.1", "10.9.2.1")


@dataclass(frozen=True)
class Probe:
    """One question: ``source`` and ``target`` are guests, or ``host``; ``spoofed`` another source address."""

    source: str
    target: str
    port: int
    version: int = 4
    spoofed: str = ""
    size: int = 32  # bytes of the IP packet
    address: str = ""  # another address of the host than the one nearest to the sender


@dataclass
class Seen:
    """What became of a probe: who got it from where to where, and the source of the answer."""

    receiver: str = ""
    source: str = ""
    source_port: int = 0
    target: str = ""
    target_port: int = 0
    replied: bool = False
    reply_source: str = ""
    error: str = ""


@dataclass
class Room:
    """The namespaces with their sockets."""

    host: Namespace
    guests: dict[str, Namespace]
    receivers: dict[int, tuple[str, int, socket.socket]] = field(default_factory=dict)
    next_port: int = 20000


@contextlib.contextmanager
def in_namespace(namespace: Namespace) -> Iterator[None]:
    with namespace.entered():
        yield


@contextlib.contextmanager
def opened(lab: Lab) -> Iterator[Room]:
    """The lab with its sockets, which are closed at the end."""
    room = build(lab)
    try:
        yield room
    finally:
        for _, _, sock in room.receivers.values():
            sock.close()


def build(lab: Lab) -> Room:
    """The lab: every address, neighbour and MAC is fixed, so that only rules and switches decide."""
    host = lab.namespace("h")
    guests = {guest.name: lab.namespace(guest.name) for guest in GUESTS}
    with in_namespace(host):
        for bridge in ("br0", "br1"):
            run(("ip", *f"link add {bridge} address {HOST_MACS[bridge]} type bridge mcast_snooping 0".split()))
        for guest in GUESTS:
            run(("ip", "link", "add", guest.port, "type", "veth", "peer", "name", f"e{guest.name}"))
            with Holder(guests[guest.name]) as path:
                run(("ip", "link", "set", f"e{guest.name}", "netns", path, "name", "eth0"))
        setup = []
        for guest in GUESTS:
            if guest.bridge:
                setup.append(f"link set {guest.port} master {guest.bridge}")
            else:
                setup.append(f"link set {guest.port} address {HOST_MACS[guest.port]}")
            setup.append(f"link set {guest.port} up")
        for link, net in (("br0", 0), ("br1", 1), ("px", 2)):
            setup += [
                f"link set {link} addrgenmode none",
                f"link set {link} up",
                f"address add 10.9.{net}.1/24 dev {link}",
                f"address add fd09:0:0:{net}::1/64 dev {link} nodad",
            ]
        for guest in GUESTS:
            link = guest.bridge or guest.port
            setup.append(f"neigh add {guest.v4} lladdr {guest.mac} dev {link}")
            setup.append(f"neigh add {guest.v6} lladdr {guest.mac} dev {link}")
        setup.append("route add 172.16.0.0/16 via 10.9.2.16")
        _batch(setup)
        _write("net/netfilter/nf_conntrack_udp_timeout", "2", missing=True)
        _write("net/netfilter/nf_conntrack_udp_timeout_stream", "2", missing=True)
    for guest in GUESTS:
        _furnish(guest, guests[guest.name])
    room = Room(host, guests)
    _listen(room)
    return room


class Holder:
    """A path by which iproute2 finds a namespace."""

    def __init__(self, namespace: Namespace) -> None:
        self.path = f"/proc/{os.getpid()}/fd/{namespace.fd}"

    def __enter__(self) -> str:
        return self.path

    def __exit__(self, *_: object) -> None:
        return


def _batch(lines: Sequence[str]) -> None:
    run(("ip", "-batch", "-"), stdin="\n".join(lines) + "\n")


def _write(key: str, value: str, *, missing: bool = False) -> None:
    try:
        with open(f"/proc/sys/{key}", "w") as file:  # noqa: PTH123  # a hundred of them for each host
            file.write(value)
    except FileNotFoundError:
        if not missing:
            raise


def _furnish(guest: Guest, namespace: Namespace) -> None:
    host_mac = HOST_MACS[guest.bridge or guest.port]
    lines = [
        f"link set eth0 address {guest.mac}",
        "link set eth0 addrgenmode none",
        "link set eth0 up",
        f"address add {guest.v4}/24 dev eth0",
        f"address add {guest.v6}/64 dev eth0 nodad",
        f"route add default via {guest.host4}",
        f"route add ::/0 via {guest.host6}",
        f"neigh add {guest.host4} lladdr {host_mac} dev eth0",
        f"neigh add {guest.host6} lladdr {host_mac} dev eth0",
    ]
    for other in GUESTS:
        if other.bridge == guest.bridge and other.name != guest.name:
            lines.append(f"neigh add {other.v4} lladdr {other.mac} dev eth0")
            lines.append(f"neigh add {other.v6} lladdr {other.mac} dev eth0")
    with in_namespace(namespace):
        _batch(lines)
        for key in ("net/ipv4/conf/all/rp_filter", "net/ipv4/conf/eth0/rp_filter"):
            _write(key, "0")


def _listen(room: Room) -> None:
    for name, namespace in (*room.guests.items(), ("host", room.host)):
        with in_namespace(namespace):
            for port in PORTS:
                for family in (socket.AF_INET, socket.AF_INET6):
                    sock = _bound(family, port)
                    room.receivers[sock.fileno()] = (name, port, sock)


def _bound(family: int, port: int) -> socket.socket:
    sock = socket.socket(family, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
    if family == socket.AF_INET6:
        sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_RECVPKTINFO, 1)
    else:
        sock.setsockopt(socket.IPPROTO_IP, IP_PKTINFO, 1)
    sock.bind(("", port))
    return sock


def ask(room: Room, probes: Sequence[Probe], quiet_s: float = QUIET_S) -> list[Seen]:
    """Send all probes, and their answers as they arrive; what each met."""
    seen = [Seen() for _ in probes]
    senders: dict[int, tuple[int, socket.socket]] = {}
    try:
        for number, probe in enumerate(probes):
            sock = _sender(room, probe)
            senders[sock.fileno()] = (number, sock)
            try:
                sock.sendto(payload(number, probe), (target_address(probe), probe.port))
            except OSError as error:
                seen[number].error = errno.errorcode.get(error.errno or 0, "?")
        _collect(room, senders, seen, quiet_s)
    finally:
        for _, sock in senders.values():
            sock.close()
    return seen


def payload(number: int, probe: Probe) -> bytes:
    """The number of a probe, in a packet of its size."""
    return struct.pack("!I", number).ljust(probe.size - (28 if probe.version == 4 else 48), b"\0")


def target_address(probe: Probe) -> str:
    """The address that a probe is sent to."""
    if probe.address:
        return probe.address
    if probe.target == "host":
        guest = BY_NAME[probe.source]
        return guest.host4 if probe.version == 4 else guest.host6
    guest = BY_NAME[probe.target]
    return guest.v4 if probe.version == 4 else guest.v6


def _sender(room: Room, probe: Probe) -> socket.socket:
    family = socket.AF_INET if probe.version == 4 else socket.AF_INET6
    namespace = room.host if probe.source == "host" else room.guests[probe.source]
    room.next_port = room.next_port + 1 if room.next_port < 60000 else 20000
    with in_namespace(namespace):
        sock = socket.socket(family, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
        if probe.spoofed:
            sock.setsockopt(socket.SOL_IP, 19, 1)  # IP_TRANSPARENT
        sock.bind((probe.spoofed, room.next_port))
    return sock


def _collect(room: Room, senders: dict[int, tuple[int, socket.socket]], seen: list[Seen], quiet_s: float) -> None:
    poll = select.epoll()
    for fd in (*room.receivers, *senders):
        poll.register(fd, select.EPOLLIN)
    end = time.monotonic() + LONGEST_S
    while time.monotonic() < end:
        events = poll.poll(quiet_s, 512)
        if not events:
            break
        for fd, _ in events:
            if fd in room.receivers:
                _receive(*room.receivers[fd], seen)
            else:
                _hear(*senders[fd], seen)
    poll.close()


def _receive(name: str, port: int, sock: socket.socket, seen: list[Seen]) -> None:
    while True:
        try:
            data, ancillary, _, address = sock.recvmsg(2048, 256)
        except OSError:
            return
        data = data[:4]
        number = struct.unpack("!I", data)[0] if len(data) == 4 else len(seen)
        if number >= len(seen):
            continue
        one = seen[number]
        one.receiver, one.source, one.source_port, one.target_port = name, address[0], address[1], port
        for level, kind, packed in ancillary:
            if (level, kind) == (socket.IPPROTO_IP, IP_PKTINFO):
                one.target = str(ipaddress.IPv4Address(packed[8:12]))
                spec = struct.pack("=I4s4s", 0, packed[8:12], b"\0" * 4)
                _answer(sock, data, [(level, kind, spec)], address)
            elif (level, kind) == (socket.IPPROTO_IPV6, socket.IPV6_PKTINFO):
                one.target = str(ipaddress.IPv6Address(packed[:16]))
                _answer(sock, data, [(level, kind, packed[:16] + struct.pack("=I", 0))], address)


def _answer(sock: socket.socket, data: bytes, ancillary: list[tuple[int, int, bytes]], address: object) -> None:
    with contextlib.suppress(OSError):
        sock.sendmsg([b"r" + data], ancillary, 0, address)  # type: ignore[arg-type]  # as it came


def _hear(number: int, sock: socket.socket, seen: list[Seen]) -> None:
    while True:
        try:
            data, address = sock.recvfrom(64)
        except OSError:
            return
        if data[:1] == b"r":
            seen[number].replied, seen[number].reply_source = True, address[0]


def load(room: Room, text: str) -> str:
    """Load rules in the host; what nft said against them."""
    with in_namespace(room.host):
        done = subprocess.run(("nft", "-f", "-"), input=text, text=True, capture_output=True, check=False)
    return done.stderr if done.returncode else ""


def write_all(room: Room, values: dict[str, str]) -> None:
    """Set kernel parameters of the host."""
    with in_namespace(room.host):
        for key, value in values.items():
            _write(key, value)


def batch(room: Room, lines: Sequence[str], tool: str = "ip") -> None:
    """Run lines of ``ip`` or ``bridge`` in the host."""
    if lines:
        with in_namespace(room.host):
            run((tool, "-batch", "-"), stdin="\n".join(lines) + "\n")
