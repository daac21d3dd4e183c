"""What is set again after a manager has read its files, and what it has set anew or comes and goes by itself."""

from __future__ import annotations

from msgspec.structs import replace

from bascule.apply.follow import with_what_stood
from bascule.model.links import Bridge, Physical
from bascule.model.state import Address, FixedNeighbour, HostState, Link, Route, RoutingRule
from bascule.model.values import IfName
from bascule.model.volatile import Lifetime

ETH0, BR0 = IfName("eth0"), IfName("br0")
BY_HAND = Route(dst="10.99.0.0/16", gateway="192.168.1.7", dev="eth0")
RULE = RoutingRule(priority=500, words=("from", "192.168.1.11", "lookup", "99"))
FIXED = FixedNeighbour(ip="192.168.1.9", dev="eth0", mac="02:00:00:00:00:99")


def host(*ips: str, routes: tuple[Route, ...] = (), master: IfName | None = None, up: bool = True) -> HostState:
    own = tuple(Address(ip=ip) for ip in ips)
    nic = Link(name=ETH0, options=Physical(), up=up, master=master, addresses=own)
    return HostState.of([nic, Link(name=BR0, options=Bridge(), up=True)], routes=routes)


def test_what_it_took_away_is_set_again() -> None:
    before = replace(host("192.168.1.10/24", "192.168.1.11/24", routes=(BY_HAND,)), rules=(RULE,), neighbours=(FIXED,))
    found = with_what_stood(before, host("192.168.1.10/24"))
    assert [one.ip for one in found.links[ETH0].addresses] == ["192.168.1.10/24", "192.168.1.11/24"]
    assert (found.routes, found.rules, found.neighbours) == ((BY_HAND,), (RULE,), (FIXED,))


def test_what_it_has_set_anew_is_not_set_twice() -> None:
    """With a protocol, a metric or a prefix length of its own, or another gateway in the same place."""
    ours = Route(dst="0.0.0.0/0", gateway="192.168.1.1", dev="eth0")
    for anew in (
        Route(dst="0.0.0.0/0", gateway="192.168.1.1", dev="eth0", protocol="static", metric=425),
        Route(dst="0.0.0.0/0", gateway="192.168.1.2", dev="eth0", protocol="static"),
    ):
        now = host("192.168.1.10/25", routes=(anew,))
        assert with_what_stood(host("192.168.1.10/24", routes=(ours,)), now) == now


def test_what_comes_and_goes_by_itself_and_what_has_no_link_any_more_stays_away() -> None:
    passing = (
        Route(dst="0.0.0.0/0", gateway="192.168.1.1", dev="eth0", protocol="dhcp"),
        Route(dst="2001:db8::/64", dev="eth0", protocol="boot", lifetime=Lifetime(valid_s=60)),
        Route(dst="10.1.0.0/16", gateway="192.168.9.1", dev="gone"),
    )
    before = host("192.168.1.10/24", routes=passing)
    leased = Address(ip="192.168.1.12/24", dynamic=True)
    before = replace(before, links={**before.links, ETH0: replace(before.links[ETH0], addresses=(leased,))})
    assert with_what_stood(before, host()) == host()
    down = host("192.168.1.10/24", up=False)
    assert with_what_stood(host("192.168.1.10/24", routes=(BY_HAND,)), down) == down
    port = host(master=BR0)
    assert with_what_stood(host("192.168.1.10/24"), port) == port, "a port of a bridge hears nobody"
