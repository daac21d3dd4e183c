"""Any pair of states: from the one to the other and back gives the first again, on the real kernel."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from bascule.apply.engine import execute
from bascule.apply.rollback.passes import RollbackResult, roll_back
from bascule.model.links import Bridge, BridgePort
from bascule.model.state import MARK, Address, HostState, Link, Route
from bascule.model.values import IfName, Mac
from bascule.model.volatile import Lifetime
from bascule.plan.diff import diff
from bascule.providers.observe import observe
from bascule.providers.protocol import ThreeWay
from tests.apply.hosts import Bed, difference, furnish, wait_for
from tests.lab import Lab

NICS = ("n0", "n1", "n2", "vnet1", "vnet2")
BRIDGES = ("b0", "b1", "b2")
KEYS = [f"net/ipv6/conf/{name}/accept_ra" for name in (*NICS, *BRIDGES)]
PAIRS = 250 if os.environ.get("BASCULE_SOAK") else 30

IPS = ("10.1.0.1/24", "10.1.0.2/24", "10.2.0.1/16", "fd01::1/64", "fd01::2/64", "10.9.9.9/32")
LIFETIMES = (None, 5000)
GATEWAYS = {"10.1.": "10.1.0.77", "10.2.": "10.2.0.77", "fd01": "fd01::77"}


@st.composite
def states(draw: st.DrawFn) -> Mapping[str, Any]:
    """A small wish: which bridges there are, who is in them, what they are set to, who has which address."""
    bridges = draw(st.sets(st.sampled_from(BRIDGES)))
    where = st.sampled_from([None, *sorted(bridges)])
    takes = st.sampled_from([*NICS, *sorted(bridges)])
    return {
        "bridges": {
            name: {
                "up": draw(st.booleans()),
                "stp_state": draw(st.sampled_from((0, 1))),
                "ageing_time": draw(st.sampled_from((30000, 12000))),
                "mcast_snooping": draw(st.sampled_from((0, 1))),
                "mac": draw(st.sampled_from((f"02:00:00:00:0{name[1]}:01", f"02:00:00:00:0{name[1]}:02"))),
            }
            for name in sorted(bridges)
        },
        "masters": {name: draw(where) for name in NICS},
        "up": {name: draw(st.booleans()) for name in NICS},
        "mtu": {name: draw(st.sampled_from((1500, 1500, 1400, 9000))) for name in ("n0", "n1", "n2")},
        "isolated": draw(st.sets(st.sampled_from(NICS))),
        "quiet": draw(st.sets(st.sampled_from(NICS))),
        "alias": draw(st.sets(st.sampled_from(NICS))),
        "ips": {ip: (draw(takes), draw(st.sampled_from(LIFETIMES))) for ip in draw(st.sets(st.sampled_from(IPS)))},
        "routes": draw(st.sets(st.tuples(st.sampled_from(("main", "77")), st.sampled_from((0, 50))), max_size=3)),
        "accept_ra": draw(st.sets(st.sampled_from(NICS))),
    }


def build(wish: Mapping[str, Any], base: HostState) -> HostState:
    """The wish as a whole state, laid over what is there."""
    links = {name: link for name, link in base.links.items() if name not in BRIDGES}
    for name, facts in wish["bridges"].items():
        options = Bridge(
            forward_delay=1500 if facts["stp_state"] else 0,
            **{key: facts[key] for key in ("stp_state", "ageing_time", "mcast_snooping")},
        )
        links[IfName(name)] = Link(
            name=IfName(name), mac=Mac(facts["mac"]), up=facts["up"], alias=f"{MARK}r", options=options
        )
    for name in NICS:
        master = wish["masters"][name]
        port = BridgePort(isolated=name in wish["isolated"]) if master else None
        links[IfName(name)] = replace(
            links[IfName(name)], master=master, port=port, up=wish["up"][name],
            mtu=wish["mtu"].get(name, 1500), alias="x y" if name in wish["alias"] else "",
            addrgenmode="none" if name in wish["quiet"] else "eui64", addresses=(),
        )  # fmt: skip
    for bridge in wish["bridges"]:
        mtus = [links[IfName(n)].mtu for n in NICS if wish["masters"][n] == bridge]
        links[IfName(bridge)] = replace(links[IfName(bridge)], mtu=min(mtus, default=1500))
    routes: list[Route] = []
    for ip, (name, lifetime) in wish["ips"].items():
        link = links[IfName(name)]
        if ":" in ip and not link.up:
            continue  # the kernel gives it no route until the link is up, and then in its own time
        address = Address(
            ip=ip, dynamic=lifetime is not None, lifetime=Lifetime(valid_s=lifetime, preferred_s=lifetime)
        )
        links[IfName(name)] = replace(link, addresses=(*link.addresses, address))
        gateway = GATEWAYS.get(ip[:5]) or GATEWAYS.get(ip[:4])
        if link.up and gateway:
            for index, (table, metric) in enumerate(sorted(wish["routes"])):
                prefix = f"fd99:0:{index + 1}::/48" if ":" in ip else f"172.{16 + index}.0.0/16"
                if not any(r.dst == prefix for r in routes):
                    routes.append(
                        Route(dst=prefix, dev=name, gateway=gateway, table=table,
                              metric=metric or (1024 if ":" in ip else 0))
                    )  # fmt: skip
    keys = {f"net/ipv6/conf/{name}/accept_ra": "0" if name in wish["accept_ra"] else "1" for name in NICS}
    return replace(base, links=links, routes=tuple(routes), sysctls={**base.sysctls, **keys})


@pytest.fixture
def bare(lab: Lab, tmp_path: Any) -> Bed:
    bed = furnish(lab, tmp_path)
    for name in ("n0", "n1", "n2"):
        bed.ip(f"link add {name} type veth peer name {name}p")
        bed.ip(f"link set {name}p up")
    for name in ("vnet1", "vnet2"):
        bed.ip(f"link set {name} nomaster")
    bed.ip("link del old0")
    return bed


def test_there_and_back(bare: Bed) -> None:
    count = 0

    @settings(
        max_examples=PAIRS, deadline=None, database=None, derandomize=True,
        suppress_health_check=list(HealthCheck), phases=[Phase.explicit, Phase.generate],
    )  # fmt: skip
    @given(states(), states())
    def check(first: Mapping[str, Any], second: Mapping[str, Any]) -> None:
        nonlocal count
        count += 1
        with bare.host.entered():
            start = reach(build(first, observe(sysctls=KEYS)))
            before = bare.raw()
            wanted = build(second, start)
            execute(diff(start, wanted))
            applied = observe(sysctls=KEYS)
            back = back_from(start, wanted, applied)
            assert back.left == ()
            left = wait_for(lambda: difference(before, bare.raw()), lambda found: not found, 2.0)
            assert not left, "\n".join(left)
            # and the same when nobody could look after the change
            execute(diff(observe(sysctls=KEYS), wanted))
            back = back_from(start, wanted, None)
            assert back.left == ()
            left = wait_for(lambda: difference(before, bare.raw()), lambda found: not found, 2.0)
            assert not left, "\n".join(left)

    check()
    assert count >= PAIRS


def test_the_order_of_addresses_comes_back(bare: Bed) -> None:
    """The first one of a subnet is the one that the host speaks with: it is the one that went, and comes back first."""
    bare.batch(
        "link set n1 up\naddr add 10.1.0.2/24 dev n1 valid_lft 5000 preferred_lft 5000\naddr add 10.1.0.1/24 dev n1\n"
    )
    with bare.host.entered():
        start = observe(sysctls=KEYS)
        before = bare.raw()
        n1 = start.links[IfName("n1")]
        left = tuple(a for a in n1.addresses if a.ip != "10.1.0.2/24")
        wanted = replace(start, links={**start.links, n1.name: replace(n1, addresses=left)})
        for applied in (wanted, None):
            execute(diff(observe(sysctls=KEYS), wanted))
            back = back_from(start, wanted, observe(sysctls=KEYS) if applied else None)
            assert back.left == ()
            assert difference(before, bare.raw()) == []


def test_the_route_to_a_prefix_lasts_as_long_as_its_address(bare: Bed) -> None:
    """Linux 6.18 lets it end 200 days ago where an address that was to stay gets a lifetime, and drops it some time."""
    bare.batch("link set n1 up\naddr add fd01::1/64 dev n1 nodad\n")
    with bare.host.entered():
        start = observe(sysctls=KEYS)
        n1 = start.links[IfName("n1")]
        limited = tuple(
            replace(a, dynamic=True, lifetime=Lifetime(valid_s=5000, preferred_s=5000)) if a.ip == "fd01::1/64" else a
            for a in n1.addresses
        )
        execute(diff(start, replace(start, links={**start.links, n1.name: replace(n1, addresses=limited)})))
    (route,) = json.loads(bare.ip("-6 -j route show fd01::/64"))
    assert 4000 < route["expires"] <= 5000


def back_from(before: HostState, wanted: HostState, applied: HostState | None) -> RollbackResult:
    """The way back, as undo goes it."""
    change = ThreeWay(before=before, wanted=wanted, now=before, applied=applied)
    return roll_back(change, lambda: observe(sysctls=KEYS))


def reach(wanted: HostState) -> HostState:
    """Go there; what the kernel refuses (an address on a link that is down loses its routes) is taken as it is."""
    for _ in range(3):
        plan = diff(observe(sysctls=KEYS), wanted)
        if not plan:
            break
        try:
            execute(plan)
        except Exception as error:
            if "invalid gateway" not in str(error).lower() and "unreachable" not in str(error).lower():
                raise
            break
    return observe(sysctls=KEYS)


def test_the_route_of_a_link_that_is_down_is_not_put_first(bare: Bed) -> None:
    """Its addresses have none: the kernel refuses it ('Device for nexthop is not up')."""
    bare.batch("link set n0 up\nlink set n1 up\naddr add 10.1.0.1/24 dev n0\naddr add 10.1.0.2/24 dev n1\n")
    with bare.host.entered():
        start = observe(sysctls=KEYS)
        n0, n1, n2 = (start.links[IfName(name)] for name in ("n0", "n1", "n2"))
        assert n1.facts.behind == ("10.1.0.0/24",)
        down = replace(n2, up=False, addresses=(Address(ip="10.1.0.3/24"),))
        wanted = replace(start, links={**start.links, n2.name: down, n0.name: replace(n0, addresses=())})
        execute(diff(start, wanted))
        assert not diff(observe(sysctls=KEYS), wanted)
        assert back_from(start, wanted, observe(sysctls=KEYS)).left == ()
        assert bare.ip("-4 route show 10.1.0.0/24").splitlines()[0].startswith("10.1.0.0/24 dev n0")


def test_a_route_of_others_goes_with_the_address_that_it_speaks_from(bare: Bed) -> None:
    """NetworkManager puts one beside that of the kernel; without its source the kernel has none of it."""
    bare.batch("link set n1 up\n")
    with bare.host.entered():
        start = observe(sysctls=KEYS)
        before = bare.raw()
        n1 = start.links[IfName("n1")]
        wanted = replace(start, links={**start.links, n1.name: replace(n1, addresses=(Address(ip="10.1.0.2/24"),))})
        for applied in (True, False):
            execute(diff(start, wanted))
            seen = observe(sysctls=KEYS)
            bare.batch("route add 10.1.0.0/24 dev n1 proto kernel scope link src 10.1.0.2 metric 100\n"
                       "route add 10.188.0.0/16 dev n1 scope link src 10.1.0.2\n")  # fmt: skip
            back = back_from(start, wanted, seen if applied else None)
            assert back.left == ()
            assert back.kept == ("the route 10.188.0.0/16 by n1 is new, and is removed with the address that it needs",)
            assert difference(before, bare.raw()) == []


def test_what_a_manager_made_of_our_files_does_not_stop_the_way_back(bare: Bed) -> None:
    """It has set our route again in its own words, one of its own beside it, and turned off IPv6 where we left none."""
    disabled = "net/ipv6/conf/n2/disable_ipv6"
    keys = [*KEYS, disabled]
    bare.batch("link set n1 up\nlink set n2 up\naddr add fd01::1/64 dev n2 nodad\n")
    with bare.host.entered():
        start = observe(sysctls=keys)
        before = bare.raw()
        n1, n2 = start.links[IfName("n1")], start.links[IfName("n2")]
        taken = {n1.name: replace(n1, addresses=(Address(ip="10.1.0.2/24"),)), n2.name: replace(n2, addresses=())}
        way = Route(dst="0.0.0.0/0", dev="n1", gateway="10.1.0.1")
        gone = tuple(route for route in start.routes if route.dev != "n2")
        wanted = replace(start, links={**start.links, **taken}, routes=(*gone, way))
        for is_known in (True, False):
            execute(diff(start, wanted))
            seen = observe(sysctls=keys)
            bare.batch("route replace default via 10.1.0.1 dev n1 proto static\n"
                       "route add 10.77.0.0/16 via 10.1.0.9 proto static\n")  # fmt: skip
            Path("/proc/sys", disabled).write_text("1")
            change = ThreeWay(before=start, wanted=wanted, now=start, applied=seen if is_known else None)
            back = roll_back(change, lambda: observe(sysctls=keys))
            assert back.left == ()
            assert back.kept == (
                "the route 10.77.0.0/16 by 10.1.0.9 is new, and is removed with the address that it needs",
            )
            assert wait_for(lambda: difference(before, bare.raw()), lambda found: not found, 2.0) == []


def test_an_ipv6_route_that_a_manager_sets_again_by_the_link_that_loses_it_goes(bare: Bed) -> None:
    """systemd-networkd does when an address goes; the kernel makes one route by both links of it and of ours."""
    bare.batch("link set n1 up\nlink set n2 up\naddr add fd01::2/64 dev n1 nodad\n"
               "route add default via fd01::1 dev n1 proto static\n")  # fmt: skip
    with bare.host.entered():
        start = observe(sysctls=KEYS)
        before = bare.raw()
        n1, n2 = start.links[IfName("n1")], start.links[IfName("n2")]
        moved = {n1.name: replace(n1, addresses=()), n2.name: replace(n2, addresses=(*n1.addresses, *n2.addresses))}
        routes = tuple(replace(route, dev="n2") if route.dev == "n1" else route for route in start.routes)
        wanted = replace(start, links={**start.links, **moved}, routes=routes)
        for applied in (True, False):
            execute(diff(start, wanted))
            seen = observe(sysctls=KEYS)
            looks: list[bool] = []

            def look(looks: list[bool] = looks) -> HostState:
                if len(looks) == 1:
                    bare.batch("addr add fd01::9/64 dev n2 nodad\n"
                               "route append default via fd01::1 dev n2 proto static metric 1024\n"
                               "addr del fd01::9/64 dev n2\n")  # fmt: skip
                looks.append(True)
                return observe(sysctls=KEYS)

            change = ThreeWay(before=start, wanted=wanted, now=start, applied=seen if applied else None)
            back = roll_back(change, look)
            assert back.left == ()
            assert difference(before, bare.raw()) == []


def test_what_a_manager_sets_by_a_file_that_came_back_goes_with_it(bare: Bed) -> None:
    """The host's own file, of a link that had left the site file; its addresses stayed when that was taken back."""
    bare.batch("link set n1 up\n")
    with bare.host.entered():
        start = observe(sysctls=KEYS)
        before = bare.raw()
        bare.batch("addr add 10.1.0.2/24 dev n1\naddr add 10.9.0.2/24 dev n1\naddr add fd01::2/64 dev n1 nodad\n"
                   "route add default via 10.1.0.1 dev n1 proto static\n")  # fmt: skip
        given = {"n1": frozenset({"10.1.0.2/24", "fd01::2/64"})}
        change = ThreeWay(before=start, wanted=start, now=start, applied=start, by_files=given)
        back = roll_back(change, lambda: observe(sysctls=KEYS))
        assert back.left == ()
        route = "the route 0.0.0.0/0 by 10.1.0.1 is new, and is removed with the address that it needs"
        assert back.kept == ("n1: 10.9.0.2/24 is new", route)
        bare.batch("addr del 10.9.0.2/24 dev n1\n")
        assert difference(before, bare.raw()) == []


