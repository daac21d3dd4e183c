"""Links of guests that wait for their bridge are alike, but for one that a route, a rule or a parameter of its own has.

Whoever is alike is asked once for all of them, and that must say what is said of each.
"""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from ipaddress import ip_address

import pytest
from msgspec.structs import replace

from bascule.model.kernel_parameters import FORWARDING, conf
from bascule.model.links import Physical, Tap, Vlan
from bascule.model.state import Address, HostState, Link, Route, RoutingRule
from bascule.model.values import IfName, Mac
from bascule.site import parse
from bascule.system.process.sandbox import sandboxed
from bascule.topology.sweep.equivalence import EquivalenceClasses
from bascule.topology.trace.network import HostNetwork, KnownNeighbour
from bascule.topology.trace.rules.reading import Listings, read_rules
from bascule.verify.reachability.host_model import model_host
from bascule.verify.reachability.participant import HostModel
from bascule.verify.reachability.question import all_ends
from tests.topology.test_sweep_of_sites import unequal

GUESTS = 4
SITE = """\
site: s
networks: {lan: {subnet: [10.0.0.0/16, "2001:db8::/64"], gateway: 10.0.0.1}}
hosts: {h: {nics: {e0: {network: lan}}, bridges: {br0: {uplink: e0}}}}
guests:
""" + "".join(
    f'  g{n}: {{host: h, nics: [{{bridge: br0, tap: t{n}, address: [10.0.0.1{n}/16, "2001:db8::1{n}/64"]}}]}}\n'
    for n in range(GUESTS)
)
OWN = "02:00:00:00:01:01"  # of t1


def as_found(*, up: bool = True) -> HostNetwork:
    """The host with an address at its NIC, and the guests' taps, each with an address that the kernel made for it."""
    taps = (
        Link(
            name=IfName(f"t{n}"), options=Tap(), up=up, mac=Mac(f"02:00:00:00:01:{n:02x}"),
            addresses=(Address(ip=f"fe80::{n + 17:x}/64"),) if up else (),
        )
        for n in range(GUESTS)
    )  # fmt: skip
    addresses = tuple(Address(ip=ip) for ip in ("10.0.0.1/16", "2001:db8::1/64", "fe80::1/64"))
    nic = Link(name=IfName("e0"), options=Physical(), up=True, mac=Mac("02:00:00:00:02:01"), addresses=addresses)
    return HostNetwork(state=HostState.of([nic, *taps]), sysctls={FORWARDING[4]: "1", FORWARDING[6]: "1"})


def ways(network: HostNetwork) -> tuple[HostModel, list[int]]:
    """The host to ask, and for each guest the first one whose packets take the same way."""
    site = parse(SITE.encode(), "s")
    given = model_host(network, "h", "this host", site, site.hosts["h"])
    every = EquivalenceClasses(given.network, all_ends(given.network, given.known.values()))
    found = [every.way(given.known[f"g{n}"].ends[0]) for n in range(GUESTS)]
    return given, [found.index(one) for one in found]


def with_link(network: HostNetwork, name: str, **changes: object) -> HostNetwork:
    links = network.state.links
    return replace(
        network, state=replace(network.state, links={**links, IfName(name): replace(links[IfName(name)], **changes)})
    )


def with_state(network: HostNetwork, **changes: object) -> HostNetwork:
    return replace(network, state=replace(network.state, **changes))


def with_sysctls(network: HostNetwork, *links: str) -> HostNetwork:
    return replace(network, sysctls={**network.sysctls, **{conf(4, link, "proxy_arp"): "1" for link in links}})


def with_rules(network: HostNetwork, rules: str) -> HostNetwork:
    return replace(network, rules=read_rules(Listings(nft=sandboxed(_listing, rules))))


def _listing(text: str) -> str:
    subprocess.run(("nft", "-f", "-"), input=text, text=True, check=True)
    return subprocess.run(("nft", "-j", "list", "ruleset"), capture_output=True, text=True, check=True).stdout


def with_vlan(network: HostNetwork) -> HostNetwork:
    vlan = Link(name=IfName("t1.7"), options=Vlan(id=7), parent=IfName("t1"), up=True, mac=Mac(OWN))
    return with_state(network, links={**network.state.links, vlan.name: vlan})


IN = "table inet t { chain c { type filter hook input priority 0; %s drop; }; }"
ALIKE: dict[str, Callable[[HostNetwork], HostNetwork]] = {
    "nothing of their own": lambda one: one,
    "proxy_arp on all": lambda one: with_sysctls(one, *(f"t{n}" for n in range(GUESTS))),
    "a rule by name": lambda one: with_rules(one, IN % "iifname t1"),
    "a rule by the guest's address": lambda one: with_rules(one, IN % "ip saddr 10.0.0.11"),
    "a rule for all MACs of the host": lambda one: with_rules(one, IN % "ether daddr 02:00:00:00:00:00/24"),
    "a default route by the NIC": lambda one: with_state(
        one, routes=(Route(dst="0.0.0.0/0", dev="e0", gateway="10.0.0.254"),)
    ),
}  # fmt: skip
UNLIKE: dict[str, Callable[[HostNetwork], HostNetwork]] = {
    "proxy_arp": lambda one: with_sysctls(one, "t1"),
    "a rule by the MAC of the host's link": lambda one: with_rules(one, IN % f"ether daddr {OWN}"),
    "a route to its guest": lambda one: with_state(one, routes=(Route(dst="10.0.0.11/32", dev="t1"),)),
    "a route to somebody else": lambda one: with_state(one, routes=(Route(dst="10.7.0.0/16", dev="t1"),)),
    "a rule of routing": lambda one: with_state(
        one, rules=(RoutingRule(priority=7, words=("iif", "t1", "blackhole")),)
    ),
    "an address": lambda one: with_link(one, "t1", addresses=(Address(ip="10.0.0.99/32"),)),
    "no link-local address": lambda one: with_link(one, "t1", addresses=()),
    "it is down": lambda one: with_link(one, "t1", up=False),
    "a smaller MTU": lambda one: with_link(one, "t1", mtu=1400),
    "a VLAN's link on it": with_vlan,
    "a neighbour": lambda one: replace(
        one, neighbours=(KnownNeighbour(address=0x0A00000B, link="t1", mac=0x525400000009),)
    ),
}  # fmt: skip


@pytest.mark.parametrize("change", ALIKE.values(), ids=ALIKE)
def test_waiting_links_are_alike(change: Callable[[HostNetwork], HostNetwork]) -> None:
    given, found = ways(change(as_found()))
    assert found == [0] * GUESTS
    assert unequal(given) == []


@pytest.mark.parametrize("change", UNLIKE.values(), ids=UNLIKE)
def test_a_link_with_something_of_its_own_is_unlike_the_others(change: Callable[[HostNetwork], HostNetwork]) -> None:
    given, found = ways(change(as_found()))
    assert found[1] == 1
    assert found[2:] == [found[0]] * 2
    assert unequal(given) == []


def test_a_gateway_that_one_link_alone_has_is_no_gateway_of_the_others() -> None:
    given, _ = ways(as_found())
    ends = [
        replace(end, gateways={6: int(ip_address("fe80::12"))})
        for end in all_ends(given.network, given.known.values())
        if not end.outside
    ]
    every = EquivalenceClasses(given.network, ends)
    assert [every.way(one) == every.way(ends[1]) for one in ends] == [False, True, False, False]
