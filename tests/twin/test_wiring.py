"""The pure part of the twin: who is wired to what, and what a router lets through."""

from __future__ import annotations

from ipaddress import ip_network

from hypothesis import given
from hypothesis import strategies as st

from bascule.model.host_links import Nic
from bascule.model.links import Bond, Loopback, Physical, Tap, Veth
from bascule.model.ruleset.text import replacing_text
from bascule.model.site import Flow, Masquerade
from bascule.model.state import HostState, Link
from bascule.model.values import IFNAME_MAX, IfName, Mac, parse_ifname
from bascule.policy.masquerade import redirect_table, router_table
from bascule.system.run import run
from bascule.twin.wiring import LinkNames, wire
from tests.twin.sites import Bridge, Host, by_name, guest, machine, network, nic, production, service
from tests.twin.stage import inside


@given(st.lists(st.text(min_size=1, max_size=30), max_size=30))
def test_names_of_links_are_always_short_and_never_taken_twice(wishes: list[str]) -> None:
    names = LinkNames()
    given_out = [names.give(wish.replace("/", "-").replace(":", "-").strip() or "x") for wish in wishes]
    assert len(set(given_out)) == len(given_out)
    assert all(len(name.encode()) <= IFNAME_MAX for name in given_out)


def test_a_name_that_fits_stays_as_it_is() -> None:
    names = LinkNames()
    assert [names.give("dmz.0"), names.give("vmserver.eth4")] == ["dmz.0", "vmserver.eth4"]
    long = [names.give("a-very-long-machine-name.0"), names.give("a-very-long-machine-name.1")]
    assert len({*long}) == 2 and all(parse_ifname(name) for name in long)
    assert names.give("lo") != "lo"


def test_every_nic_leads_to_its_network() -> None:
    cables = {(c.node, c.link): c for c in wire(production(), ["vmserver"], {}).cables}
    assert cables["vmserver", IfName("eth2")].native == "internal"
    assert cables["vmserver", IfName("eth5")].native == "internet"
    assert cables["dmz", IfName("eth1")].native == "internet"
    assert {c.port for c in cables.values()} == {
        *(f"vmserver.eth{n}" for n in (2, 3, 4, 5)), "dmz.0", "dmz.1", "desk.0", "customer.0",
    }  # fmt: skip


def test_macs_are_the_declared_else_the_observed_else_derived_and_stable() -> None:
    site = production()
    host = site.hosts["vmserver"]
    declared = Nic(name=IfName("eth3"), network="internet", mac=Mac("00:25:90:00:00:33"))
    site = production(hosts=by_name(Host(name="vmserver", nics={**host.nics, IfName("eth3"): declared})), guests={})
    state = HostState.of(
        [Link(name=IfName(n), options=Physical(), mac=Mac(f"00:25:90:aa:00:0{n[-1]}")) for n in ("eth2", "eth3")]
    )
    first, second = (
        {c.link: c.mac for c in wire(site, ["vmserver"], {"vmserver": state}).cables if c.node == "vmserver"}
        for _ in range(2)
    )
    assert first == second
    assert first[IfName("eth3")] == "00:25:90:00:00:33"
    assert first[IfName("eth2")] == "00:25:90:aa:00:02"
    assert str(first[IfName("eth4")]).startswith("52:54:00:")


def test_stand_ins_are_made_for_what_no_plan_can_make_and_for_nothing_else() -> None:
    kinds = {"lo": Loopback(), "eth9": Physical(), "vnet3": Tap(), "docker-x": Veth(), "bond0": Bond()}
    state = HostState.of([Link(name=IfName(n), options=o, mac=Mac("00:25:90:00:00:99")) for n, o in kinds.items()])
    cables = {c.link: c.native for c in wire(production(), ["vmserver"], {"vmserver": state}).cables}
    extra = set(cables) - {"eth0", "eth1", "eth2", "eth3", "eth4", "eth5"}
    assert extra == {"eth9", "vnet3", "docker-x"}
    assert {cables[IfName(name)] for name in extra} == {None}  # plugged in nowhere


