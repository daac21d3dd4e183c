"""What Bascule added before goes again when the file does not name it any more, and only then."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from bascule.model.kernel_parameters import FORWARDING, conf
from bascule.model.links import Bridge, Physical
from bascule.model.state import Address, FixedNeighbour, HostState, Link, Route, RoutingRule
from bascule.model.values import IfName, Mac
from bascule.model.volatile import Lifetime
from bascule.plan.earlier import NOTHING, EarlierChanges, route_key
from bascule.plan.make import make_plan
from bascule.plan.target import target
from bascule.providers.kernel.merge import merge
from bascule.providers.protocol import PlanInputs, ThreeWay
from bascule.site import parse

SITE = b"""\
site: s
hosts:
  h:
    nics: {eth5: {address: 129.230.1.10/16}}
    bridges: {br5: {uplink: eth5, address: from-uplink}}
"""


def test_an_address_that_the_nic_hands_to_its_bridge_stays_there() -> None:
    """The file names it under the NIC; a second apply must not take it off the bridge."""
    mac = Mac("52:54:00:00:00:05")
    there = (Address(ip="129.230.1.10/16"), Address(ip="129.230.1.11/16"))
    bridge = Link(name=IfName("br5"), options=Bridge(), mac=mac, up=True, addresses=there)
    nic = Link(name=IfName("eth5"), options=Physical(), mac=mac, up=True, master=IfName("br5"))
    site = parse(SITE, "s.yaml")
    added = {"br5": frozenset(address.ip for address in there)}
    found = target(site, site.hosts["h"], HostState.of([bridge, nic]), EarlierChanges(added=added)).state
    assert [address.ip for address in found.links[IfName("br5")].addresses] == ["129.230.1.10/16"]


def test_a_link_local_address_that_the_link_makes_itself_stays() -> None:
    """A change gave the link one; after the next start its manager has given it the same, and nobody takes it off."""
    mac, own = Mac("52:54:00:00:00:05"), "fe80::5054:ff:fe00:5/64"
    there = (Address(ip="129.230.1.10/16"), Address(ip=own, scope="link"), Address(ip="fe80::9/64", scope="link"))
    nic = Link(name=IfName("eth5"), options=Physical(), mac=mac, up=True, addresses=there)
    site = parse(SITE.replace(b"    bridges: {br5: {uplink: eth5, address: from-uplink}}\n", b""), "s.yaml")
    added = {"eth5": frozenset({own, "fe80::9/64"})}
    found = target(site, site.hosts["h"], HostState.of([nic]), EarlierChanges(added=added)).state
    assert [address.ip for address in found.links[IfName("eth5")].addresses] == ["129.230.1.10/16", own]


OWN = b"""\
site: s
hosts:
  h:
    nics: {eth5: {address: 192.0.2.10/24%s}}
    bridges: {br9: {uplink: none}}
"""


def nic(*ips: str) -> Link:
    there = tuple(Address(ip=ip) for ip in ips)
    return Link(name=IfName("eth5"), options=Physical(), mac=Mac("52:54:00:00:00:05"), up=True, addresses=there)


def routes(said: bytes, link: Link, *there: Route, earlier: EarlierChanges = NOTHING) -> list[tuple[str, str]]:
    site = parse(OWN % said, "s.yaml")
    found = target(site, site.hosts["h"], HostState.of([link], routes=there), earlier).state
    return [(route.dst, route.protocol) for route in found.routes]


def test_a_route_that_a_manager_set_again_by_our_files_goes_with_its_line() -> None:
    """systemd-networkd sets it under its own protocol, and leaves it when its file does not say it any more."""
    route = Route(dst="198.51.100.0/24", gateway="192.0.2.7", dev="eth5", protocol="static")
    default = Route(dst="0.0.0.0/0", gateway="192.0.2.1", dev="eth5", protocol="static")
    earlier = EarlierChanges(routed=frozenset({route_key(route), route_key(default)}))
    assert routes(b"", nic("192.0.2.10/24"), route, default, earlier=earlier) == []
    assert routes(b"", nic("192.0.2.10/24"), route, default) == [(x.dst, "static") for x in (default, route)]
    said = b", gateway: 192.0.2.1, routes: [{to: 198.51.100.0/24, via: 192.0.2.7}]"
    kept = routes(said, nic("192.0.2.10/24"), route, default, earlier=earlier)
    assert kept == [(x.dst, "static") for x in (default, route)]


def test_what_a_change_set_is_known_after_the_next_one_that_moved_it() -> None:
    one = Route(dst="198.51.100.0/24", gateway="192.0.2.7", dev="br5", protocol="static")
    site = parse(OWN % b", routes: [{to: 198.51.100.0/24, via: 192.0.2.7}]", "s.yaml")
    earlier = EarlierChanges(routed=frozenset({route_key(one)}))
    before = HostState.of([nic("192.0.2.10/24")], routes=[one])
    after = HostState.of([nic("192.0.2.10/24")], routes=[replace(one, dev="eth5")])
    now = earlier.with_change(site, site.hosts["h"], before, after)
    assert now.routed == {("eth5", "198.51.100.0/24", "192.0.2.7", "main")}
    assert now.found == frozenset()


BRIDGED = b"""\
site: s
hosts:
  h:
    nics: {eth5: {}}
    bridges: {br5: {uplink: eth5, address: %s}}
