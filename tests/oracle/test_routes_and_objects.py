"""Routes that somebody took away or changed, rules of policy routing, and nft's named objects: kernel and model."""

from __future__ import annotations

import pytest

from bascule.observe.packet_path import read_network
from bascule.topology.trace.answer import Certainty
from bascule.topology.trace.walk import Walks
from tests.oracle.asking import ask
from tests.oracle.compare import ENDS, predict, words
from tests.oracle.lab import Room, batch, load
from tests.oracle.test_rules_of_programs import QUIET_S
from tests.oracle.test_traps import A_TO_D, Case, base, probe, room, settle, table

__all__ = ["room"]

OWN, BACK = "10.9.1.0/24 dev br1", "10.9.1.0/24 dev br1 proto kernel scope link src 10.9.1.1"
IPV6 = probe("a>b", version=6)


def routes(arrives: bool, change: str, undo: str, *, perhaps: bool = False) -> Case:
    return Case(arrives, A_TO_D, links=tuple(change.split("; ")), undo=tuple(undo.split("; ")), perhaps=perhaps)


def objects(arrives: bool, rule: str, kept: str, *, perhaps: bool = False) -> Case:
    return Case(arrives, A_TO_D, (table("ip", "t", f"{kept}\n", base("c", "forward", 0, rule)),), perhaps=perhaps)


CASES = {
    "the kernel's own route was taken away": routes(False, f"route del {OWN}", f"route add {BACK}"),
    "and another with a worse metric stands there, behind one that refuses": routes(
        False,
        f"route del {OWN}; route add {OWN} metric 100; route add blackhole 10.9.1.0/24 metric 50",
        f"route del blackhole 10.9.1.0/24 metric 50; route del {OWN} metric 100; route add {BACK}",
    ),
    "and one that refuses stands there": routes(
        False,
        f"route del {OWN}; route add prohibit 10.9.1.0/24",
        f"route del prohibit 10.9.1.0/24; route add {BACK}",
    ),
    "it was replaced by one that leads there as well": routes(
        True, f"route change {OWN} src 10.9.1.1 mtu 1400", f"route replace {BACK}"
    ),
    "a throw goes on to the next rule": routes(False, "route add throw 10.9.1.14/32", "route del throw 10.9.1.14/32"),
    "and there to a table that has it": routes(
        True,
        "route add throw 10.9.1.14/32; route add 10.9.1.14/32 dev br1 table 105; rule add pref 32800 lookup 105",
        "route del throw 10.9.1.14/32; route flush table 105; rule del pref 32800",
    ),
    "a route for another TOS": routes(
        True, "route add blackhole 10.9.1.14/32 tos 0x10", "route del blackhole 10.9.1.14/32 tos 0x10"
    ),
    "goto leaves rules out": routes(
        True,
        "rule add pref 100 goto 200; rule add pref 150 blackhole; rule add pref 200 lookup main",
        "rule del pref 100; rule del pref 150; rule del pref 200",
    ),
    "a next-hop object that refuses": routes(
        False,
        "nexthop add id 6 blackhole; route add 10.9.1.14/32 nhid 6",
        "route del 10.9.1.14/32; nexthop del id 6",
    ),
    "a rule by what the model does not follow": routes(
        False, "rule add ipproto udp dport 80 blackhole pref 100", "rule del pref 100", perhaps=True
    ),
    "a counter for each port ends the rule of another": objects(
        True, 'counter name udp dport map { 81 : "n" } drop', "counter n { }"
    ),
    "and not that of its own": objects(False, 'counter name udp dport map { 80 : "n" } drop', "counter n { }"),
    "a quota by its name": objects(False, 'quota name "q" drop', "quota q { over 0 bytes }", perhaps=True),
    "a synproxy by its name": Case(
        False,
        probe("a>d", kind="tcp"),
        (table("ip", "t", "synproxy s {\nmss 1460\nwscale 7\n}\n", base("c", "forward", 0, 'synproxy name "s"')),),
        perhaps=True,
    ),
    "groups of IPv6 have their type": Case(
        True, IPV6, (table("ip6", "t", base("c", "forward", 0, "fib daddr type { multicast, unicast } accept",
                                            policy="drop")),)
    ),
}  # fmt: skip


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
        answer = predict(Walks(network, ENDS), case.probe, port)
        first = next(leg for leg in answer.legs if leg.name == "new")
        truth = Certainty.PERHAPS if case.perhaps else Certainty.YES if case.arrives else Certainty.NO
        assert first.delivered is truth, words(answer)
        assert {one.code for one in first.blockers}.isdisjoint({"nat-elsewhere"})
    finally:
        load(room, "flush ruleset\n")
        batch(room, case.undo)
