"""Services of several protocols are walked together as long as their ways are one; each still gets its own answer."""

from __future__ import annotations

import subprocess
from ipaddress import IPv4Address
from itertools import permutations

import pytest
from benchmarks.many_pairs import host
from msgspec.structs import replace

from bascule.model.ruleset.openflow import LoadedRule, flow
from bascule.policy.guards.flows import COOKIE, guard_flows
from bascule.policy.guards.ports import guarded_ports
from bascule.site import parse
from bascule.system.process.sandbox import sandboxed
from bascule.topology.sweep.sweep import Sweep, exchange_of
from bascule.topology.trace.answer import Certainty
from bascule.topology.trace.network import HostNetwork, WireEnd
from bascule.topology.trace.packet import Traffic
from bascule.topology.trace.rules.reading import Listings, read_rules
from bascule.topology.trace.walk import Walks
from tests.guards.segment import site

SERVICES = (
    Traffic(protocol="icmp"),
    *(Traffic(protocol="tcp", port=port) for port in (22, 80)),
    *(Traffic(protocol="udp", port=port) for port in (53, 80)),
)
ARGUMENTS = ("nft", "-j", "list", "ruleset")


def _listing(text: str) -> str:
    subprocess.run(("nft", "-f", "-"), input=text, text=True, check=True)
    return subprocess.run(ARGUMENTS, capture_output=True, text=True, check=True).stdout


def answers(network: HostNetwork, ends: list[WireEnd]) -> dict[tuple[str, str, str], Certainty]:
    """What the sweep says of all pairs, having been held against the walk."""
    sweep, walks = Sweep(network, ends, SERVICES), Walks(network, ends)
    found = {}
    for one, other in permutations(ends, 2):
        number = other.addresses[0][0]
        for traffic in SERVICES:
            swept = sweep.answer(one, other, 4, number, traffic)
            assert swept == exchange_of(walks.ask(one, other, number, 4, traffic)), (one.name, other.name, traffic)
            found[one.name, other.name, str(traffic)] = swept.result
    return found


def passing(network: HostNetwork, ends: list[WireEnd]) -> dict[str, int]:
    """How many pairs an exchange of each service works for."""
    found = answers(network, ends)
    return {str(one): sum(found[key] is Certainty.YES for key in found if key[2] == str(one)) for one in SERVICES}


@pytest.mark.parametrize(
    ("chains", "expected"),
    [
        ("chain f { type filter hook forward priority 0; tcp dport 22 drop; udp dport 80 drop; }", (12, 0, 12, 12, 0)),
        (  # a mark of one protocol's packets, and what is done to them by it later
            """chain p { type filter hook prerouting priority -150; udp dport 53 meta mark set 7; }
            chain f { type filter hook forward priority 0; meta mark 7 drop; }""",
            (12, 12, 12, 0, 12),
        ),
        (  # another port for one protocol: the server answers from it, and NAT makes it the asked one again
            """chain n { type nat hook prerouting priority -100; tcp dport 22 redirect to :80; }
            chain f { type filter hook forward priority 0; icmp type echo-reply drop; }""",
            (0, 0, 12, 12, 12),
        ),
        (  # nothing is tracked: no answer belongs to a connection
            """chain p { type filter hook prerouting priority -300; udp dport 80 notrack; udp sport 80 notrack; }
            chain f { type filter hook forward priority 0; ct state untracked drop; }""",
            (12, 12, 12, 12, 0),
        ),
        (  # the first packet is never seen, so the answer of TCP and of ping is invalid, that of UDP a new connection
            """chain p { type filter hook prerouting priority -300; ct direction original notrack; }
            chain f { type filter hook forward priority 0; ct state invalid drop; }""",
            None,
        ),
        # what a ping has there is its checksum, which nobody knows
        ("chain f { type filter hook forward priority 0; @th,16,16 80 drop; }", (0, 12, 0, 12, 0)),
        ("chain f { type filter hook forward priority 0; ip protocol != tcp drop; }", (0, 12, 12, 0, 0)),
        (
            "chain f { type filter hook forward priority 0; meta l4proto udp ct original proto-dst 53 drop; }",
            (12, 12, 12, 0, 12),
        ),
        ("chain f { type filter hook forward priority 0; udp length > 70 accept; drop; }", None),
    ],
)
def test_each_protocol_has_its_own_answer(chains: str, expected: tuple[int, ...] | None) -> None:
    network, ends = host(4, read_rules(Listings(nft=sandboxed(_listing, f"table ip t {{\n{chains}\n}}"))))
    found = passing(network, ends)
    assert expected is None or tuple(found.values()) == expected


