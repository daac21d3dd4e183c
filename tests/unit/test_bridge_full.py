"""The kernel has numbers for 1,023 ports of a bridge: the plan says so before the 1,024th is refused half-way."""

from __future__ import annotations

import pytest

from bascule.errors import BasculeError
from bascule.model.links import Bridge, BridgePort, Tap, Veth
from bascule.model.state import HostState, Link
from bascule.model.values import IfName, Mac
from bascule.plan.make import make_plan
from bascule.site import parse

SITE = b"""\
site: t
networks: {n: {subnet: 10.0.0.0/16}}
hosts:
  h:
    nics: {eth0: {network: n}}
    bridges: {br0: {uplink: eth0}}
guests:
  g: {host: h, nics: [{bridge: br0, tap: mine}]}
"""


def observed(foreign: int) -> HostState:
    """A host whose br0 carries other people's taps; the uplink and our own tap are not on it yet."""
    mac, br0 = Mac("52:54:00:00:00:01"), IfName("br0")
    links = [
        Link(name=br0, options=Bridge(), up=True, mac=mac, mtu=1500),
        Link(name=IfName("eth0"), options=Veth(), up=True, mac=mac, mtu=1500),
        Link(name=IfName("mine"), options=Tap(), up=True, mac=mac, mtu=1500),
    ]
    links += [
        Link(name=IfName(f"v{n}"), options=Tap(), up=True, mac=mac, mtu=1500, master=br0, port=BridgePort())
        for n in range(foreign)
    ]
    return HostState.of(links)


def test_foreign_ports_are_counted() -> None:
    site = parse(SITE, "site.yaml")
    with pytest.raises(BasculeError) as caught:
        make_plan(site, site.hosts["h"], observed(1022))
    (problem,) = caught.value.problems
    assert problem.code == "BRIDGE-FULL"
    assert problem.message == "bridge 'br0' has 1,022 ports and would have 1,024; the kernel takes 1,023"
    assert problem.place is not None
    assert problem.place.line == 6


def test_the_last_number_is_used() -> None:
    site = parse(SITE, "site.yaml")
    plan, wanted = make_plan(site, site.hosts["h"], observed(1021))
    assert plan
    assert len(wanted.ports("br0")) == 1023
