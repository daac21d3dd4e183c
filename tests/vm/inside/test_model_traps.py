"""Traps of packet filtering that a kernel may lack: rules of bridges by connection, reject, bridges' names, VLANs.

Kernel and model must both tell the truth of each case, as in tests/oracle/test_traps.py.
"""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from bascule.observe.packet_path import read_network
from bascule.topology.trace.answer import Certainty
from bascule.topology.trace.walk import Walks
from tests.lab import open_lab
from tests.oracle.asking import Probe, ask
from tests.oracle.compare import ENDS, differences, predict, words
from tests.oracle.lab import Room, batch, load, opened, write_all
from tests.oracle.test_traps import NORMAL, QUIET_S, base, table

A_TO_B, A_TO_D = Probe("a", "b", 80), Probe("a", "d", 80)
FILTERING = "link set br0 type bridge vlan_filtering 1"
CASES = [  # name, rules, lines of ip(8), lines of bridge(8), probe, whether it arrives
    ("ct on a bridge", table("bridge", "t", base("c", "forward", 0, "ct state new drop")), (), (), A_TO_B, False),
    ("ct lets answers through",
     table("bridge", "t", base("c", "forward", 0, "ct state established accept", 'iifname "pb" drop')), (), (), A_TO_B,
     True),
    ("reject on a bridge", table("bridge", "t", base("c", "prerouting", 0, "udp dport 80 reject")), (), (), A_TO_B,
     False),
    ("the bridge's name", table("bridge", "t", base("c", "forward", 0, 'meta ibrname "br0" drop')), (), (), A_TO_B,
     False),
    ("another bridge's name", table("bridge", "t", base("c", "forward", 0, 'meta obrname "br1" drop')), (), (), A_TO_B,
     True),
    ("VLANs: one for all", "", (FILTERING,), (), A_TO_B, True),
    ("VLANs: another access VLAN", "", (FILTERING,), ("vlan del vid 1 dev pb", "vlan add vid 7 pvid untagged dev pb"),
     A_TO_B, False),
    ("VLANs: the same access VLAN", "", (FILTERING,),
     tuple(f"vlan {words} dev p{end}" for end in "ab" for words in ("del vid 1", "add vid 7 pvid untagged")), A_TO_B,
     True),
    ("VLANs: the host is in another", "", (FILTERING,),
     tuple(f"vlan {words} dev pa" for words in ("del vid 1", "add vid 7 pvid untagged")), A_TO_D, False),
    ("VLANs: no PVID", "", (FILTERING,), ("vlan add vid 1 untagged dev pa",), A_TO_B, False),
]  # fmt: skip


SWITCH = Path("/proc/sys/net/bridge/bridge-nf-call-iptables")


@pytest.fixture
def room() -> Iterator[Room]:
    with open_lab() as lab, opened(lab) as built:
        subprocess.run(("modprobe", "br_netfilter"), check=False, capture_output=True)  # whatever other tests loaded
        if not SWITCH.exists():
            pytest.skip("this machine has no br_netfilter")
        write_all(built, NORMAL)
        yield built


@pytest.mark.parametrize(("rules", "links", "vlans", "probe", "arrives"), [case[1:] for case in CASES],
                         ids=[case[0] for case in CASES])  # fmt: skip
def test_kernel_and_model_tell_the_same_truth(
    room: Room, rules: str, links: tuple[str, ...], vlans: tuple[str, ...], probe: Probe, *, arrives: bool
) -> None:
    batch(room, links)
    batch(room, vlans, "bridge")
    assert load(room, rules) == ""
    (seen,) = ask(room, [probe], QUIET_S)
    assert bool(seen.receiver) is arrives
    answer = predict(Walks(read_network(room.host), ENDS), probe)
    assert differences(probe, seen, answer) == [], words(answer)
    first = next(leg for leg in answer.legs if leg.name == "new")
    known = Certainty.YES if arrives else Certainty.NO
    assert first.delivered in ({known, Certainty.PERHAPS} if "ct state" in rules else {known}), words(answer)
