"""What is drift, and what a manager does to a link that is his."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from bascule.model.links import Bridge, BridgePort, Tap
from bascule.model.ruleset.rules import Table
from bascule.model.state import Address, HostState, Link
from bascule.model.values import IfName, Mac
from bascule.plan.diff import diff
from bascule.plan.drift import drift_goal
from bascule.providers.protocol import ThreeWay

LOCAL = Address(ip="fe80::5054:ff:fe00:1/64", scope="link")
SILENT = Link(
    name=IfName("br0"), options=Bridge(), up=True, mac=Mac("52:54:00:00:00:01"), alias="bascule:s", addrgenmode="none"
)
BY_THE_KERNEL = replace(SILENT, addrgenmode="eui64", addresses=(LOCAL,))
BY_A_MANAGER = replace(SILENT, addresses=(LOCAL,))


@pytest.mark.parametrize(
    ("wanted", "seen", "told"),
    [
        (BY_THE_KERNEL, BY_A_MANAGER, ()),
        (BY_A_MANAGER, BY_THE_KERNEL, ()),
        (SILENT, BY_THE_KERNEL, ("br0: IPv6 addresses by eui64",)),
        (BY_THE_KERNEL, SILENT, ("br0: no automatic IPv6 address",)),
    ],
)
def test_who_makes_the_link_local_address_is_no_drift(wanted: Link, seen: Link, told: tuple[str, ...]) -> None:
    now = HostState.of([seen])
    goal = drift_goal(ThreeWay(before=HostState(), wanted=HostState.of([wanted]), now=now))
    assert tuple(f"{change.subject}: {change.action}" for change in diff(goal, now).changes) == told


def test_a_table_of_an_earlier_change_is_missed_after_a_later_one() -> None:
    """Guards that somebody flushes are drift, whichever change has loaded them; tables of others are theirs."""
    ours, theirs = Table("bridge", "bascule_guards", mark="bascule:s"), Table("inet", "filter")
    stood = HostState(tables={one.key: one for one in (ours, theirs)})
    goal = drift_goal(ThreeWay(before=stood, wanted=stood, now=HostState()))
    assert goal.tables == {ours.key: ours}


def test_the_ports_of_a_bridge_that_is_gone_go_back_to_it() -> None:
    """Not only the bridge is to be made again; and what is a port of nothing has no cost to be set."""
    port = Link(
        name=IfName("vnet1"), options=Tap(type="tap"), master=IfName("br0"), port=BridgePort(cost=2), alias="bascule:s"
    )
    stood = HostState.of([SILENT, port])
    now = HostState.of([replace(port, master=None, port=None)])
    changes = diff(now, drift_goal(ThreeWay(before=stood, wanted=stood, now=now))).changes
    assert ("vnet1", "become a port of br0") in [(change.subject, change.action) for change in changes]
    assert drift_goal(ThreeWay(before=stood, wanted=HostState.of([port]), now=now)).links[port.name].port is None