"""
GATEWAY = Route(dst="0.0.0.0/0", gateway="129.230.0.1", dev="eth5", protocol="static")


def changed(before: HostState, *texts: bytes) -> tuple[HostState, EarlierChanges]:
    """What the host is wanted to be after changes to these site files, and what is known then."""
    state, earlier = before, NOTHING
    for text in texts:
        site = parse(text, "s.yaml")
        before, state = state, target(site, site.hosts["h"], state, earlier).state
        earlier = earlier.with_change(site, site.hosts["h"], before, state)
    return state, earlier


def of_the_host(state: HostState) -> set[tuple[str, str]]:
    found = {(str(name), one.ip) for name, link in state.links.items() for one in link.addresses}
    return found | {(route.dev, route.dst) for route in state.routes}


NAMES_THE_NIC = b"site: s\nhosts: {h: {nics: {eth5: {address: 129.230.1.10/16, gateway: 129.230.0.1}}}}\n"
BARE = b"site: s\nhosts: {h: {nics: {eth5: {}}}}\n"
EXPLICIT, TAKEN = BRIDGED % b"129.230.1.10/16, gateway: 129.230.0.1", BRIDGED % b"from-uplink"


def test_a_bridge_takes_over_what_the_file_gave_to_the_nic() -> None:
    """Address and route alike, and they are the host's own from then on."""
    lan = {("br5", "129.230.1.10/16"), ("br5", "0.0.0.0/0")}
    for texts in ([NAMES_THE_NIC, TAKEN], [NAMES_THE_NIC, TAKEN, TAKEN], [EXPLICIT, TAKEN], [EXPLICIT, TAKEN, TAKEN]):
        state, earlier = changed(HostState.of([nic()]), *texts)
        assert of_the_host(state) == lan
        assert (earlier.added, earlier.routed) == ({}, frozenset())
    back, _ = changed(HostState.of([nic()]), NAMES_THE_NIC, TAKEN, BARE)
    assert of_the_host(back) == {("eth5", "129.230.1.10/16"), ("eth5", "0.0.0.0/0")}


def test_a_router_that_the_bridge_names_stands_in_place_of_the_one_that_the_file_gave_to_the_nic() -> None:
    state, _ = changed(HostState.of([nic()]), NAMES_THE_NIC, BRIDGED % b"from-uplink, gateway: 129.230.0.2")
    assert [(route.dev, route.gateway) for route in state.routes] == [("br5", "129.230.0.2")]


def test_the_hosts_own_route_that_the_file_named_on_a_bridge_goes_back_with_the_address() -> None:
    """It was there before any change, so it is the host's, whoever set it anew on the bridge since."""
    found = HostState.of([nic("129.230.1.10/16")], routes=[GATEWAY])
    for texts in ([EXPLICIT], [EXPLICIT, EXPLICIT], [EXPLICIT, TAKEN], [TAKEN, EXPLICIT]):
        state, _ = changed(found, *texts)
        assert of_the_host(state) == {("br5", "129.230.1.10/16"), ("br5", "0.0.0.0/0")}
        assert of_the_host(changed(found, *texts, BARE)[0]) == of_the_host(found)


