"""Tables of routes and the rules that lead to them, where the order is easily mistaken (measured, Linux 6.18)."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from bascule.model.links import Physical
from bascule.model.state import Address, HostState, Link, Route, RoutingRule
from bascule.model.values import IfName
from bascule.topology.trace.routing import RouteTables
from bascule.topology.trace.rules.values import address

ETH0, TUN0 = IfName("eth0"), IfName("tun0")
STATE = HostState(
    links={
        ETH0: Link(name=ETH0, options=Physical(), up=True, addresses=(Address(ip="10.0.0.5/24"),)),
        TUN0: Link(name=TUN0, options=Physical(), up=True),
    },
    routes=(Route(dst="0.0.0.0/0", dev="tun0", table="52"),),
)


@pytest.mark.parametrize(
    ("priority", "to", "by"),
    [(32766, "10.0.0.9", "eth0"), (32765, "10.0.0.9", "tun0"), (0, "10.0.0.5", "eth0"), (0, "10.0.0.9", "tun0")],
)
def test_a_rule_comes_behind_the_kernels_own_of_its_priority(priority: int, to: str, by: str) -> None:
    rule = RoutingRule(priority=priority, words=("from", "all", "lookup", "52"))
    assert RouteTables(replace(STATE, rules=(rule,)), 4).find(address(to)).link == by
