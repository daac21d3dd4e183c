"""A host with two bridges, five guests and two wires, on which rules and switches are changed.

The lab is built once. For each random host only its rules, switches and flags are set anew.
"""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from bascule.system.net.netns import Namespace
from bascule.system.run import run
from tests.lab import Lab
from tests.oracle.neighbours import Neighbours
from tests.oracle.nft_library import Nft

PORTS = (53, 80, 443)
TCP_PORTS = (80, 443)  # at 443 nobody listens: the answer is a RST
TRACKED_S = 20  # how long a connection is known: an answer that a busy machine sends late is still its own; no host
# is asked from a port again so soon
IP_PKTINFO = 8  # linux/in.h; Python 3.11 has no name for it


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
    _guest(17, "y", "", 3),
)
BY_NAME = {guest.name: guest for guest in GUESTS}
HOST4 = ("10.9.0.1", "10.9.1.1", "10.9.2.1", "10.9.3.1")
SEGMENTS = (("br0", 0), ("br1", 1), ("px", 2), ("py", 3))
HOST_MACS = {link: f"02:00:00:00:01:0{net}" for link, net in SEGMENTS}


@dataclass
class Room:
    """The namespaces with their sockets. ``texts`` is what the programs said of the host that change nothing."""

    host: Namespace
    guests: dict[str, Namespace]
    nft: Nft
    neighbours: dict[str, Neighbours] = field(default_factory=dict)  # of guests, and of ``host``
    receivers: dict[int, tuple[str, int, socket.socket]] = field(default_factory=dict)
    listeners: dict[int, tuple[str, int, socket.socket]] = field(default_factory=dict)
    wires: dict[str, socket.socket] = field(default_factory=dict)  # raw, of guests
    texts: list[str] = field(default_factory=list)
    undo: list[str] = field(default_factory=list)  # lines of ip(8) that take a host's routes and rules away
    routed: bool = True  # whether routes may be others than those that texts tell
    undo_fdb: list[str] = field(default_factory=list)  # and of bridge(8) its entries
    saved: list[str] = field(default_factory=list)  # tools of iptables whose tables must be emptied
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
        for _, _, sock in (*room.receivers.values(), *room.listeners.values()):
            sock.close()
        for wire in room.wires.values():
            wire.close()
        for one in room.neighbours.values():
            one.close()
        room.nft.close()


def build(lab: Lab) -> Room:
    """The lab: every address, neighbour and MAC is fixed, so that only rules and switches decide."""
    host = lab.namespace("h")
    guests = {guest.name: lab.namespace(guest.name) for guest in GUESTS}
    with in_namespace(host), contextlib.ExitStack() as stack:
        kind = "type bridge mcast_snooping 0"
        lines = [f"link add {bridge} address {HOST_MACS[bridge]} {kind}" for bridge in ("br0", "br1")]
        for guest in GUESTS:
            path = stack.enter_context(Holder(guests[guest.name]))
            lines.append(f"link add {guest.port} type veth peer name eth0 netns {path}")
        _batch(lines)
        setup = []
        for guest in GUESTS:
            if guest.bridge:
                setup.append(f"link set {guest.port} master {guest.bridge}")
            else:
                setup.append(f"link set {guest.port} address {HOST_MACS[guest.port]}")
            setup.append(f"link set {guest.port} up")
        for link, net in SEGMENTS:
            setup += [
                f"link set {link} addrgenmode none",
                f"link set {link} up",
                f"address add 10.9.{net}.1/24 dev {link}",
                f"address add fd09:0:0:{net}::1/64 dev {link} nodad",
                f"address add fe80::a1/64 dev {link} nodad",
            ]
        for guest in GUESTS:
            link = guest.bridge or guest.port
            setup.append(f"neigh add {guest.v4} lladdr {guest.mac} dev {link}")
            setup.append(f"neigh add {guest.v6} lladdr {guest.mac} dev {link}")
        setup.append("route add 172.16.0.0/16 via 10.9.2.16")
        _batch(setup)
        for key in ("udp_timeout", "udp_timeout_stream", "icmp_timeout", "icmpv6_timeout", "tcp_timeout_syn_sent"):
            _write(f"net/netfilter/nf_conntrack_{key}", str(TRACKED_S), missing=True)
        _write("net/ipv4/ping_group_range", "0 0")
        _impatient([link for link, _ in SEGMENTS])
    for guest in GUESTS:
        _furnish(guest, guests[guest.name])
    room = Room(host, guests, Nft(host))
    for name, namespace in (*guests.items(), ("host", host)):
        room.neighbours[name] = Neighbours(namespace)
    _listen(room)
    return room


