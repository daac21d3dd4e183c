"""Traps below IP: tags, the search for neighbours, sizes, rules of the old iptables, links that are made again."""

from __future__ import annotations

import socket
import struct
import subprocess
from collections.abc import Iterator

import pytest
from msgspec.structs import replace

from bascule.observe.packet_path import read_network
from bascule.topology.trace.answer import Certainty, Reachability
from bascule.topology.trace.network import WireEnd
from bascule.topology.trace.packet import Traffic
from bascule.topology.trace.rules.values import address
from bascule.topology.trace.walk import Walks
from tests.backlog import drained
from tests.lab import open_lab
from tests.oracle.asking import Probe, ask
from tests.oracle.compare import BY_END, ENDS, words
from tests.oracle.lab import BY_NAME, HOST_MACS, Room, batch, load, opened, write_all
from tests.oracle.test_traps import CALL, NORMAL, QUIET_S, base, table

SEARCHING = tuple(replace(end, static_neighbours=False) for end in ENDS)
DROP_FORWARD = table("ip", "t", base("c", "forward", 0, policy="drop"))


@pytest.fixture
def room() -> Iterator[Room]:
    with open_lab() as lab, opened(lab) as built:
        write_all(built, NORMAL)
        yield built


def delivered(answer: Reachability) -> Certainty:
    return next(leg for leg in answer.legs if leg.name == "new").delivered


def model(room: Room, traffic: Traffic, ends: object = ENDS, version: int = 4) -> Reachability:
    guest = BY_NAME["b"]
    number = address(guest.v4 if version == 4 else guest.v6)
    walks = Walks(read_network(room.host), ends)  # type: ignore[arg-type]  # of the lab
    return walks.ask(BY_END["a"] if ends is ENDS else SEARCHING[0], _b(ends), number, version, traffic)


def _b(ends: object) -> WireEnd:
    return BY_END["b"] if ends is ENDS else SEARCHING[1]


def raw_udp(room: Room, vid: int) -> bool:
    """Whether a frame with a tag that the guest itself sets arrives."""
    one, other = BY_NAME["a"], BY_NAME["b"]
    data = b"tagged"
    udp = struct.pack("!HHHH", 5555, 7777, 8 + len(data), 0)
    header = struct.pack(
        "!BBHHHBBH4s4s", 0x45, 0, 28 + len(data), 1, 0, 64, 17, 0, socket.inet_aton(one.v4), socket.inet_aton(other.v4)
    )
    total = sum(struct.unpack("!10H", header))
    total = (total & 0xFFFF) + (total >> 16)
    header = header[:10] + struct.pack("!H", ~(total + (total >> 16)) & 0xFFFF) + header[12:]
    macs = bytes.fromhex(other.mac.replace(":", "") + one.mac.replace(":", ""))
    frame = macs + struct.pack("!HHH", 0x8100, vid, 0x0800) + header + udp + data
    with room.guests["b"].entered():
        receiver = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    receiver.bind(("", 7777))
    receiver.settimeout(0.4)
    with room.guests["a"].entered():
        sender = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
        sender.bind(("eth0", 0))
    try:
        sender.send(frame)
        drained()
        return receiver.recv(64) == data
    except TimeoutError:
        return False
    finally:
        sender.close()
        receiver.close()


@pytest.mark.kernel
def test_t10_a_priority_tag_passes_by_the_ip_chains(room: Room) -> None:
    load(room, DROP_FORWARD)
    write_all(room, CALL)
    tagged = Traffic(protocol="udp", port=7777, sender_port=5555, size=34, vlan=0)
    for closed, arrives in (("0", True), ("1", False)):
        write_all(room, {"net/bridge/bridge-nf-filter-vlan-tagged": closed})
        assert raw_udp(room, 0) is arrives
        answer = model(room, tagged)
        assert delivered(answer) is (Certainty.YES if arrives else Certainty.NO), words(answer)
    assert delivered(model(room, replace(tagged, vlan=None))) is Certainty.NO
    write_all(room, CALL)  # a rule of the bridges' own family sees the tag
    load(room, "table bridge own {\nchain c {\ntype filter hook prerouting priority -300\nvlan id 0 drop\n}\n}\n")
    assert raw_udp(room, 0) is False
    assert delivered(model(room, tagged)) is Certainty.NO


def without_neighbours(room: Room) -> None:
    for name, other in (("a", "b"), ("b", "a")):
        guest = BY_NAME[other]
        with room.guests[name].entered():
            for text in (guest.v4, guest.v6):
                subprocess.run(("ip", "neigh", "del", text, "dev", "eth0"), check=True)


