"""A frame through the rules of OpenFlow: guards are followed to the end, others' rules leave it open."""

from __future__ import annotations

from typing import Any

import pytest

from bascule.model.ruleset.openflow import LoadedRule, flow
from bascule.policy.guards.flows import COOKIE, NUMBERS, guard_flows
from bascule.policy.guards.ports import guarded_ports
from bascule.policy.guards.reasons import GuardReason
from bascule.topology.trace.packet import Traffic, neighbour_frame, request, tag
from bascule.topology.trace.rules.openflow_tables import flow_words, through_tables
from tests.guards.segment import PARTIES, site

ME, OTHER, ROUTER = PARTIES.me, PARTIES.other, PARTIES.router
MACS = {who: int.from_bytes(who.raw) for who in (ME, OTHER, ROUTER)}
GUARDED = site("strict")
OF_GUARDS = guard_flows(guarded_ports(GUARDED, GUARDED.hosts["h"]), ("up.0", "LOCAL"))
RULES = tuple(LoadedRule(COOKIE, 0, rule) for rule in OF_GUARDS)


def packet(protocol: str, version: int, source: Any, mac: Any, port: int = 0, sender: Any = 40000) -> dict[str, Any]:
    traffic = Traffic(protocol=protocol, port=port, sender_port=sender)
    ends = (int(getattr(one, f"ip{version}")) for one in (source, OTHER))
    return request(traffic, version, *ends) | {"ether saddr": MACS[mac], "ether daddr": MACS[OTHER]}


def asked(version: int, operation: int, sender: Any, claims: Any) -> dict[str, Any]:
    address, target = (int(getattr(one, f"ip{version}")) for one in (claims, OTHER))
    return neighbour_frame(version, operation, MACS[sender], address, MACS[OTHER], target)


def tagged() -> dict[str, Any]:
    fields = packet("icmp", 4, ME, ME)
    tag(fields, 5)
    return fields


@pytest.mark.parametrize(
    ("port", "fields", "expected"),
    [
        ("web.0", packet("tcp", 4, ME, ME, 80), None),
        ("web.0", packet("icmp", 6, ME, ME), None),
        ("web.0", asked(4, 1, ME, ME), None),
        ("web.0", asked(6, 1, ME, ME), None),
        ("web.0", asked(6, 2, ME, ME), None),
        ("web.0", packet("tcp", 4, ROUTER, ME, 80), GuardReason.IPV4),
        ("web.0", packet("tcp", 6, ROUTER, ME, 80), GuardReason.IPV6),
        ("web.0", packet("tcp", 4, ME, ROUTER, 80), GuardReason.MAC),
        ("web.0", asked(4, 2, ME, ROUTER), GuardReason.ARP),
        ("web.0", asked(6, 2, ME, ROUTER), GuardReason.IPV6),
        ("web.0", packet("udp", 4, ME, ME, 68, 67), GuardReason.DHCP),
        ("web.0", tagged(), GuardReason.TYPE),
        ("up.0", packet("tcp", 4, ROUTER, ROUTER, 80), None),
        ("LOCAL", packet("icmp", 4, ROUTER, ROUTER), None),
    ],
)  # fmt: skip
def test_a_guard_is_followed_to_its_end(port: str, fields: dict[str, Any], expected: GuardReason | None) -> None:
    way = through_tables(RULES, port, fields)
    assert way.passes is (expected is None)
    assert expected is None or way.registers[1] == NUMBERS[expected]


def test_a_port_that_no_rule_names_passes_nothing() -> None:
    assert through_tables(RULES, "vnet9", packet("tcp", 4, ROUTER, ROUTER, 80)).passes is False
    assert through_tables((), "vnet9", packet("tcp", 4, ME, ME, 80)).passes is False


@pytest.mark.parametrize(
    ("match", "passes"),
    [("tcp,tp_dst=80", None), ("tcp,tp_dst=81", True), ("ct_state=+new,tcp", None), ("udp", True)],
)
def test_others_rules_leave_it_open_where_a_frame_may_meet_them(match: str, passes: bool | None) -> None:
    rules = (LoadedRule(7, 0, flow(0, 9, match, "output:3")), LoadedRule(0, 0, flow(0, 0, "", "NORMAL")))
    way = through_tables(rules, "web.0", packet("tcp", 4, ME, ME, 80))
    assert way.passes is passes


def test_a_frame_in_the_words_of_ofproto_trace() -> None:
    assert flow_words("web.0", packet("tcp", 4, ME, ME, 80)) == (
        "in_port=web.0,tcp,dl_src=52:54:00:00:00:0a,dl_dst=52:54:00:00:00:0b,nw_src=10.0.0.10,nw_dst=10.0.0.11,"
        "tp_src=40000,tp_dst=80"
    )