def test_a_route_by_a_neighbour_goes_with_the_address_that_another_link_gets_back(bare: Bed) -> None:
    """systemd-networkd set it by a file of the host's own, which had come back; no way back came to its end."""
    bare.batch("link set n1 up\nlink set n2 up\naddr add 10.1.0.2/24 dev n2\n")
    with bare.host.entered():
        start = observe(sysctls=KEYS)
        before = bare.raw()
        n1, n2 = start.links[IfName("n1")], start.links[IfName("n2")]
        taken = {n1.name: replace(n1, addresses=n2.addresses), n2.name: replace(n2, addresses=())}
        wanted = replace(start, links={**start.links, **taken})
        for applied in (True, False):
            execute(diff(start, wanted))
            seen = observe(sysctls=KEYS)
            bare.batch("route add default via 10.1.0.1 dev n1 proto static\n")
            back = back_from(start, wanted, seen if applied else None)
            assert back.left == ()
            assert back.kept == (
                "the route 0.0.0.0/0 by 10.1.0.1 is new, and is removed with the address that it needs",
            )
            assert difference(before, bare.raw()) == []


def test_what_cannot_go_back_does_not_keep_the_rest_from_it(bare: Bed) -> None:
    """An address that the kernel refuses stands in the middle of the plan; all else goes back with the last attempt."""
    bare.batch("link set n1 up\naddr add 10.1.0.2/24 dev n1\naddr add fd01::1/64 dev n1 nodad\n")
    with bare.host.entered():
        start = observe(sysctls=KEYS)
        n1 = start.links[IfName("n1")]
        wanted = replace(start, links={**start.links, n1.name: replace(n1, addresses=(), mtu=1400)})
        execute(diff(start, wanted))
        Path("/proc/sys/net/ipv6/conf/n1/disable_ipv6").write_text("1")  # and nobody reads that
        back = back_from(start, wanted, observe(sysctls=KEYS))
        assert any("IPv6 is disabled on this device" in words for words in back.left)
        seen = observe(sysctls=KEYS).links[IfName("n1")]
        assert (seen.mtu, [address.ip for address in seen.addresses]) == (1500, ["10.1.0.2/24"])


def test_a_route_that_a_manager_made_of_our_file_goes_whatever_its_metric(bare: Bed) -> None:
    """NetworkManager gives a metric to a route whose profile has none; one that somebody typed stays."""
    bare.batch("link set n1 up\naddr add 10.1.0.2/24 dev n1\n")
    with bare.host.entered():
        start = observe(sysctls=KEYS)
        before = bare.raw()
        way = Route(dst="172.29.0.0/16", dev="n1", gateway="10.1.0.7")
        wanted = replace(start, routes=(*start.routes, way))
        execute(diff(start, wanted))
        seen = observe(sysctls=KEYS)
        bare.batch("route add 172.29.0.0/16 via 10.1.0.7 dev n1 proto static metric 100\n")
        back = back_from(start, wanted, seen)
        assert (back.left, back.kept) == ((), ())
        assert difference(before, bare.raw()) == []
        execute(diff(start, wanted))
        bare.batch("route add 172.29.0.0/16 via 10.1.0.7 dev n1 metric 100\n")
        back = back_from(start, wanted, seen)
        assert (back.left, back.kept) == ((), ("the route 172.29.0.0/16 by 10.1.0.7 is new",))