def test_tags_follow_from_the_bridges() -> None:
    bridges = by_name(
        Bridge(name=IfName("br30"), uplink=IfName("eth4"), vlan=30),  # type: ignore[arg-type]
        Bridge(name=IfName("br0"), uplink=IfName("eth5"), vlan_aware=True),
    )
    site = production(
        networks=by_name(
            network("plain", "10.0.0.0/24"),
            network("office", "10.3.0.0/24", vlan=30),
            network("lab", "10.4.0.0/24", vlan=40),
        ),
        hosts=by_name(Host(name="vmserver", nics=by_name(nic("eth4", "plain"), nic("eth5", "lab")), bridges=bridges)),
        guests={},
        machines=by_name(machine("desk", ("office", "10.3.0.9/24"))),
    )  # fmt: skip
    cables = {(c.node, c.link): (c.native, c.tagged) for c in wire(site, ["vmserver"], {}).cables}
    assert cables["vmserver", IfName("eth4")] == ("plain", ("office",))
    assert cables["vmserver", IfName("eth5")] == (None, ("lab", "office"))
    assert cables["desk", IfName("eth0")] == ("office", ())  # a machine stands on an access port


def test_jumbo_bridges_give_their_guests_jumbo_nics() -> None:
    host = Host(
        name="vmserver",
        nics=by_name(nic("eth4", "internal", mtu=9000), nic("eth5", "internet", mtu=9000)),
        bridges=by_name(
            Bridge(name=IfName("br3"), uplink=IfName("eth4"), mtu=4000),
            Bridge(name=IfName("br4"), uplink=IfName("eth5")),
        ),
    )  # fmt: skip
    ends = wire(production(hosts=by_name(host)), ["vmserver"], {}).guests
    assert {name: end.nics[0].mtu for name, end in ends.items()} == {
        "guest_01": 9000, "guest_02": 4000, "guest_03": 4000,
    }  # fmt: skip


def test_a_gateway_outside_of_the_own_subnet_is_no_default_route() -> None:
    ends = wire(production(guests=by_name(guest("g", "br3", "10.9.9.9/24"))), ["vmserver"], {}).guests
    assert ends["g"].routes == ()


def test_sources_are_guests_machines_hosts_networks_and_leases() -> None:
    site = production()
    dmz = machine(
        "dmz", masquerade=Masquerade(sources=("guest_02", "guest_03", "desk", "vmserver", "internal"), to="internet")
    )
    links = [("eth0", "internal"), ("eth1", "internet")]
    table = router_table(site, dmz, links, {"guest_02": [ip_network("192.168.1.144")]})
    assert table is not None
    assert [one.name for one in table.sets] == ["from4", "from6"]
    assert "192.168.1.0/24" in replacing_text(table)
    assert "192.168.1.33" not in replacing_text(table)  # in the subnet already
    dmz = machine("dmz", masquerade=Masquerade(sources=("guest_02", "guest_03", "desk", "vmserver"), to="internet"))
    table = router_table(site, dmz, links, {"guest_02": [ip_network("192.168.1.144")]})
    text = replacing_text(table) if table else ""
    for address in ("192.168.1.144", "192.168.1.33", "fd00:1::33", "192.168.1.50", "fd00:1::50", "129.230.1.10"):
        assert address in text


def nft_takes(*texts: str) -> None:
    """The kernel takes them, one after the other."""

    def work() -> None:
        for text in texts:
            run(("nft", "-f", "-"), stdin=text)

    inside(work)


def test_nft_takes_every_text() -> None:
    site, links = production(), [("eth0", "internal"), ("eth1", "internet"), ("eth2", "internet")]
    hidden = Masquerade(sources=("guest_02", "internal"), to="internet")
    flows = (
        Flow(sources=("internal",), targets=("internet", "guest_01"), service=service("tcp/80-90")),
        Flow(sources=("guest_03",), targets=(), service=service("icmp")),
        Flow(sources=("customer", "desk"), targets=("guest_02",)),
    )
    for rest in ({"masquerade": hidden}, {"forwards": flows}, {"masquerade": hidden, "forwards": flows}):
        tables = [
            router_table(site, machine("dmz", **rest), links, leases)
            for leases in ({}, {"guest_02": [ip_network("10.0.0.1"), ip_network("fd00::/64")]})
        ]
        first, more = (table for table in tables if table is not None)
        assert [c.hook.policy for c in first.chains if c.hook][:1] == ["drop"]
        nft_takes(replacing_text(first), replacing_text(more))
    assert router_table(site, machine("dmz", forwards=(Flow(),)), links) is None
    ranges = {service("tcp/1-65535"): 1, service("udp/1000-9000"): 1000}
    nft_takes(replacing_text(redirect_table(ranges, frozenset({("tcp", 53)}))))


def test_a_site_without_anything_is_an_empty_building() -> None:
    empty = wire(production(networks={}, hosts={}, guests={}, machines={}), [], {})
    assert (empty.cables, dict(empty.guests), dict(empty.switches)) == ((), {}, {})
