"""Traps of connection tracking: what stands already outlives its rule, and half a connection is new or invalid."""

from __future__ import annotations

import socket
import struct
from collections.abc import Iterator

import pytest

from bascule.observe.packet_path import read_network
from bascule.topology.trace.answer import Certainty
from bascule.topology.trace.ends.wire_ends import WireEnds
from bascule.topology.trace.packet import Connection, Traffic, reply, request
from bascule.topology.trace.passage import PacketPath
from bascule.topology.trace.rules.values import address
from bascule.topology.trace.walk import Walks
from tests.backlog import drained
from tests.lab import open_lab
from tests.oracle.asking import Probe, checksum
from tests.oracle.compare import ENDS, predict, words
from tests.oracle.lab import BY_NAME, HOST_MACS, Room, load, opened, write_all
from tests.oracle.test_traps import NORMAL, base, table

SYN, ACK, SYN_ACK = 0x02, 0x10, 0x12
QUIET_S = 0.3
PORTS_OF_TCP = 40000


@pytest.fixture
def room() -> Iterator[Room]:
    with open_lab() as lab, opened(lab) as built:
        write_all(built, NORMAL)
        yield built


def state_rules(*more: str) -> str:
    return table("ip", "t", base("c", "forward", 0, "ct state established accept", *more, policy="drop"))


def arrives(room: Room, sender: socket.socket, text: bytes) -> bool:
    """Whether guest d hears a datagram; the lab's own receivers would take it, so it goes to a port of its own."""
    with room.guests["d"].entered(), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as receiver:
        receiver.bind(("", 7777))
        receiver.settimeout(QUIET_S)
        sender.sendto(text, (BY_NAME["d"].v4, 7777))
        drained()
        try:
            heard, peer = receiver.recvfrom(64)
        except TimeoutError:
            return False
        receiver.sendto(b"answer", peer)  # which makes it established
        return heard == text


@pytest.mark.kernel
def test_t7_what_is_established_outlives_its_rule(room: Room) -> None:
    load(room, state_rules("udp dport 7777 accept"))
    with room.guests["a"].entered():
        old, new = (socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(2))
    with old, new:
        assert arrives(room, old, b"one")
        load(room, f"delete table ip t\n{state_rules()}")
        assert arrives(room, old, b"two")
        assert not arrives(room, new, b"three")
    answer = predict(Walks(read_network(room.host), ENDS), Probe("a", "d", 7777))  # it speaks of new ones
    assert answer.result is Certainty.NO, words(answer)


def tcp_arrives(room: Room, flags: int, port: int) -> bool:
    """Whether a lone TCP packet from guest a comes out on guest d's wire."""
    one, other = BY_NAME["a"], BY_NAME["d"]
    ends = socket.inet_aton(one.v4) + socket.inet_aton(other.v4)
    head = struct.pack("!BBHHHBBH", 0x45, 0, 40, 1, 0, 64, 6, 0) + ends
    head = head[:10] + struct.pack("!H", checksum(head)) + head[12:]
    tcp = struct.pack("!HHIIBBHHH", port, 80, 1, 1, 0x50, flags, 1000, 0, 0)
    tcp = tcp[:16] + struct.pack("!H", checksum(ends + struct.pack("!HH", 6, 20) + tcp)) + tcp[18:]
    macs = bytes.fromhex((HOST_MACS["br0"] + one.mac).replace(":", ""))
    with room.guests["d"].entered(), socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(0x0800)) as wire:
        wire.bind(("eth0", 0x0800))
        wire.settimeout(QUIET_S)
        room.wires["a"].send(macs + struct.pack("!H", 0x0800) + head + tcp)
        drained()
        try:
            while True:
                frame = wire.recv(200)
                if frame[34:36] == struct.pack("!H", port):
                    return True
        except TimeoutError:
            return False


@pytest.mark.kernel
@pytest.mark.parametrize(
    ("flags", "is_first", "state"), [(SYN, True, "new"), (ACK, False, "new"), (SYN_ACK, False, "invalid")]
)
def test_t8_half_a_connection_is_new_or_invalid(room: Room, flags: int, is_first: bool, state: str) -> None:
    load(room, table("ip", "t", base("c", "forward", 0, f"ct state != {state} drop")))
    assert tcp_arrives(room, flags, PORTS_OF_TCP)
    load(room, "flush ruleset")
    load(room, table("ip", "t", base("c", "forward", 0, f"ct state {state} drop")))
    assert not tcp_arrives(room, flags, PORTS_OF_TCP + 1)
    network = read_network(room.host)
    there = request(Traffic(protocol="tcp", port=80), 4, address(BY_NAME["a"].v4), address(BY_NAME["d"].v4))
    connection = Connection()
    connection.is_reply = not is_first  # whose first packet went another way, so that nothing is tracked
    passage = PacketPath(
        WireEnds(network, ENDS), there if is_first else {**reply(reply(there)), "tcp flags": flags}, connection
    )
    passage.ip_hook("prerouting", iif="br0")
    assert passage.fields["ct state"] == {"new": 8, "invalid": 1}[state]
