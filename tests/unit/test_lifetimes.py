"""What is left of a lease, for whoever puts an address back: undo, and the takeover by systemd-networkd."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from bascule.model.links import Bridge, Physical
from bascule.model.state import Address, HostState, Link, Route
from bascule.model.values import IfName
from bascule.model.volatile import FOREVER, Lifetime
from bascule.persist.networkd import takeover
from bascule.plan.change import Plan
from bascule.providers.kernel.merge import merge
from bascule.providers.protocol import Merged, ThreeWay

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


LEASE = Address(ip="10.0.0.5/24", dynamic=True, lifetime=Lifetime(valid_s=600, preferred_s=300))
BY_HAND = Address(ip="10.0.0.6/24")
ADVERTISED = Route(
    dst="::/0", gateway="fe80::1", dev="eth0", protocol="ra", metric=1024, lifetime=Lifetime(valid_s=600)
)
BR0 = Link(name=IfName("br0"), options=Bridge(), up=True)
PORT = Link(name=ETH0, options=Physical(), up=True, master=BR0.name)
STOOD = HostState.of(
    [Link(name=ETH0, options=Physical(), up=True, addresses=(LEASE, BY_HAND))], routes=(ADVERTISED,)
)  # fmt: skip


def taken_back(elapsed_s: float, *, now: Address | None = None, route: Route | None = None) -> Merged:
    """After a change that made eth0 a port; ``now`` is what the bridge has of its lease, ``route`` is advertised."""
    wanted = HostState.of([PORT, replace(BR0, addresses=(LEASE, BY_HAND))])
    bridge = replace(BR0, addresses=(BY_HAND,) if now is None else (now, BY_HAND))
    there = HostState.of([PORT, bridge], routes=() if route is None else (route,))
    return merge(ThreeWay(before=STOOD, wanted=wanted, now=there, applied=wanted, elapsed_s=elapsed_s))


def lasts(found: Merged) -> dict[str, int | None]:
    return {one.ip: one.lifetime.valid_s for one in found.part.links[ETH0].addresses}


def test_an_undo_gives_a_lease_the_time_that_it_has_left() -> None:
    assert lasts(taken_back(100)) == {LEASE.ip: 500, BY_HAND.ip: None}
    renewed = replace(LEASE, lifetime=Lifetime(valid_s=590, preferred_s=290))
    assert lasts(taken_back(100, now=renewed)) == {LEASE.ip: 590, BY_HAND.ip: None}
    assert lasts(taken_back(100, now=replace(LEASE, dynamic=False, lifetime=FOREVER)))[LEASE.ip] == 500
    late = taken_back(700)
    assert lasts(late) == {BY_HAND.ip: None}
    assert late.kept == (f"eth0: the lease of {LEASE.ip} has ended",)


def test_an_undo_gives_a_routers_route_the_time_that_it_has_left() -> None:
    (back,) = taken_back(100).part.routes
    assert (back.dst, back.dev, back.lifetime.valid_s) == ("::/0", "eth0", 500)
    assert taken_back(700).part.routes == ()
    other = replace(ADVERTISED, gateway="fe80::2")
    assert taken_back(100, route=other).part.routes == (other,)
