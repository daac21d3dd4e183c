"""Rules of ebtables: of ebtables-nft with real frames, of ebtables-legacy by what its program prints."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator

import pytest

from bascule.model.state import HostState
from bascule.observe.packet_path import read_network
from bascule.topology.trace.answer import Certainty
from bascule.topology.trace.network import HostNetwork
from bascule.topology.trace.rules.evaluate import run
from bascule.topology.trace.rules.iptables.frame_words import saved_of_ebtables
from bascule.topology.trace.rules.lines import Rules
from bascule.topology.trace.rules.reading import Listings, with_saves
from bascule.topology.trace.walk import Walks
from tests.lab import open_lab
from tests.oracle.asking import Probe, ask
from tests.oracle.compare import ENDS, differences, predict, words
from tests.oracle.lab import Room, load, opened, write_all
from tests.oracle.test_traps import CALL, NORMAL, QUIET_S

A_TO_B = Probe("a", "b", 80)
CASES = [  # rules, whether a frame from a to b arrives
    ("-A FORWARD -p IPv4 --ip-proto udp --ip-dport 53:90 -j DROP", False),
    ("-A FORWARD -p IPv4 --ip-src 10.9.0.0/255.255.255.240 -j DROP", False),
    ("-A FORWARD -p IPv4 --ip-proto ! udp -j DROP", True),
    ("-A FORWARD -s 02:00:00:00:00:00/ff:ff:ff:ff:ff:00 -d ! 02:00:00:00:00:13 -j DROP", False),
    ("-A FORWARD -p ! ARP -o p+ -i ! pc -j DROP", False),
    ("-A FORWARD -p ARP --arp-ip-src 10.9.0.11 -j DROP", True),
    ("-A FORWARD --pkttype-type broadcast -j DROP", True),
    ("-A FORWARD --stp-type 1 -j DROP", True),
    ("-t nat -A PREROUTING -i pa -j mark --mark-or 6 --mark-target CONTINUE\n-A FORWARD --mark 4/4 -j DROP", False),
    ("-N own -P DROP\n-A own -p IPv6 -j RETURN\n-A FORWARD -i pa -j own", False),
    ("-P FORWARD DROP\n-A FORWARD --among-src 02:00:00:00:00:11=10.9.0.11 -j ACCEPT", True),
    ("-t nat -A PREROUTING -i pa -j dnat --to-destination 02:00:00:00:00:13", False),
    ("-t nat -A PREROUTING -i pa -p IPv4 -j redirect", True),
    ("-t nat -A POSTROUTING -o pb -j snat --to-source 02:00:00:00:00:13 --snat-target ACCEPT", True),
]
LEGACY = """Bridge table: filter

Bridge chain: INPUT, entries: 0, policy: ACCEPT

Bridge chain: FORWARD, entries: 2, policy: DROP
-p IPv4 -s 2:0:0:0:0:11 --ip-proto tcp --ip-dport 22 -j own
--limit 5/sec --limit-burst 5 -j ACCEPT

Bridge chain: OUTPUT, entries: 0, policy: ACCEPT

Bridge chain: own, entries: 1, policy: ACCEPT
-d Broadcast -j DROP
"""


@pytest.fixture(scope="module")
def room() -> Iterator[Room]:
    with open_lab() as lab, opened(lab) as built:
        yield built


@pytest.mark.kernel
@pytest.mark.parametrize(("lines", "arrives"), CASES)
@pytest.mark.parametrize("call", [False, True])
def test_rules_of_ebtables_nft_are_walked_as_the_kernel_does(room: Room, lines: str, arrives: bool, call: bool) -> None:
    load(room, "flush ruleset\n")
    write_all(room, NORMAL | (CALL if call else {}))
    with room.host.entered():
        for line in lines.splitlines():
            subprocess.run(("ebtables-nft", *line.split()), check=True, capture_output=True)
    (seen,) = ask(room, [A_TO_B], QUIET_S)
    assert bool(seen.receiver) is arrives
    answer = predict(Walks(read_network(room.host), ENDS), A_TO_B)
    assert differences(A_TO_B, seen, answer) == [], words(answer)
    assert answer.result in {Certainty.YES, Certainty.NO}, words(answer)


def read_legacy(listing: str) -> Rules:
    return with_saves(Rules({}), Listings(ebtables_legacy=saved_of_ebtables(listing)))


def test_rules_of_ebtables_legacy_stand_at_their_hooks_with_the_policies_of_all_chains() -> None:
    rules = read_legacy(LEGACY)
    (chain,) = rules.at("bridge", "forward")
    assert chain.base is not None
    assert (chain.base.priority, chain.base.policy, chain.backend) == (-200, "drop", "ebtables-legacy")
    ssh = {"ether type": 0x800, "ether saddr": 0x020000000011, "ether daddr": 2, "ip protocol": 6, "th dport": 22}
    assert [end.verdict for end in run(rules, chain, ssh)] == ["accept"]  # the policy of the chain that it came to
    others = run(rules, chain, ssh | {"th dport": 23})
    assert {end.verdict for end in others} == {"accept", "drop"}
    assert any("--limit 5/sec" in str(doubt) for end in others for doubt in end.doubts)
    assert HostNetwork(state=HostState(), rules=rules).rules.unread == ()


def test_what_the_table_broute_takes_off_the_bridge_is_a_perhaps_that_names_the_rule() -> None:
    rules = read_legacy(
        "Bridge table: broute\n\nBridge chain: BROUTING, entries: 1, policy: ACCEPT\n-p IPv4 -i eth0 -j DROP\n"
    )
    (chain,) = rules.at("bridge", "prerouting")
    ends = run(rules, chain, {"ether type": 0x800, "meta iifname": "eth0"})
    assert {end.verdict for end in ends} == {"accept", "drop"}
    assert all("-p IPv4 -i eth0 -j DROP" in str(doubt) for end in ends for doubt in end.doubts)
    assert [end.verdict for end in run(rules, chain, {"ether type": 0x806, "meta iifname": "eth0"})] == ["accept"]
