"""What is left of a lease, for whoever puts an address back: undo, and the takeover by systemd-networkd."""

from __future__ import annotations

import pytest

from bascule.model.links import Physical
from bascule.model.state import Address, HostState, Link, Route
from bascule.model.values import IfName
from bascule.model.volatile import FOREVER, Lifetime
from bascule.persist.networkd import takeover
from bascule.plan.change import Plan

ETH0 = IfName("eth0")


def test_a_lease_ages_and_ends() -> None:
    leased = Lifetime(valid_s=600, preferred_s=300)
    assert leased.after(100.4) == Lifetime(valid_s=500, preferred_s=200)
    assert leased.after(400) == Lifetime(valid_s=200, preferred_s=0)
    assert leased.after(700) == Lifetime(valid_s=0, preferred_s=0)
    assert FOREVER.after(700) == FOREVER


@pytest.mark.parametrize(("valid_s", "back"), [(600, True), (1, False)])
def test_an_address_whose_lease_has_ended_does_not_come_back(
    monkeypatch: pytest.MonkeyPatch, valid_s: int, back: bool
) -> None:
    """Its server may have given it to another machine; it was set for one more second."""
    made: list[Plan] = []
    monkeypatch.setattr(takeover, "execute", made.append)
    monkeypatch.setattr(takeover, "networkd_has", lambda _: True)
    address = Address(ip="10.0.0.5/24", dynamic=True, lifetime=Lifetime(valid_s=valid_s, preferred_s=valid_s))
    link = Link(name=ETH0, options=Physical(), up=True, addresses=(address,))
    router = Route(dst="0.0.0.0/0", gateway="10.0.0.1", dev="eth0", protocol="dhcp")
    before = HostState(links={ETH0: link}, routes=(router,))
    now = HostState(links={ETH0: Link(name=ETH0, options=Physical(), up=True)})
    said = takeover._bring_back(before, now, {ETH0: (address,)}, 1.6)
    assert [bool(plan.changes) for plan in made] == [back]
    assert [f"lasts only for the {valid_s - 2} s" in words for words in said] == [True] * back
