"""Where large packets die on a way that small ones pass: the model against UDP with DF and TCP on this kernel."""

from __future__ import annotations

import contextlib
import socket
import struct
from collections.abc import Iterator

import pytest

from bascule.observe.packet_path import read_network
from bascule.topology.trace.answer import Certainty
from bascule.topology.trace.large_packets import LargePacket, LargePacketWalk
from bascule.topology.trace.packet import Traffic
from bascule.topology.trace.rules.values import address
from bascule.topology.trace.walk import Walks
from tests.backlog import drained
from tests.lab import open_lab
from tests.oracle.asking import hearing_errors, told_too_big
from tests.oracle.compare import BY_END, ENDS
from tests.oracle.lab import BY_NAME, Room, batch, cutting, load, opened, write_all
from tests.oracle.test_traps import NORMAL, base, table
from tests.patience import HUNG_S

PORT = 7777
WAIT_S = 0.25
BULK = 30_000  # bytes of TCP, more than one packet by far
HERE = ("net/bridge/bridge-nf-call-iptables", "net/bridge/bridge-nf-call-ip6tables")

NO_RELATED = table("inet", "t", base("c", "output", 0, "ct state related drop"))
NO_ERRORS = table("inet", "t", base("c", "output", 0, "meta l4proto { icmp, ipv6-icmp } drop"))
STATEFUL = table("inet", "t", base("c", "forward", 0, "ct state established accept", "udp dport 7777 accept"))
UNTRACKED = table(
    "inet", "t", base("p", "prerouting", -310, "notrack"), base("c", "output", 0, "ct state invalid drop")
)
MASQUERADE = "table ip t {\nchain n {\ntype nat hook postrouting priority 100\nmasquerade\n}\n}\n"
CLAMP = table("inet", "t", base("c", "forward", 0, "tcp flags syn tcp option maxseg size set rt mtu"))
CLAMP_BY_HAND = CLAMP.replace("rt mtu", "1300")
CLAMP_TOO_LITTLE = CLAMP.replace("rt mtu", "1440")

# name: (links and routes, rules, switches, FROM, TO, version)
CASES = {
    "routed out by a smaller link": (["link set pd mtu 1400"], "", {}, "a", "d", 4),
    "routed out by a smaller link, IPv6": (["link set pd mtu 1400"], "", {}, "a", "d", 6),
    "the answer by a smaller link": (["link set px mtu 1400"], "", {}, "x", "y", 4),
    "what is said of it is filtered": (["link set py mtu 1400"], NO_RELATED, {}, "x", "y", 4),
    "what is said of it is filtered, IPv6": (["link set py mtu 1400"], NO_ERRORS, {}, "x", "y", 6),
    "stateful rules": (["link set py mtu 1400"], STATEFUL, {}, "x", "y", 4),
    "untracked": (["link set py mtu 1400"], UNTRACKED, {}, "x", "y", 4),
    "masqueraded": (["link set py mtu 1400"], MASQUERADE, {}, "x", "y", 4),
    "bridged": (["link set pb mtu 1400"], "", {}, "a", "b", 4),
    "bridged, IPv6": (["link set pb mtu 1400"], "", {}, "a", "b", 6),
    "bridged, br_netfilter": (["link set pb mtu 1400"], "", dict.fromkeys(HERE, "1"), "a", "b", 4),
    "bridged, br_netfilter, IPv6": (["link set pb mtu 1400"], "", dict.fromkeys(HERE, "1"), "a", "b", 6),
    "a route's own MTU": (["route add 10.9.3.17/32 dev py mtu 1400"], "", {}, "x", "y", 4),
    "a route's locked MTU": (["route add 10.9.3.17/32 dev py mtu lock 1400"], "", {}, "x", "y", 4),
    "all fits": ([], "", {}, "x", "y", 4),
}


@pytest.fixture(scope="module")
def room() -> Iterator[Room]:
    with open_lab() as lab, opened(lab) as built:
        yield built


@contextlib.contextmanager
def set_up(room: Room, links: list[str], rules: str, switches: dict[str, str]) -> Iterator[None]:
    write_all(room, NORMAL | dict.fromkeys(HERE, "0") | switches)
    batch(room, links)
    assert load(room, rules) == ""
    try:
        yield
    finally:
        batch(room, [f"link set {guest.port} mtu 1500" for guest in BY_NAME.values()])
        load(room, "flush ruleset\n")
        batch(room, [line.replace("add", "del") for line in links if line.startswith("route add")])


def heard(sock: socket.socket, size: int) -> tuple[bool, tuple[object, ...]]:
    """Whether a datagram of a size comes, and from whom."""
    drained()
    sock.settimeout(WAIT_S)
    with contextlib.suppress(TimeoutError):
        while True:
            data, peer = sock.recvfrom(9000)
            if len(data) == size:
                return True, peer
    return False, ()