OLD, NEW = "129.230.1.10/16", "129.230.1.20/16"


def renumbered(*texts: bytes) -> set[tuple[str, str]]:
    """Which addresses a host has that was found with one, after site files in turn."""
    v6 = "2001:db8::5/64"
    state, _ = changed(HostState.of([nic(OLD, "129.230.1.11/16", v6)]), *texts)
    return of_the_host(state) - {("eth5", "129.230.1.11/16"), ("eth5", v6), ("br5", "129.230.1.11/16"), ("br5", v6)}


@pytest.mark.parametrize("as_found", [b"", b"as_found: true, "])
def test_an_address_that_the_file_named_goes_where_it_names_another_in_its_place(as_found: bytes) -> None:
    """It was on the host before any change, and a renumbering left both: one had to be deleted by hand."""
    bare = BARE.replace(b"{nics", b"{" + as_found + b"nics")
    own, new = (bare.replace(b"eth5: {}", b"eth5: {address: %s}" % ip.encode()) for ip in (OLD, NEW))
    both = bare.replace(b"eth5: {}", b"eth5: {address: [%s, %s]}" % (OLD.encode(), NEW.encode()))
    asks = bare.replace(b"eth5: {}", b"eth5: {address: dhcp}")
    six = bare.replace(b"eth5: {}", b"eth5: {address: '2001:db8::6/64'}")
    for texts in ([own, new], [own, both, new], [own, own, new, new]):
        assert renumbered(*texts) == {("eth5", NEW)}
    assert renumbered(own, asks) == set()
    assert renumbered(own, bare) == renumbered(own, bare, bare) == {("eth5", OLD)}, "the host's own, and its only one"
    assert renumbered(own, six) == {("eth5", OLD), ("eth5", "2001:db8::6/64")}
    assert renumbered(new) == {("eth5", OLD), ("eth5", NEW)}, "no file ever named the one that was found"
    assert renumbered(own, bare, new) == {("eth5", OLD), ("eth5", NEW)}, "the file left it to the host meanwhile"


def test_so_does_one_of_a_bridge_and_one_that_it_took_over() -> None:
    on_bridge = [BRIDGED % ip.encode() for ip in (OLD, NEW)]
    assert renumbered(*on_bridge) == {("br5", NEW)}
    on_nic = [TAKEN.replace(b"eth5: {}", b"eth5: {address: %s}" % ip.encode()) for ip in (OLD, NEW)]
    assert renumbered(*on_nic) == renumbered(on_bridge[0], on_nic[1]) == renumbered(on_nic[0], on_bridge[1])
    assert renumbered(*on_nic) == {("br5", NEW)}
    assert renumbered(on_nic[0], TAKEN) == {("br5", OLD)}


def test_what_knows_a_bridge_by_name_goes_with_the_address_that_the_file_names_on_its_nic_again() -> None:
    """A permanent neighbour and a policy rule of the host's own, which had gone along to the bridge, were lost."""
    text = BRIDGED % NEW.encode()
    neighbour = FixedNeighbour(ip="129.230.1.77", dev="eth5", mac=Mac("02:00:00:00:00:77"))
    rule = RoutingRule(priority=900, words=("from", "all", "iif", "eth5", "lookup", "120"))
    found = HostState.of([nic(OLD)], rules=[rule], neighbours=[neighbour])
    state, _ = changed(found, text)
    assert ([one.dev for one in state.neighbours], state.rules[0].words[3]) == (["br5"], "br5")
    state, _ = changed(found, text, BARE.replace(b"eth5: {}", b"eth5: {address: %s}" % NEW.encode()))
    assert IfName("br5") not in state.links
    assert (state.neighbours, state.rules) == (found.neighbours, found.rules)


