"""Where IPv6 is off, no way back asks the kernel for an address of it."""

from __future__ import annotations

from bascule.model.kernel_parameters import conf
from bascule.model.links import Bridge
from bascule.model.state import Address, HostState, Link
from bascule.model.values import IfName
from bascule.plan.merge import way_back
from bascule.providers.protocol import ThreeWay

OFF = {conf(6, "br0", "disable_ipv6"): "1"}
BOTH = (Address(ip="10.0.0.1/24"), Address(ip="fe80::1/64", scope="link"))


def state(*addresses: Address) -> HostState:
    return HostState.of([Link(name=IfName("br0"), options=Bridge(), addresses=addresses, up=True)], sysctls=OFF)


def test_a_link_whose_ipv6_a_manager_turned_off_gets_its_other_addresses_back() -> None:
    """The undo of a change ended half-way: 'IPv6 is disabled on this device'."""
    goal = way_back(ThreeWay(before=state(*BOTH), wanted=state(), applied=state(), now=state())).part
    assert [one.ip for one in goal.links[IfName("br0")].addresses] == ["10.0.0.1/24"]