def fate(receiver: socket.socket, sender: socket.socket, size: int) -> str:
    """What came of a large datagram: arrives, told (its sender hears of it) or lost."""
    if heard(receiver, size)[0]:
        return "arrives"
    return "told" if told_too_big(sender) else "lost"


def kernel_says(room: Room, one: str, other: str, version: int, size: int = 1500) -> tuple[str, str]:
    """The fate of the largest datagram out, and of the largest that comes back."""
    family = socket.AF_INET if version == 4 else socket.AF_INET6
    header = 28 if version == 4 else 48
    with contextlib.ExitStack() as held:
        ends = []
        for name in (one, other):
            with room.guests[name].entered():
                sock = held.enter_context(socket.socket(family, socket.SOCK_DGRAM))
            cutting(sock, version, whole=True)
            hearing_errors(sock, version)
            sock.bind(("", PORT if name == other else 0))
            ends.append(sock)
        client, server = ends
        client.sendto(b"small", (BY_NAME[other].v4 if version == 4 else BY_NAME[other].v6, PORT))
        came, peer = heard(server, 5)
        server.sendto(b"answer", peer)
        assert came
        assert heard(client, 6)[0]
        with contextlib.suppress(OSError):  # ENOBUFS where the port that it goes to does not take it
            client.sendto(bytes(size - header), (BY_NAME[other].v4 if version == 4 else BY_NAME[other].v6, PORT))
        out = fate(server, client, size - header)
        with contextlib.suppress(OSError):
            server.sendto(bytes(size - header), peer)
        return out, fate(client, server, size - header)


def model_says(room: Room, one: str, other: str, version: int, protocol: str = "udp") -> tuple[str, str]:
    guest = BY_NAME[other]
    walks = Walks(read_network(room.host), ENDS)
    number = address(guest.v4 if version == 4 else guest.v6)
    traffic = Traffic(protocol=protocol, port=PORT)
    walk = LargePacketWalk(walks, BY_END[one], BY_END[other], number, version, traffic, 0)
    told = {packet.leg.name: in_words(packet) for packet in walk.large_packets()}
    return told.get("new", "arrives"), told.get("reply", "arrives")


def in_words(packet: LargePacket) -> str:
    return "told" if packet.result is Certainty.YES else "lost"


@pytest.mark.kernel
@pytest.mark.parametrize("name", CASES)
def test_large_datagrams(room: Room, name: str) -> None:
    links, rules, switches, one, other, version = CASES[name]
    with set_up(room, links, rules, switches):
        truth = kernel_says(room, one, other, version)
        assert model_says(room, one, other, version) == truth
    assert truth != ("arrives", "arrives") or name == "all fits"


def bulk_arrives(room: Room, one: str, other: str, wait_s: float) -> bool:
    """Whether data of TCP comes from one guest to another after their connection is made.

    It ends with a RST: what is sent again when the rules have gone would be told that it is too big, and its sender
    would keep that in mind.
    """
    with contextlib.ExitStack() as held:
        with room.guests[other].entered():
            listener = held.enter_context(socket.create_server(("", PORT)))
        with room.guests[one].entered():
            client = held.enter_context(socket.create_connection((BY_NAME[other].v4, PORT), timeout=HUNG_S))
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        server = held.enter_context(listener.accept()[0])
        client.sendall(bytes(BULK))
        server.settimeout(wait_s)
        got = 0
        with contextlib.suppress(TimeoutError):
            while got < BULK:
                got += len(server.recv(65536))
        return got == BULK


TCP_CASES = {
    "told": (["link set py mtu 1400"], "", True),  # of another guest, for who was told keeps it in mind
    "filtered": (["link set py mtu 1400"], NO_ERRORS, False),
    "filtered, but clamped": (["link set py mtu 1400"], NO_ERRORS + CLAMP.replace(" t ", " u "), True),
    "filtered, but clamped by hand": (["link set py mtu 1400"], NO_ERRORS + CLAMP_BY_HAND.replace(" t ", " u "), True),
    "filtered, clamped too little": (
        ["link set py mtu 1400"],
        NO_ERRORS + CLAMP_TOO_LITTLE.replace(" t ", " u "),
        False,
    ),
}


@pytest.mark.kernel
@pytest.mark.parametrize("name", TCP_CASES)
def test_data_of_a_connection(room: Room, name: str) -> None:
    links, rules, truth = TCP_CASES[name]
    ends = ("c" if name == "told" else "e", "y")
    with set_up(room, links, rules, {}):
        assert bulk_arrives(room, *ends, HUNG_S if truth else WAIT_S) is truth
        said = model_says(room, *ends, 4, "tcp")[0]
    assert (said != "lost") is truth
