"""The traps of packet filtering on a Linux host: what a person would expect, what the kernel does, what the model says.

Each case is a set of rules and switches with the truth that was measured (Linux 6.18); kernel and model must both
tell it. The numbers are those of docs/explanation/frames.md.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from dataclasses import field as of
from typing import Any

import pytest
from msgspec.structs import replace

from bascule.observe.packet_path import read_network
from bascule.topology.trace.answer import Certainty
from bascule.topology.trace.walk import Walks
from tests.lab import open_lab
from tests.oracle.asking import Probe, ask
from tests.oracle.compare import ENDS, differences, loaded_later, predict, words
from tests.oracle.lab import Room, batch, load, opened, write_all

CALL = {"net/bridge/bridge-nf-call-iptables": "1"}
QUIET_S = 0.15
NORMAL = {
    "net/ipv4/ip_forward": "1",
    "net/ipv6/conf/all/forwarding": "1",
    "net/bridge/bridge-nf-call-iptables": "0",
    "net/bridge/bridge-nf-call-ip6tables": "0",
    "net/bridge/bridge-nf-filter-vlan-tagged": "0",
    **{f"net/ipv4/conf/{link}/rp_filter": "0" for link in ("all", "br0", "br1", "px")},
}


def table(family: str, name: str, *chains: str) -> str:
    return f"table {family} {name} {{\n{''.join(chains)}}}\n"


def base(name: str, hook: str, priority: int, *rules: str, policy: str = "accept", kind: str = "filter") -> str:
    head = f"type {kind} hook {hook} priority {priority}\npolicy {policy}\n"
    return f"chain {name} {{\n{head}" + "".join(f"{rule}\n" for rule in rules) + "}\n"


def side(name: str, *rules: str) -> str:
    return f"chain {name} {{\n" + "".join(f"{rule}\n" for rule in rules) + "}\n"


def probe(way: str, port: int = 80, **rest: Any) -> Probe:
    source, _, target = way.partition(">")
    return Probe(source, target, port, **rest)


A_TO_B, A_TO_D = probe("a>b"), probe("a>d")
LARGE, LARGE_TO_D = probe("a>b", size=4000), probe("a>d", size=4000)


@dataclass
class Case:
    """Rules, switches, links and the lines that undo these; what arrives, and what is answered."""

    arrives: bool
    probe: Probe = A_TO_B
    rules: tuple[str, ...] = ()
    sysctls: dict[str, str] = of(default_factory=dict)
    links: tuple[str, ...] = ()
    undo: tuple[str, ...] = ()
    replied: bool | None = None
    seen_from: str = ""
    reply_from: str = ""
    perhaps: bool = False  # the model leaves it open, and says on what it depends


def marking(first: str, second: str) -> tuple[str, ...]:
    marks = table("ip", first, base("c", "prerouting", 0, "meta mark set 1"))
    return marks, table("ip", second, base("c", "prerouting", 0, "meta mark 1 drop"))


MIDDLE = table("ip", "t", side("tail", "counter"), side("mid", "goto tail"))
CASES: dict[str, Case] = {
    # T1: of one priority the youngest chain is called first
    "T1 a mark set by the older chain comes too late": Case(True, A_TO_D, marking("a", "b")),
    "T1 a mark set by the younger chain is seen": Case(False, A_TO_D, tuple(reversed(marking("a", "b")))),
    # T2: accept ends its own chain only, drop ends all
    "T2 an accept before is no help": Case(
        False,
        A_TO_D,
        (table("ip", "a", base("c", "forward", -10, "accept")), table("ip", "b", base("c", "forward", 0, "drop"))),
    ),
    "T2 a drop before is final": Case(
        False,
        A_TO_D,
        (table("ip", "a", base("c", "forward", -10, "drop")), table("ip", "b", base("c", "forward", 0, "accept"))),
    ),
    # T3: goto, return, vmap
    "T3 what falls off after goto goes on in the caller of its caller": Case(
        False,
        A_TO_D,
        (
            table(
                "ip",
                "t",
                side("tail", "counter"),
                side("mid", "goto tail", "accept"),
                base("c", "forward", 0, "jump mid", "drop"),
            ),
        ),
    ),
    "T3 goto from a base chain that falls off meets the policy": Case(
        False,
        A_TO_D,
        (table("ip", "t", side("tail"), base("c", "forward", 0, "goto tail", "accept", policy="drop")),),
    ),
    "T3 return in a base chain meets the policy": Case(
        False, A_TO_D, (table("ip", "t", base("c", "forward", 0, "return", "accept", policy="drop")),)
    ),
    "T3 a verdict map without the packet goes on": Case(
        False, A_TO_D, (table("ip", "t", base("c", "forward", 0, "udp dport vmap { 53 : accept }", "drop")),)
    ),
    # T4: NAT is done at -100 and 100, whatever the chain says
    "T4 before -100 there is the old destination": Case(
        False,
        probe("a>d", 53),
        (
            table("ip", "n", base("c", "prerouting", 0, "udp dport 53 dnat to 10.9.2.16", kind="nat")),
            table("ip", "f", base("c", "prerouting", -101, "ip daddr 10.9.1.14 drop")),
        ),
    ),
    "T4 above -100 there is the new destination": Case(
        False,
        probe("a>d", 53),
        (
            table("ip", "n", base("c", "prerouting", 50, "udp dport 53 dnat to 10.9.2.16", kind="nat")),
            table("ip", "f", base("c", "prerouting", -99, "ip daddr 10.9.2.16 drop")),
        ),
    ),
    "T4 the answer in forward has the real source and the real target": Case(
        True,
        A_TO_D,
        (
            table("ip", "n", base("c", "postrouting", 100, 'oifname "br1" masquerade', kind="nat")),
            table("ip", "f", base("c", "forward", 0, "ip saddr 10.9.1.14 ip daddr 10.9.0.11 drop")),
        ),
        replied=False,
        seen_from="10.9.1.1",
    ),
    # T5: a device that is not there has the empty name
    "T5 a negated device matches where there is none": Case(
        False, rules=(table("bridge", "t", base("c", "postrouting", 0, 'iifname != "pb" drop')),)
    ),
    # T6: before connection tracking everything is invalid
    "T6 ct state invalid in raw drops everything": Case(
        False, A_TO_D, (table("ip", "t", base("c", "prerouting", -300, "ct state invalid drop")),)
    ),
    "T6 after it nothing is": Case(
        True, A_TO_D, (table("ip", "t", base("c", "prerouting", -150, "ct state invalid drop")),), replied=True
    ),
    # T9: at 0 itself br_netfilter and the chain are one after the other by their age
    "T9 a bridge chain at 0 that is younger than the bridge": Case(
        False, rules=(table("bridge", "t", base("c", "forward", 0, "drop")),), sysctls=CALL, perhaps=True
    ),
    "T9 at -200 it is safe": Case(
        False, rules=(table("bridge", "t", base("c", "forward", -200, "drop")),), sysctls=CALL
    ),
    # T10: a frame with VLAN 0 has the type of its tag
    "T10 ether type does not see what is in a tagged frame": Case(
        True,
        probe("a>b", vlan=0),
        (table("bridge", "t", base("c", "forward", -200, "ether type ip drop")),),
    ),
    "T10 meta protocol does": Case(
        False,
        probe("a>b", vlan=0),
        (table("bridge", "t", base("c", "forward", -200, "meta protocol ip drop")),),
    ),
    # T11: fib's reverse path check on bridged frames
    "T11 bridged frames of a host without an address there are lost": Case(
        False,
        rules=(table("inet", "t", base("c", "prerouting", 0, "fib saddr . iif oif missing drop")),),
        sysctls=CALL,
        links=("address del 10.9.0.1/24 dev br0",),
        undo=(
            "address add 10.9.0.1/24 dev br0",
            "neigh replace 10.9.0.11 lladdr 02:00:00:00:00:11 dev br0",
            "neigh replace 10.9.0.12 lladdr 02:00:00:00:00:12 dev br0",
            "neigh replace 10.9.0.13 lladdr 02:00:00:00:00:13 dev br0",
        ),
    ),
    "T11 with an address they pass": Case(
        True, rules=(table("inet", "t", base("c", "prerouting", 0, "fib saddr . iif oif missing drop")),), sysctls=CALL
    ),
    # T14: masquerading that catches bridged frames
    "T14 masquerade without a device hides bridged guests": Case(
        True,
        rules=(table("ip", "n", base("c", "postrouting", 100, "ip saddr 10.9.0.0/24 masquerade", kind="nat")),),
        sysctls=CALL,
        seen_from="10.9.0.1",
    ),
    "T14 with the device it leaves them alone": Case(
        True,
        rules=(
            table(
                "ip",
                "n",
                base("c", "postrouting", 100, 'ip saddr 10.9.0.0/24 oifname != "br0" masquerade', kind="nat"),
            ),
        ),
        sysctls=CALL,
        seen_from="10.9.0.11",
    ),
    # T15: DNAT of a bridged frame needs forwarding
    "T15 DNAT on a bridge where the host forwards": Case(
        True,
        rules=(table("ip", "n", base("c", "prerouting", -100, "udp dport 80 dnat to 10.9.0.13", kind="nat")),),
        sysctls=CALL,
        replied=True,
    ),
    "T15 DNAT on a bridge where it does not": Case(
        False,
        rules=(table("ip", "n", base("c", "prerouting", -100, "udp dport 80 dnat to 10.9.0.13", kind="nat")),),
        sysctls=CALL | {"net/ipv4/ip_forward": "0"},
    ),
    # T16: hairpin
    "T16 the answer comes from the guest itself": Case(
        True,
        probe("a>host"),
        (table("ip", "n", base("c", "prerouting", -100, "udp dport 80 dnat to 10.9.0.12", kind="nat")),),
        reply_from="10.9.0.12",
    ),
    "T16 with br_netfilter it is translated back": Case(
        True,
        probe("a>host"),
        (table("ip", "n", base("c", "prerouting", -100, "udp dport 80 dnat to 10.9.0.12", kind="nat")),),
        sysctls=CALL,
        reply_from="10.9.0.1",
    ),
    # T17: one's own address comes back
    "T17 a receiver drops what bears its own address": Case(
        False,
        A_TO_D,
        (table("ip", "n", base("c", "prerouting", -100, "udp dport 80 dnat to 10.9.0.11", kind="nat")),),
    ),
    "T17 the host drops what bears one of its own": Case(False, probe("a>d", spoofed="10.9.1.1")),
    # T18: the incoming device decides of forwarding
    "T18 the incoming device forwards, the other one does not": Case(
        True,
        A_TO_D,
        sysctls={"net/ipv4/ip_forward": "0", "net/ipv4/conf/br0/forwarding": "1"},
        replied=False,
    ),
    "T18 without the incoming device nothing passes": Case(
        False, A_TO_D, sysctls={"net/ipv4/ip_forward": "1", "net/ipv4/conf/br0/forwarding": "0"}
    ),
    # T19: the host answers for each of its addresses
    "T19 an address of another link, without forwarding": Case(
        True, probe("a>host", address="10.9.1.1"), sysctls={"net/ipv4/ip_forward": "0"}, replied=True
    ),
    # T20: rp_filter is the larger of two
    "T20 strict, and the way back leads elsewhere": Case(
        False, probe("a>d", spoofed="172.16.3.4"), sysctls={"net/ipv4/conf/br0/rp_filter": "1"}
    ),
    "T20 loose, and there is a way back": Case(
        True,
        probe("a>d", spoofed="172.16.3.4"),
        sysctls={"net/ipv4/conf/br0/rp_filter": "1", "net/ipv4/conf/all/rp_filter": "2"},
    ),
    "T20 loose, and there is none": Case(
        False, probe("a>d", spoofed="192.0.2.7"), sysctls={"net/ipv4/conf/br0/rp_filter": "2"}
    ),
    "T20 of what is handed on the way back is asked as if it came in by the outgoing link": Case(
        False,
        A_TO_D,
        sysctls={"net/ipv4/conf/br0/rp_filter": "1"},
        links=("route add unreachable default table 103", "rule add pref 200 iif br1 lookup 103"),
        undo=("rule del pref 200", "route flush table 103"),
    ),
    "T20 a rule of policy routing by its source is honoured": Case(
        True,
        probe("a>d", spoofed="172.16.3.4"),
        sysctls={"net/ipv4/conf/br0/rp_filter": "1"},
        links=("rule add to 172.16.3.0/24 lookup 102", "route add 172.16.3.0/24 dev br0 table 102"),
        undo=("rule del to 172.16.3.0/24 lookup 102", "route flush table 102"),
    ),
    # T22: isolated ports
    "T22 two isolated ports": Case(
        False,
        links=("link set pa type bridge_slave isolated on", "link set pb type bridge_slave isolated on"),
        undo=("link set pa type bridge_slave isolated off", "link set pb type bridge_slave isolated off"),
    ),
    "T22 an isolated port and the host": Case(
        True,
        probe("a>host"),
        links=("link set pa type bridge_slave isolated on",),
        undo=("link set pa type bridge_slave isolated off",),
        replied=True,
    ),
    # T23: the forwarding database
    "T23 nothing is known and nothing is flooded": Case(
        False,
        links=("link set pb type bridge_slave flood off learning off", "link set pb down", "link set pb up"),
        undo=("link set pb type bridge_slave flood on learning on",),
    ),
    "T23 a static entry leads there": Case(
        True,
        links=("link set pb type bridge_slave flood off learning off",),
        undo=("link set pb type bridge_slave flood on learning on",),
    ),
    # T24: only the first fragment has ports, until connection tracking puts them together
    "T24 a bridge that lets a port through loses the other fragments": Case(
        False, LARGE, (table("bridge", "t", base("c", "forward", -200, "udp dport 80 accept", policy="drop")),)
    ),
    "T24 so does forwarding": Case(
        False, LARGE_TO_D, (table("ip", "t", base("c", "forward", 0, "udp dport 80 accept", policy="drop")),)
    ),
    "T24 one rule of connection tracking in the family is enough": Case(
        True,
        LARGE_TO_D,
        (
            table("ip", "t", base("c", "forward", 0, "udp dport 80 accept", policy="drop")),
            table("ip", "u", base("c", "output", 0, "ct state invalid counter")),
        ),
    ),
    "T24 before the bridge's chains as well where br_netfilter is on": Case(
        True,
        LARGE,
        (
            table("bridge", "t", base("c", "forward", -200, "udp dport 80 accept", policy="drop")),
            table("ip", "u", base("c", "output", 0, "ct state invalid counter")),
        ),
        sysctls=CALL,
    ),
    "T24 but not before its prerouting": Case(
        False,
        LARGE,
        (
            table("bridge", "t", base("c", "prerouting", -200, "udp dport 80 accept", policy="drop")),
            table("ip", "u", base("c", "output", 0, "ct state invalid counter")),
        ),
        sysctls=CALL,
    ),
    "T24 a rule against a port is enough to lose them all": Case(
        False, LARGE, (table("bridge", "t", base("c", "forward", -200, "udp dport 80 drop")),)
    ),
    "T24 the host puts together what is for itself": Case(
        True,
        probe("a>host", size=4000),
        (table("ip", "t", base("c", "input", 0, "udp dport 80 accept", policy="drop")),),
    ),
    # T28: what a word implies
    "T28 tcp dport says nothing of UDP": Case(
        True, A_TO_D, (table("inet", "t", base("c", "forward", 0, "tcp dport 80 drop")),)
    ),
    "T28 the negated port of another protocol": Case(
        True, A_TO_D, (table("inet", "t", base("c", "forward", 0, "tcp dport != 22 drop")),)
    ),
    "T28 a reason implies its version, and nft leaves it out": Case(
        True,
        A_TO_D,
        (table("inet", "t", base("c", "forward", 0, "meta nfproto ipv6 reject")),),
    ),
    "T28 nft shows a range backwards": Case(
        True, A_TO_D, (table("inet", "t", base("c", "forward", 0, "udp dport < 80 udp dport > 60 drop")),)
    ),
    # bits by their place
    "the group bit of a unicast frame": Case(
        True, rules=(table("bridge", "t", base("c", "forward", -200, "@ll,0,8 & 0x1 == 0x1 drop")),)
    ),
    "the source address on its place": Case(
        False, rules=(table("bridge", "t", base("c", "forward", -200, "ether type ip @nh,96,32 0x0a09000b drop")),)
    ),
    "the port by its place": Case(
        False, A_TO_D, (table("ip", "t", base("c", "forward", 0, "meta l4proto udp @th,16,16 80 drop")),)
    ),
    # T30: at the link itself
    "T30 netdev ingress": Case(False, rules=(table("netdev", "t", base("c", 'ingress device "pa"', 0, "drop")),)),
    "T30 netdev egress": Case(False, rules=(table("netdev", "t", base("c", 'egress device "pb"', 0, "drop")),)),
    "T30 inet ingress": Case(False, rules=(table("inet", "t", base("c", 'ingress device "pa"', 0, "drop")),)),
    "T30 another link": Case(
        True, rules=(table("netdev", "t", base("c", 'ingress device "pc"', 0, "drop")),), replied=True
    ),
}


@pytest.fixture(scope="module")
def room() -> Iterator[Room]:
    with open_lab() as lab, opened(lab) as built:
        yield built


def settle(room: Room, case: Case) -> None:
    load(room, "flush ruleset\n")
    write_all(room, {**NORMAL, **case.sysctls})
    batch(room, case.links)
    if "static" in " ".join(CASES) and case is CASES["T23 a static entry leads there"]:
        batch(room, ["fdb replace 02:00:00:00:00:12 dev pb master static"], "bridge")
    for rules in case.rules:
        said = load(room, rules)
        if "Operation not supported" in said or "No such file" in said:
            pytest.skip(f"this kernel lacks what the case needs: {said.splitlines()[0]}")
        assert not said, said


@pytest.mark.kernel
@pytest.mark.parametrize("name", CASES)
def test_kernel_and_model_tell_the_same_truth(room: Room, name: str) -> None:
    case = CASES[name]
    try:
        settle(room, case)
        network = read_network(room.host)
        port = room.next_port + 1
        (seen,) = ask(room, [case.probe], QUIET_S)
        assert bool(seen.receiver) is case.arrives, seen
        if case.replied is not None:
            assert seen.replied is case.replied, seen
        if case.seen_from:
            assert seen.source == case.seen_from
        if case.reply_from:
            assert seen.reply_source == case.reply_from
        answer = predict(Walks(network, ENDS), case.probe, port)
        first = next(leg for leg in answer.legs if leg.name == "new")
        if case.perhaps:
            assert first.delivered is Certainty.PERHAPS, words(answer)
            assert answer.blockers[0].code == "order"
            answer = predict(Walks(replace(network, passed_over=loaded_later(network.rules)), ENDS), case.probe, port)
            first = next(leg for leg in answer.legs if leg.name == "new")
        truth = {Certainty.YES if case.arrives else Certainty.NO}
        if name.startswith("T24") and not case.arrives:  # whether later fragments look as if they had the port
            truth.add(Certainty.PERHAPS)
        assert first.delivered in truth, words(answer)
        if case.probe.size <= 1500:  # the answer of a large one is as large in the model, and small here
            assert differences(case.probe, seen, answer) == [], words(answer)
    finally:
        batch(room, case.undo)
        batch(room, ["fdb del 02:00:00:00:00:12 dev pb master"] if "static entry" in name else [], "bridge")