def test_a_rule_that_a_manager_has_set_beside_ours_is_no_change_and_goes_with_ours() -> None:
    """systemd-networkd does by our files, and takes ours away or not: the second plan removed one, an undo kept one."""
    bare = RoutingRule(priority=900, words=("from", "10.9.0.0/16", "lookup", "130"))
    own = replace(bare, words=(*bare.words, "protocol", "66"))
    text = b"site: s\nhosts: {h: {nics: {eth5: {}}%s}}\n"
    named = parse(text % b", rules: [{from: 10.9.0.0/16, table: 130, priority: 900}]", "s.yaml")
    unnamed = parse(text % b"", "s.yaml")
    for there in ([own], [bare], [own, bare]):
        found = target(named, named.hosts["h"], HostState.of([nic(OLD)], rules=there)).state
        assert {*found.rules} == {*there}
    left = target(unnamed, unnamed.hosts["h"], HostState.of([nic(OLD)], rules=[own, bare])).state
    assert left.rules == ()
    left = target(unnamed, unnamed.hosts["h"], HostState.of([nic(OLD)], rules=[bare])).state
    assert left.rules == (bare,), "somebody's own"
    before, after = HostState.of([nic(OLD)]), HostState.of([nic(OLD)], rules=[own])
    now = HostState.of([nic(OLD)], rules=[own, bare])
    assert merge(ThreeWay(before=before, wanted=after, now=now, applied=after)).part.rules == ()


def test_one_that_a_client_or_a_program_keeps_stays() -> None:
    """Its keeper would set it again."""
    site = parse(OWN % b"", "s.yaml")
    leased = Address(ip="192.0.2.20/24", dynamic=True)
    floating = Address(ip="192.0.2.21/24", lifetime=Lifetime(kept_by="keepalived"))
    there = replace(nic("192.0.2.10/24"), addresses=(Address(ip="192.0.2.10/24"), leased, floating))
    earlier = EarlierChanges(named={"eth5": frozenset({leased.ip, floating.ip})})
    found = target(site, site.hosts["h"], HostState.of([there]), earlier).state
    assert found.links[there.name].addresses == there.addresses


def test_what_the_file_named_beside_an_address_that_it_names_still_does_not_go_along() -> None:
    named = NAMES_THE_NIC.replace(b"129.230.1.10/16", b"[129.230.1.10/16, 129.230.1.11/16]")
    still = TAKEN.replace(b"eth5: {}", b"eth5: {address: 129.230.1.10/16, gateway: 129.230.0.1}")
    state, _ = changed(HostState.of([nic()]), named, still)
    assert of_the_host(state) == {("br5", "129.230.1.10/16"), ("br5", "0.0.0.0/0")}


def test_what_the_kernel_takes_away_with_an_address_is_not_wanted_any_more() -> None:
    """fib_sync_down_addr, fib_disable_ip, and NetworkManager's own way to a subnet, which the kernel leaves."""
    link = nic("192.0.2.10/24", "203.0.113.5/24", "2001:db8::5/64")
    there = (
        Route(dst="203.0.113.0/24", dev="eth5", metric=100, protocol="kernel", scope="link"),
        Route(dst="198.51.100.0/24", dev="eth5", gateway="192.0.2.7", prefsrc="203.0.113.5", protocol="static"),
        Route(dst="2001:db8:9::/64", dev="eth5", gateway="fe80::1", prefsrc="2001:db8::5", protocol="static"),
        Route(dst="192.0.2.0/24", dev="eth5", metric=100, protocol="kernel", scope="link"),
    )
    added = EarlierChanges(added={"eth5": frozenset({"203.0.113.5/24", "2001:db8::5/64"})})
    assert routes(b"", link, *there, earlier=added) == [("192.0.2.0/24", "kernel"), ("2001:db8:9::/64", "static")]
    site = parse(OWN % b"", "s.yaml")
    found = target(site, site.hosts["h"], HostState.of([link], routes=there), added).state
    assert [route.prefsrc for route in found.routes] == ["", ""]