@pytest.mark.kernel
@pytest.mark.parametrize(
    ("rules", "arrives"),
    [(("ether type ip accept",), False), (("ether type { ip, arp } accept",), True)],
)
def test_t13_a_bridge_that_drops_needs_arp_accepted(room: Room, rules: tuple[str, ...], arrives: bool) -> None:
    load(room, table("bridge", "t", base("c", "forward", -200, *rules, policy="drop")))
    without_neighbours(room)
    (seen,) = ask(room, [Probe("a", "b", 80)], 0.4)
    assert bool(seen.receiver) is arrives
    answer = model(room, Traffic(protocol="udp", port=80), SEARCHING)
    assert answer.result is (Certainty.YES if arrives else Certainty.NO), words(answer)
    if not arrives:
        assert {one.code for one in answer.blockers} == {"arp-filtered"}


@pytest.mark.kernel
@pytest.mark.parametrize(
    ("rules", "arrives"),
    [(("meta l4proto udp accept",), False), (("icmpv6 type { 135, 136 } accept", "meta l4proto udp accept"), True)],
)
def test_t12_neighbour_discovery_is_ip_and_meets_the_ip_chains(
    room: Room, rules: tuple[str, ...], arrives: bool
) -> None:
    load(room, table("inet", "t", base("c", "forward", 0, *rules, policy="drop")))
    write_all(room, CALL | {"net/bridge/bridge-nf-call-ip6tables": "1"})
    without_neighbours(room)
    four, six = ask(room, [Probe("a", "b", 80), Probe("a", "b", 80, 6)], 0.6)
    assert four.receiver == "b"  # ARP meets no IP chain
    assert bool(six.receiver) is arrives
    answer = model(room, Traffic(protocol="udp", port=80), SEARCHING, 6)
    assert answer.result is (Certainty.YES if arrives else Certainty.NO), words(answer)
    if not arrives:
        assert {one.code for one in answer.blockers} == {"ndp-filtered"}
    assert model(room, Traffic(protocol="udp", port=80), SEARCHING, 4).result is Certainty.YES


@pytest.mark.kernel
@pytest.mark.parametrize(("size", "arrives"), [(1400, True), (1404, True), (1405, False), (1500, False)])
def test_t29_a_bridge_drops_what_does_not_fit_without_a_word(room: Room, size: int, arrives: bool) -> None:
    batch(room, ["link set pb mtu 1400"])
    (seen,) = ask(room, [Probe("a", "b", 80, size=size)], QUIET_S)
    assert bool(seen.receiver) is arrives
    answer = model(room, Traffic(protocol="udp", port=80, size=size))
    assert delivered(answer) is (Certainty.YES if arrives else Certainty.NO), words(answer)
    if not arrives:
        assert answer.blockers[0].code == "mtu"


def legacy(room: Room, *lines: str) -> None:
    with room.host.entered():
        for line in lines:
            done = subprocess.run(("iptables-legacy", *line.split()), capture_output=True, text=True, check=False)
            if done.returncode:
                pytest.skip(f"iptables-legacy does not work here: {done.stderr.strip().splitlines()[0]}")


@pytest.mark.kernel
@pytest.mark.parametrize(
    "lines",
    [
        ("-P FORWARD DROP",),
        ("-N own", "-A own -p udp -m multiport --dports 53,80:90 -j DROP", "-A FORWARD -i br0 -j own"),
        ("-A FORWARD -m conntrack --ctstate NEW -s 10.9.0.8/29 -j DROP",),
        ("-A FORWARD -m physdev --physdev-in pa --physdev-is-bridged -j DROP",),
        ("-t mangle -A PREROUTING -m mac --mac-source 02:00:00:00:00:11 -j DROP",),
        ("-A FORWARD -m iprange --src-range 10.9.0.10-10.9.0.12 -m addrtype ! --dst-type LOCAL -j REJECT",),
    ],
)
def test_t26_rules_of_iptables_legacy_apply_beside_an_empty_nft(room: Room, lines: tuple[str, ...]) -> None:
    write_all(room, CALL)
    assert ask(room, [Probe("a", "b", 80)], QUIET_S)[0].receiver == "b"
    legacy(room, *lines)
    assert not ask(room, [Probe("a", "b", 80)], QUIET_S)[0].receiver
    answer = model(room, Traffic(protocol="udp", port=80))
    assert delivered(answer) is Certainty.NO, words(answer)
    assert answer.blockers[0].chain is not None
    assert answer.blockers[0].chain.backend == "iptables-legacy"