def test_an_answer_that_alone_crosses_the_host_is_judged_by_its_protocol() -> None:
    """br_netfilter shows the host one direction only: the other bridge has not called it."""
    text = "table ip t {\nchain f { type filter hook forward priority 0; ct state invalid drop; }\n}"
    network, ends = host(4, read_rules(Listings(nft=sandboxed(_listing, text))))
    gone = replace(ends[0], gateways={}, routes=((4, 0, (1 << 32) - 1, ends[1].addresses[0][0]),))
    answers(network, [gone, *ends[1:]])


def test_rules_of_openflow_are_asked_for_each_packet() -> None:
    """Of a switch with rules of somebody else nobody stands for another, and no service either."""
    network, ends = host(4, read_rules(Listings()))
    rules = (
        LoadedRule(0, 0, flow(0, 50, "tcp,tp_dst=80", "drop")),
        LoadedRule(0, 0, flow(0, 60, "ip,nw_dst=10.9.0.3", "drop")),
        LoadedRule(0, 0, flow(0, 0, "", "NORMAL")),
    )
    found = answers(replace(network, flows={"br0": rules, "br1": ()}), ends)
    inside = {key: result for key, result in found.items() if {key[0], key[1]} == {"guest_0", "guest_2"}}
    assert inside["guest_0", "guest_2", "tcp/22"] is not Certainty.YES
    assert inside["guest_2", "guest_0", "tcp/80"] is not Certainty.YES
    assert inside["guest_2", "guest_0", "icmp"] is inside["guest_2", "guest_0", "udp/80"]


def test_ports_that_guards_hold_to_other_things_do_not_stand_for_each_other() -> None:
    network, ends = host(6, read_rules(Listings()))
    guarded = site("strict")
    rules = tuple(
        LoadedRule(COOKIE, 0, one) for one in guard_flows(guarded_ports(guarded, guarded.hosts["h"]), ("tap0",))
    )
    assert passing(replace(network, flows={"br0": rules}), ends)["icmp"] < passing(network, ends)["icmp"]


def test_guests_with_like_guards_on_a_switch_stand_for_each_other() -> None:
    """Each guard names its guest's MAC, address and link-local address; a plan of 100 walked from each to each."""
    network, ends = host(6, read_rules(Listings()))
    nics = "".join(
        f"  {end.name}: {{host: h, nics: [{{bridge: {network.bridge_of(str(end.port))}, tap: {end.port}, "
        f"guard: strict, mac: '{end.mac.to_bytes(6).hex(':')}', address: {IPv4Address(end.addresses[0][0])}/16}}]}}\n"
        for end in ends
    )
    text = "site: s\nnetworks: {n: {subnet: 10.9.0.0/16}}\nhosts:\n  h:\n    nics: {e0: {network: n}}\n"
    text += "    bridges: {br0: {uplink: e0}, br1: {uplink: none}}\nguests:\n"
    guarded = parse((text + nics).encode(), "site.yaml")
    rules = tuple(LoadedRule(COOKIE, 0, one) for one in guard_flows(guarded_ports(guarded, guarded.hosts["h"]), ()))
    network = replace(network, flows={"br0": rules, "br1": rules})
    answers(network, ends)
    sweep = Sweep(network, ends, SERVICES)
    bridges = {network.bridge_of(str(end.port)) for end in ends}
    assert len({sweep.class_of(end) for end in ends}) == len(bridges)