def _impatient(links: Sequence[str]) -> None:
    """A neighbour that does not answer is given up at once, and asked again for each packet; errors are many."""
    for key in ("ipv4/icmp_ratelimit", "ipv6/icmp/ratelimit"):
        _write(f"net/{key}", "0", missing=True)
    for family in ("ipv4", "ipv6"):
        for link in links:
            _write(f"net/{family}/neigh/{link}/retrans_time_ms", "20")
            _write(f"net/{family}/neigh/{link}/mcast_solicit", "1")
            _write(f"net/{family}/neigh/{link}/ucast_solicit", "1")


def search_neighbours(room: Room, *, wanted: bool) -> None:
    """Take away what everybody knows of the others' MACs, so that they must ask; or give it back."""
    for owner, link, address, mac in known_neighbours():
        if wanted:
            room.neighbours[owner].forget(link, address)
        else:
            room.neighbours[owner].set(link, address, mac)


def known_neighbours() -> Iterator[tuple[str, str, str, str]]:
    """Who knows whom: guest or host, its link, and the other's address and MAC."""
    for guest in GUESTS:
        link = guest.bridge or guest.port
        for text in (guest.v4, guest.v6):
            yield "host", link, text, guest.mac
        for text in (guest.host4, guest.host6):
            yield guest.name, "eth0", text, HOST_MACS[link]
        for other in GUESTS:
            if other.bridge == guest.bridge != "" and other.name != guest.name:
                for text in (other.v4, other.v6):
                    yield guest.name, "eth0", text, other.mac


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
        if other.bridge == guest.bridge != "" and other.name != guest.name:
            lines.append(f"neigh add {other.v4} lladdr {other.mac} dev eth0")
            lines.append(f"neigh add {other.v6} lladdr {other.mac} dev eth0")
    with in_namespace(namespace):
        _batch(lines)
        for key in (
            "ipv4/conf/all/rp_filter",
            "ipv4/conf/eth0/rp_filter",
            "ipv4/ip_forward",
            "ipv6/conf/all/forwarding",
        ):
            _write(f"net/{key}", "0")
        _write("net/ipv4/ping_group_range", "0 0")
        _impatient(["eth0"])


def _listen(room: Room) -> None:
    for name, namespace in (*room.guests.items(), ("host", room.host)):
        with in_namespace(namespace):
            for port in PORTS:
                for family in (socket.AF_INET, socket.AF_INET6):
                    sock = _bound(family, port)
                    room.receivers[sock.fileno()] = (name, port, sock)
            for family in (socket.AF_INET, socket.AF_INET6):
                listener = socket.socket(family, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
                if family == socket.AF_INET6:
                    listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
                listener.bind(("", TCP_PORTS[0]))
                listener.listen(64)
                room.listeners[listener.fileno()] = (name, TCP_PORTS[0], listener)
        if name in room.guests:
            with in_namespace(namespace):
                room.wires[name] = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
                room.wires[name].bind(("eth0", 0))


def _bound(family: int, port: int) -> socket.socket:
    sock = socket.socket(family, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
    if family == socket.AF_INET6:
        sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_RECVPKTINFO, 1)
    else:
        sock.setsockopt(socket.IPPROTO_IP, IP_PKTINFO, 1)
    cutting(sock, 6 if family == socket.AF_INET6 else 4, whole=False)
    sock.bind(("", port))
    return sock


def cutting(sock: socket.socket, version: int, *, whole: bool) -> None:
    """Whether packets say DF (IP_PMTUDISC_PROBE) or are cut by the link's own MTU (IP_PMTUDISC_OMIT).

    Neither minds what somebody has said of the way before.
    """
    level, option = (socket.IPPROTO_IP, 10) if version == 4 else (socket.IPPROTO_IPV6, 23)  # IP(V6)_MTU_DISCOVER
    sock.setsockopt(level, option, 3 if whole else 5)


def load(room: Room, text: str) -> str:
    """Load rules in the host; what nft said against them."""
    with in_namespace(room.host):
        return room.nft.run(text)[1]


def write_all(room: Room, values: dict[str, str]) -> None:
    """Set kernel parameters of the host."""
    with in_namespace(room.host):
        for key, value in values.items():
            _write(key, value)


def batch(room: Room, lines: Sequence[str], tool: str = "ip", *, force: bool = False) -> None:
    """Run lines of ``ip`` or ``bridge`` in the host; with ``force`` go on after one that fails."""
    if lines:
        options = ("-force",) if force else ()
        with in_namespace(room.host):
            done = subprocess.run(
                (tool, *options, "-batch", "-"),
                input="\n".join(lines) + "\n",
                capture_output=True,
                text=True,
                check=False,
            )
        assert force or done.returncode == 0, done.stderr


def restore(room: Room, tool: str, text: str) -> bool:
    """Load rules by ``iptables-nft`` or ``iptables-legacy``; whether they were taken."""
    with in_namespace(room.host):
        done = subprocess.run((f"{tool}-restore",), input=text, capture_output=True, text=True, check=False)
    return done.returncode == 0
