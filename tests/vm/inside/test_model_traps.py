"""Traps of packet filtering that a kernel may lack: rules of bridges by connection, reject, bridges' names, VLANs.

Kernel and model must both tell the truth of each case, as in tests/oracle/test_traps.py.
"""

from __future__ import annotations

import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from msgspec.structs import replace

from bascule.observe.packet_path import read_network
from bascule.topology.trace.answer import Certainty
from bascule.topology.trace.network import WireEnd
from bascule.topology.trace.walk import Walks
from tests.lab import open_lab
from tests.oracle.asking import Probe, ask
from tests.oracle.compare import ENDS, differences, predict, words
from tests.oracle.lab import BY_NAME, HOST_MACS, Room, batch, load, opened, write_all
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

CALLS = {f"net/bridge/bridge-nf-call-{one}": "1" for one in ("iptables", "ip6tables")}
OFF = NORMAL | {"net/bridge/bridge-nf-pass-vlan-input-dev": "0"}
TAGGED_TOO = CALLS | {"net/bridge/bridge-nf-filter-vlan-tagged": "1"}
AS_VLAN = TAGGED_TOO | {"net/bridge/bridge-nf-pass-vlan-input-dev": "1"}
FORWARD = table("inet", "t", base("c", "forward", 0, policy="drop"))
FORWARD_4 = table("ip", "t", base("c", "forward", 0, policy="drop"))
RAW = table("ip", "t", base("c", "prerouting", -300, policy="drop"))
POST = table("ip", "t", base("c", "postrouting", 100, policy="drop"))
BRIDGE = table("bridge", "t", base("c", "forward", -200, policy="drop"))
BY_VLAN = table("ip", "t", base("c", "forward", 0, 'iifname "br0.7" drop'))
A_TO_B_6 = Probe("a", "b", 80, 6)
ACCESS = tuple(f"vlan {words} dev p{end}" for end in "ab" for words in ("del vid 1", "add vid 7 pvid untagged"))
TO_TRUNK = (*ACCESS[:2], "vlan add vid 7 dev pb")
FROM_TRUNK = ("vlan add vid 7 dev pa", *ACCESS[2:])
TRUNKS = ("vlan add vid 7 dev pa", "vlan add vid 7 dev pb")
NO_PVID = ("vlan add vid 1 dev pa",)
HOST_VLAN = "link add link br0 name br0.7 type vlan id 7"
# how frames pass, lines of bridge(8), the guests that tag with 7, rules, switches, probe, whether it arrives
WAYS = [
    ("unaware", None, "", FORWARD, CALLS, A_TO_B, False),
    ("unaware", None, "ab", FORWARD, CALLS, A_TO_B, True),
    ("unaware", None, "ab", FORWARD, TAGGED_TOO, A_TO_B, False),
    ("one VLAN", (), "", FORWARD, CALLS, A_TO_B, False),
    ("one VLAN", (), "", FORWARD, CALLS, A_TO_B_6, False),
    ("one VLAN", (), "", FORWARD, {}, A_TO_B, True),
    ("one VLAN", (), "", RAW, CALLS, A_TO_B, False),
    ("one VLAN", (), "", POST, CALLS, A_TO_B, False),
    ("one VLAN", (), "", BRIDGE, {}, A_TO_B, False),
    ("one VLAN", (), "", FORWARD, TAGGED_TOO, A_TO_B, False),
    *(("one VLAN", (), "", FORWARD, switches, Probe("a", "b", 80, vlan=vid), switches is CALLS)
      for vid in (0, 1) for switches in (CALLS, TAGGED_TOO)),
    ("access", ACCESS, "", FORWARD, CALLS, A_TO_B, False),
    ("access", ACCESS, "", FORWARD_4, CALLS, A_TO_B_6, True),
    ("no PVID", NO_PVID, "", "", CALLS, A_TO_B, False),
    *((name, lines, tags, rules, switches, A_TO_B, arrives)
      for name, lines, tags, raw in (("to a trunk", TO_TRUNK, "b", False), ("from a trunk", FROM_TRUNK, "a", True),
                                     ("trunks", TRUNKS, "ab", True))
      for rules, switches, arrives in ((FORWARD, CALLS, True), (FORWARD, TAGGED_TOO, False), (RAW, CALLS, raw),
                                       (RAW, TAGGED_TOO, False), (POST, CALLS, True), (POST, TAGGED_TOO, False),
                                       (BRIDGE, CALLS, False), (BY_VLAN, TAGGED_TOO, True))),
    ("to a trunk", TO_TRUNK, "b", FORWARD, CALLS, A_TO_B_6, True),
    ("to a trunk", TO_TRUNK, "b", FORWARD, TAGGED_TOO, A_TO_B_6, False),
    ("from a trunk", FROM_TRUNK, "a", BY_VLAN, AS_VLAN, A_TO_B, True),
    ("to a trunk", TO_TRUNK, "b", BY_VLAN, AS_VLAN, A_TO_B, False),
    ("trunks", TRUNKS, "ab", BY_VLAN, AS_VLAN, A_TO_B, False),
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


def tagging(room: Room, names: str) -> None:
    """Guests that speak in VLAN 7 alone, by a link of their own."""
    for name in names:
        guest, others = BY_NAME[name], [BY_NAME[other] for other in "ab" if other != name]
        pairs = [(one.mac, text) for one in others for text in (one.v4, one.v6)]
        pairs += [(HOST_MACS["br0"], text) for text in (guest.host4, guest.host6)]
        lines = [
            "link add link eth0 name eth0.7 type vlan id 7",
            "address flush dev eth0",
            "link set eth0.7 addrgenmode none up",
            f"address add {guest.v4}/24 dev eth0.7",
            f"address add {guest.v6}/64 dev eth0.7 nodad",
            *(f"neigh add {text} lladdr {mac} dev eth0.7" for mac, text in pairs),
        ]
        with room.guests[name].entered():
            subprocess.run(("ip", "-batch", "-"), input="\n".join(lines), text=True, check=True)


KINDS = tuple(dict.fromkeys((name, lines, tags) for name, lines, tags, *_ in WAYS))


@pytest.mark.parametrize("kind", KINDS, ids=[f"{name}, {tags or 'nobody'} tags" for name, _, tags in KINDS])
def test_which_rules_meet_the_frames_of_a_bridge_that_knows_vlans(
    room: Room, kind: tuple[str, tuple[str, ...] | None, str]
) -> None:
    wrong = list(_asked(room, kind))
    assert not wrong, "\n".join(wrong)


def _asked(room: Room, kind: tuple[str, tuple[str, ...] | None, str]) -> Iterator[str]:
    name, vlans, tags = kind
    batch(room, () if vlans is None else (FILTERING, HOST_VLAN))
    batch(room, vlans or (), "bridge")
    tagging(room, tags)
    ends = tuple(replace(end, vlan=7 if end.name in tags else 0) for end in ENDS)
    for rules, switches, probe, arrives in (row[3:] for row in WAYS if row[:3] == kind):
        yield from (f"{name}: {one}" for one in _said(room, rules, switches, probe, ends, arrives=arrives))


def _said(
    room: Room, rules: str, switches: dict[str, str], probe: Probe, ends: Sequence[WireEnd], *, arrives: bool
) -> Iterator[str]:
    """What kernel or model say otherwise."""
    write_all(room, OFF | switches)
    assert load(room, f"flush ruleset\n{rules}") == ""
    (seen,) = ask(room, [probe], QUIET_S)
    answer = predict(Walks(read_network(room.host), ends), probe)
    first = next(leg for leg in answer.legs if leg.name == "new")
    what = f"{probe}, {' '.join(key.rpartition('-')[2] for key in switches)}: {rules}"
    if bool(seen.receiver) is not arrives:
        yield f"KERNEL {bool(seen.receiver)}, not {arrives}: {what}"
    if first.delivered is not (Certainty.YES if seen.receiver else Certainty.NO):
        yield f"MODEL {first.delivered}, kernel {bool(seen.receiver)}: {what}\n{words(answer)}"
    yield from (f"{one}: {what}" for one in differences(probe, seen, answer))


A_TO_HOST, HOST_TO_A = Probe("a", "host", 80), Probe("host", "a", 80)
# rules, switches, probe, whether it arrives, where the host's addresses are on br0.7
UP: list[tuple[str, dict[str, str], Probe, bool]] = [
    *(("", {}, probe, True) for probe in (A_TO_HOST, HOST_TO_A, Probe("a", "host", 80, 6))),
    *((table("inet", "t", base("c", "input", 0, f'iifname "{link}" drop')), {}, A_TO_HOST, link == "br0")
      for link in ("br0", "br0.7")),
    *((table("ip", "t", base("c", "prerouting", -300, f'iifname "{link}" drop')), switches, A_TO_HOST, arrives)
      for link, switches, arrives in (("br0", {}, True), ("br0.7", {}, False), ("br0", CALLS, False),
                                      ("br0.7", CALLS, True))),
    (table("bridge", "t", base("c", "input", 0, "vlan id 7 drop")), {}, A_TO_HOST, False),
    (table("bridge", "t", base("c", "output", 0, "vlan id 7 drop")), {}, HOST_TO_A, True),
]  # fmt: skip


def test_the_host_hears_and_speaks_by_the_link_of_its_vlan(room: Room) -> None:
    own, guest = "dev br0.7", BY_NAME["a"]
    neighbours = [f"neigh add {text} lladdr {guest.mac} {own}" for text in (guest.v4, guest.v6)]
    addresses = [f"address add {guest.host4}/24 {own}", f"address add {guest.host6}/64 {own} nodad"]
    links = [FILTERING, HOST_VLAN, "address flush dev br0", "link set br0.7 up", *addresses, *neighbours]
    batch(room, links)
    batch(room, (*ACCESS, "vlan add vid 7 dev br0 self"), "bridge")
    wrong = list[str]()
    for rules, switches, probe, arrives in UP:
        wrong += _said(room, rules, switches, probe, ENDS, arrives=arrives)
    assert not wrong, "\n".join(wrong)