def test_where_ipv6_is_turned_off_no_address_of_it_is_wanted() -> None:
    """A bridge takes over what a NIC hands to it, its parameters as well."""
    site = parse(SITE, "s.yaml")
    mac = Mac("52:54:00:00:00:05")
    own = Link(
        name=IfName("br5"), options=Bridge(), mac=mac, up=True, addresses=(Address(ip="fe80::9/64", scope="link"),)
    )
    uplink = replace(nic("129.230.1.10/16"), addrgenmode="none")
    off = {conf(6, "eth5", "disable_ipv6"): "1", conf(6, "br5", "disable_ipv6"): "0"}
    found = target(site, site.hosts["h"], HostState.of([own, uplink], sysctls=off)).state
    assert found.sysctls[conf(6, "br5", "disable_ipv6")] == "1"
    assert [address.ip for address in found.links[IfName("br5")].addresses] == ["129.230.1.10/16"]


def test_a_bridge_whose_ipv6_the_file_names_has_it_on_whatever_its_uplink_had() -> None:
    """It took over that IPv6 was off, and the second plan turned it on."""
    site = parse(SITE.replace(b"address: from-uplink", b"address: from-uplink, ipv6: manual"), "s.yaml")
    off = {conf(6, "eth5", "disable_ipv6"): "1", FORWARDING[6]: "0"}
    uplink = replace(nic("129.230.1.10/16"), addrgenmode="none")
    found = target(site, site.hosts["h"], HostState.of([uplink], sysctls=off)).state
    assert found.sysctls[conf(6, "br5", "disable_ipv6")] == "0"


def test_a_link_local_address_that_networkmanager_makes_of_a_bridge_stays() -> None:
    """After each start the plan wanted the kernel to make the one that is there already."""
    site = parse(UPLINKED.replace(b"uplink: eth5", b"uplink: eth5, ipv6: manual") % b"eth5: {}", "s.yaml")
    own = Address(ip="fe80::5054:ff:fe00:5/64", scope="link", flags=("noprefixroute",))
    mac = Mac("52:54:00:00:00:05")
    bridge = Link(
        name=IfName("br5"), options=Bridge(), mac=mac, up=True, addrgenmode="none", alias="bascule:s", addresses=(own,)
    )
    state = HostState.of([bridge, replace(nic(), master=bridge.name)], sysctls={FORWARDING[6]: "0"})
    found = target(site, site.hosts["h"], state).state.links[bridge.name]
    assert (found.addrgenmode, found.addresses) == ("none", (own,))


def test_a_link_found_with_addresses_of_ipv6_and_no_link_local_one_stays_so() -> None:
    """As networkd's LinkLocalAddressing=no has it; what import said of it had the plan make one."""
    text = b"site: s\nhosts: {h: {as_found: true, nics: {eth5: {address: '2001:db8::5/64', ipv6: manual}}}}\n"
    site, found = parse(text, "s.yaml"), replace(nic("2001:db8::5/64"), addrgenmode="none")
    state = HostState.of([found], sysctls={FORWARDING[6]: "0"})
    assert target(site, site.hosts["h"], state).state.links[found.name] == found


def test_a_nic_whose_bridge_goes_is_not_said_to_be_left_alone() -> None:
    """Neither the NIC nor the bridge is in the file any more."""
    site = parse(b"site: s\nhosts: {h: {nics: {eth6: {}}}}\n", "s.yaml")
    bridge = Link(name=IfName("br5"), options=Bridge(), alias="bascule:s", up=True)
    other = Link(name=IfName("eth6"), options=Physical(), up=True)
    state = HostState.of([bridge, replace(nic(), master=bridge.name), other])
    notes = target(site, site.hosts["h"], state).notes
    words = "is not in the file, and in no bridge any more when br5 has gone"
    assert [(one.kind, one.text) for one in notes if one.subject == "eth5"] == [("warning", words)]