@pytest.mark.kernel
@pytest.mark.parametrize(
    ("lines", "arrives"),
    [
        (("-A FORWARD -m physdev --physdev-in pa --physdev-is-bridged -j DROP",), False),
        (("-A FORWARD -m physdev --physdev-in pc -j DROP",), True),
        (("-A FORWARD -m physdev ! --physdev-is-bridged -j DROP",), True),
        (("-A FORWARD -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT", "-A FORWARD -j DROP"), False),
        (("-A FORWARD -p udp -m udp --dport 80 -m comment --comment x -j ACCEPT", "-P FORWARD DROP"), True),
        (("-A FORWARD -m addrtype --src-type LOCAL -j DROP",), True),
        (("-A FORWARD -p udp -m multiport ! --dports 53,443 -j DROP",), False),
        (("-A FORWARD -p tcp -m tcp --tcp-flags SYN,RST SYN -j DROP",), True),
        (("-t mangle -A FORWARD -j MARK --set-xmark 0x5/0xf", "-A FORWARD -m mark --mark 0x5/0xf -j DROP"), False),
    ],
)
def test_words_of_iptables_nft_that_nft_hides_are_read(room: Room, lines: tuple[str, ...], arrives: bool) -> None:
    write_all(room, CALL)
    with room.host.entered():
        for line in lines:
            subprocess.run(("iptables-nft", *line.split()), check=True, capture_output=True)
    assert bool(ask(room, [Probe("a", "b", 80)], QUIET_S)[0].receiver) is arrives
    answer = model(room, Traffic(protocol="udp", port=80))
    assert delivered(answer) is (Certainty.YES if arrives else Certainty.NO), words(answer)


@pytest.mark.kernel
def test_t25_a_rule_by_the_index_of_a_link_that_was_made_again_never_matches(room: Room) -> None:
    batch(room, ["link add again type bridge", "link set again up"])
    load(room, table("ip", "t", base("c", "prerouting", 0, 'iif "again" drop', policy="accept")))
    batch(room, ["link del again", "link del br1"])
    with room.host.entered():
        subprocess.run(("ip", "link", "add", "br1", "address", HOST_MACS["br1"], "type", "bridge"), check=True)
    network = read_network(room.host)
    chain = next(iter(network.rules.chains.values()))
    assert '"again"' not in chain.lines[0].text
    answer = model(room, Traffic(protocol="udp", port=80))
    assert delivered(answer) is Certainty.YES


@pytest.mark.kernel
def test_t21_arp_ignore_stops_the_answer_for_another_link(room: Room) -> None:
    def answers() -> bool:
        with room.guests["a"].entered():
            done = subprocess.run(
                ("ip", "neigh", "flush", "dev", "eth0", "nud", "all"), check=False, capture_output=True
            )
            subprocess.run(("ip", "route", "add", "10.9.1.1/32", "dev", "eth0"), check=False, capture_output=True)
            assert done is not None
        return bool(ask(room, [Probe("a", "host", 80, address="10.9.1.1")], 0.4)[0].receiver)

    assert answers()
    write_all(room, {"net/ipv4/conf/all/arp_ignore": "1"})
    with room.guests["a"].entered():
        subprocess.run(("ip", "neigh", "flush", "all"), check=False)
    assert not answers()
    searching = replace(SEARCHING[0], addresses=((address("10.9.0.11"), 4, 14),), gateways={})
    for ignore, arrives in (("0", True), ("1", False)):
        write_all(room, {"net/ipv4/conf/all/arp_ignore": ignore})
        walks = Walks(read_network(room.host), (searching, *SEARCHING[1:]))
        answer = walks.ask(searching, None, address("10.9.1.1"), 4, Traffic(protocol="udp", port=80))
        assert (answer.result is Certainty.YES) is arrives, words(answer)


@pytest.mark.kernel
@pytest.mark.parametrize(("port", "is_sure"), [(80, False), (443, True)])
def test_t26_of_nat_by_iptables_legacy_and_by_nft_nobody_can_tell_which_is_asked_first(
    room: Room, port: int, is_sure: bool
) -> None:
    """Whichever was registered last, and the legacy table of a namespace stays registered."""
    write_all(room, CALL)
    load(room, table("ip", "t", base("c", "postrouting", 100, "snat to 10.9.0.77", kind="nat")))
    legacy(room, "-t nat -A POSTROUTING -p udp --dport 80 -j SNAT --to-source 10.9.0.78")
    (seen,) = ask(room, [Probe("a", "b", port)], QUIET_S)
    assert (seen.receiver, seen.source in ({"10.9.0.77"} if is_sure else {"10.9.0.77", "10.9.0.78"})) == ("b", True)
    answer = model(room, Traffic(protocol="udp", port=port))
    assert delivered(answer) is (Certainty.YES if is_sure else Certainty.PERHAPS), words(answer)
