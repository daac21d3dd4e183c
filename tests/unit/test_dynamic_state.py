"""What the kernel makes by itself while a change is made is no fault of the change; what was there before may be."""

from __future__ import annotations

from bascule.model.links import Physical
from bascule.model.state import Address, HostState, Link
from bascule.model.values import IfName
from bascule.plan.dynamic_state import with_what_came

NIC = IfName("eth4")
FRESH = Address(ip="fe80::5054:ff:fe00:1/64", scope="link")


def state(*addresses: Address) -> HostState:
    return HostState.of([Link(name=NIC, options=Physical(), addresses=addresses)])


def test_a_link_local_address_that_came_meanwhile_is_no_fault() -> None:
    assert with_what_came(state(), state(), state(FRESH), frozenset()).links[NIC].addresses == (FRESH,)


def test_one_that_was_to_go_is_still_missed() -> None:
    assert with_what_came(state(), state(FRESH), state(FRESH), frozenset()).links[NIC].addresses == ()


def test_an_address_that_somebody_set_by_hand_does_not_count_as_come() -> None:
    by_hand = Address(ip="192.0.2.7/24")
    assert with_what_came(state(), state(), state(by_hand), frozenset()).links[NIC].addresses == ()