def test_a_bridge_that_our_files_have_made_again_is_ours_without_its_mark() -> None:
    """A manager sets no mark; one of another MAC, with another's mark, or that no file of ours makes is somebody's."""
    site = parse(b"site: s\nhosts: {h: {nics: {eth5: {}}}}\n", "s.yaml")
    mac, there = Mac("52:54:00:00:00:05"), (Address(ip="129.230.1.10/16"),)
    again = Link(name=IfName("br5"), options=Bridge(), mac=mac, up=True, addresses=there)
    earlier = EarlierChanges(macs={"br5": mac}, kept=True, ports={"eth5": IfName("br5")})

    def links(bridge: Link, known: EarlierChanges) -> dict[str, list[str]]:
        state = HostState.of([bridge, replace(nic(), master=bridge.name)])
        plan, wanted = make_plan(site, site.hosts["h"], state, PlanInputs(earlier=known))
        assert [step for step in plan.changes if step.action == "mark"] == []
        return {name: [one.ip for one in link.addresses] for name, link in wanted.links.items()}

    assert links(again, earlier) == {"eth5": ["129.230.1.10/16"]}, "the host's own goes back to the NIC"
    for other in (replace(again, mac=Mac("52:54:00:00:00:06")), replace(again, alias="hello")):
        assert "br5" in links(other, earlier)
    assert "br5" in links(again, replace(earlier, kept=False))


def test_a_lost_mark_is_no_change_and_comes_back_with_the_next_one() -> None:
    site = parse(UPLINKED % b"eth5: {}", "s.yaml")
    mac = Mac("52:54:00:00:00:05")
    earlier = EarlierChanges(macs={"br5": mac}, kept=True, ports={"eth5": IfName("br5")})
    state = HostState.of([replace(nic(), mac=mac)], sysctls={FORWARDING[6]: "0"})
    made = make_plan(site, site.hosts["h"], state)[1]
    links = {**made.links, IfName("br5"): replace(made.links[IfName("br5")], alias="")}
    again = PlanInputs(earlier=earlier)
    plan, _ = make_plan(site, site.hosts["h"], replace(made, links=links), again)
    assert plan.changes == ()
    assert [note.text for note in plan.notes if "mark" in note.text] == []
    other = parse(UPLINKED.replace(b"uplink: eth5", b"uplink: eth5, mtu: 1400") % b"eth5: {}", "s.yaml")
    plan, wanted = make_plan(other, other.hosts["h"], replace(made, links=links), again)
    assert "mark" in [step.action for step in plan.changes if step.subject == "br5"]
    assert wanted.links[IfName("br5")].alias == "bascule:s"


UPLINKED = b"""\
site: s
hosts:
  h:
    nics: {%s}
    bridges: {br5: {uplink: eth5}}
"""


def test_a_nic_that_others_made_a_port_is_warned_of_beside_the_uplink() -> None:
    site = parse(UPLINKED % b"eth5: {}", "s.yaml")
    bridge = Link(name=IfName("br5"), options=Bridge(), up=True)
    ports = [replace(nic(), name=IfName(name), master=IfName("br5")) for name in ("eth5", "eth6")]
    notes = target(site, site.hosts["h"], HostState.of([bridge, *ports])).notes
    assert [(one.subject, one.text) for one in notes if one.kind == "warning"] == [
        ("eth6", "stays a port of br5 beside eth5: their networks are one, and a loop where they meet")
    ]
    ours = EarlierChanges(ports={"eth5": IfName("br5"), "eth6": IfName("br5")})
    found = target(site, site.hosts["h"], HostState.of([bridge, *ports]), ours)
    assert {name: link.master for name, link in found.state.links.items()} == {"br5": None, "eth5": "br5", "eth6": None}
    assert not [one for one in found.notes if one.kind == "warning"]


def test_ports_are_remembered_with_the_uplink_first() -> None:
    site = parse(UPLINKED.replace(b"eth5}", b"eth5, ports: [eth4]}") % b"eth4: {}, eth5: {}", "s.yaml")
    loose = [replace(nic(), name=IfName(name)) for name in ("eth4", "eth5")]
    bridge = Link(name=IfName("br5"), options=Bridge())
    before = HostState.of([bridge, *loose])
    after = HostState.of([bridge, *(replace(one, master=IfName("br5")) for one in loose)])
    put = NOTHING.with_change(site, site.hosts["h"], before, after)
    assert list(put.ports.items()) == [("eth5", "br5"), ("eth4", "br5")]
    assert put.with_change(site, site.hosts["h"], after, after).ports == put.ports
    assert NOTHING.with_change(site, site.hosts["h"], after, after).ports == {}, "it was a port before"
