"""From a site file to the configuration that keeps it."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from bascule.importer.running import running_config
from bascule.model.dialects import persistent
from bascule.model.host_links import Ipv6
from bascule.model.kernel_parameters import conf
from bascule.model.links import Bond, Bridge, Physical, Veth, Vlan
from bascule.model.state import Address, HostState, Link, PortVlans, Route
from bascule.model.values import IfName, Mac
from bascule.model.volatile import Lifetime
from bascule.persist.config import NetworkConfig, StaticRoute
from bascule.persist.dialect import dialect
from bascule.persist.wanted import declared_state, unpinned, wanted_config
from bascule.plan.target import target
from bascule.site import parse


def config(hosts: str, state: HostState | None = None) -> NetworkConfig:
    site = parse(f"site: s\nnetworks: {{n: {{vlan: 30}}}}\nhosts: {{h: {hosts}}}\n".encode(), "s")
    host = site.hosts["h"]
    return wanted_config(site, host, target(site, host, state).state if state else None)


def nic(name: str, mac: str, **fields: object) -> Link:
    return Link(name=IfName(name), options=Physical(), mac=Mac(mac), up=True, **fields)  # type: ignore[arg-type]


ETH4, ETH5 = "52:54:00:00:00:04", "52:54:00:00:00:05"


def test_a_bridge_wears_the_mac_that_the_file_pins() -> None:
    text = (
        f"{{nics: {{eth4: {{mac: '{ETH4}', mtu: 9000}}, eth5: {{}}}},"
        " bridges: {br3: {uplink: eth4}, br5: {uplink: eth5}, br9: {uplink: none}}}"
    )
    found = config(text)
    bridge = found.links[IfName("br3")]
    assert (bridge.mac, bridge.mtu, bridge.ipv6) == (ETH4, 9000, Ipv6.OFF)
    assert found.links[IfName("eth4")].master == "br3"
    assert found.links[IfName("eth4")].pin_mac == ETH4
    site = parse(f"site: s\nhosts: {{h: {text}}}".encode(), "s")
    assert unpinned(site.hosts["h"], found) == ("br5",)
    bare = target(site, site.hosts["h"], HostState.of([nic("eth4", ETH4), nic("eth5", ETH5)])).state
    assert found.links[IfName("br9")].mac == bare.links[IfName("br9")].mac, "as a plan would make it"


def test_or_the_one_that_the_nic_has() -> None:
    state = HostState.of([nic("eth4", ETH4)])
    assert config("{nics: {eth4: {}}, bridges: {br3: {uplink: eth4}}}", state).links[IfName("br3")].mac == ETH4


def test_bond_and_vlan_under_a_bridge() -> None:
    found = config(
        "{nics: {eth4: {}, eth5: {}}, bonds: {bond0: {nics: [eth4, eth5], mode: 802.3ad}},"
        " bridges: {br3: {uplink: bond0, vlan: 30}}}"
    )
    assert found.links[IfName("bond0")].options == Bond(mode="802.3ad", miimon=100)
    assert found.links[IfName("bond0.30")].options == Vlan(id=30)
    assert found.links[IfName("bond0.30")].parent == "bond0"
    assert found.links[IfName("bond0.30")].master == "br3"
    assert {name for name, link in found.links.items() if link.master == "bond0"} == {"eth4", "eth5"}


def test_a_vlan_aware_bridge_trunks_what_its_guests_need() -> None:
    site = parse(
        b"site: s\nnetworks: {a: {vlan: 10}, b: {vlan: 20}}\n"
        b"hosts: {h: {nics: {eth4: {}}, bridges: {br3: {uplink: eth4, vlan_aware: true}}}}\n"
        b"guests: {g: {host: h, nics: [{bridge: br3, vlan: 10}, {bridge: br3, vlans: [20]}]}}\n",
        "s",
    )
    found = wanted_config(site, site.hosts["h"])
    own = PortVlans(first=1, last=1, pvid=True, untagged=True)
    assert found.links[IfName("eth4")].vlans == (
        own,
        PortVlans(first=10, last=10),
        PortVlans(first=20, last=20),
    )
    assert "g.0" in found.unmanaged


def test_the_hosts_own_address_moves_to_the_bridge_and_stays_there() -> None:
    """Also where the file does not say it, because the installer once set it."""
    state = HostState.of(
        [nic("eth4", ETH4, addresses=(Address(ip="192.0.2.5/24"),))],
        routes=(Route(dst="0.0.0.0/0", dev="eth4", gateway="192.0.2.1"),),
    )
    found = config("{nics: {eth4: {}}, bridges: {br3: {uplink: eth4, address: from-uplink}}}", state)
    bridge = found.links[IfName("br3")]
    assert bridge.addresses == ("192.0.2.5/24",)
    assert bridge.routes == (StaticRoute(dst="0.0.0.0/0", gateway="192.0.2.1"),)
    assert found.links[IfName("eth4")].addresses == ()


def test_what_the_file_names_is_no_other_route_of_another_table() -> None:
    """A default route in a table of policy rules was in no file once the bridge that took it over named a router."""
    own = Route(dst="0.0.0.0/0", dev="eth5", gateway="129.230.0.9", table="120", protocol="static")
    link = nic("eth5", ETH5, addresses=(Address(ip="129.230.1.10/16"),))
    text = "{nics: {eth5: {}}, bridges: {br5: {uplink: eth5, address: from-uplink, gateway: 129.230.0.1}}}"
    found = config(text, HostState.of([link], routes=[own])).links[IfName("br5")]
    assert {(route.gateway, route.table) for route in found.routes} == {("129.230.0.1", 254), ("129.230.0.9", 120)}


def test_routes_and_name_servers() -> None:
    found = config(
        "{nics: {eth0: {address: [192.0.2.5/24, '2001:db8::5/64'], gateway: 192.0.2.1,"
        " dns: [192.0.2.1], search: example.org,"
        " routes: [{to: 10.0.0.0/8, via: 192.0.2.9, metric: 50}]}}}"
    )
    link = found.links[IfName("eth0")]
    assert (link.dns, link.search) == (("192.0.2.1",), ("example.org",))
    assert set(link.routes) == {
        StaticRoute(dst="0.0.0.0/0", gateway="192.0.2.1"),
        StaticRoute(dst="10.0.0.0/8", gateway="192.0.2.9", metric=50),
    }


def test_a_nic_without_an_address_waits_for_no_router_that_never_spoke() -> None:
    """It carries a VLAN, say. NetworkManager gives it up at every boot if it is to find a router in vain."""
    own = Address(ip="fe80::5054:ff:fe00:4/64", scope="link")
    silent = HostState.of([nic("eth4", ETH4, addresses=(own,))])
    assert config("{nics: {eth4: {}}}", silent).links[IfName("eth4")].ipv6 == Ipv6.MANUAL
    heard = HostState.of(
        [nic("eth4", ETH4, addresses=(own,))],
        routes=(Route(dst="::/0", dev="eth4", gateway="fe80::1", protocol="ra", metric=1024),),
    )
    assert config("{nics: {eth4: {}}}", heard).links[IfName("eth4")].ipv6 == Ipv6.AUTO
    told = Address(ip="2001:db8::4/64", dynamic=True, lifetime=Lifetime(valid_s=100, preferred_s=100))
    got = HostState.of([nic("eth4", ETH4, addresses=(own, told))])
    assert config("{nics: {eth4: {}}}", got).links[IfName("eth4")].ipv6 == Ipv6.AUTO
    speaks = config("{nics: {eth4: {address: 10.0.0.4/24}}}", silent)
    assert speaks.links[IfName("eth4")].ipv6 == Ipv6.AUTO


def test_foreign_links_do_not_belong_to_a_running_configuration() -> None:
    docker = Link(name=IfName("docker0"), options=Bridge(), mac=Mac("02:42:00:00:00:01"))
    inside = nic("eth9", "52:54:00:00:00:09", master=IfName("docker0"))
    end = Link(name=IfName("veth12ab"), options=Veth(), mac=Mac("02:42:00:00:00:02"), master=IfName("docker0"))
    found = running_config(HostState.of([docker, inside, end, nic("eth0", ETH4)]))
    assert set(found.config.links) == {"eth0", "eth9"}  # hardware is the host's, whoever has put it there
    assert found.notes == (
        "docker0: left out, another program makes and removes it: a bridge",
        "eth9: is a port of docker0, which another program makes",
    )
    assert found.others == ("on docker0: veth12ab",)


def test_the_nic_under_a_bridge_gets_the_mtu_of_the_bridge() -> None:
    """As the plan sets it; the bridge alone would be too large for its port after a restart."""
    found = config("{nics: {eth4: {}}, bridges: {br3: {uplink: eth4, mtu: 9000}}}")
    assert {link.mtu for link in found.links.values()} == {9000}
    wide = config("{nics: {eth4: {mtu: 9000}}, bridges: {br3: {uplink: eth4, mtu: 1500}}}")  # for a VLAN beside it
    assert [wide.links[IfName(name)].mtu for name in ("eth4", "br3")] == [9000, 1500]


def test_files_say_what_the_plan_leads_to() -> None:
    """What is rendered, read as a state, is what the target has: neither makes anything of the site file by itself."""
    text = (
        "{nics: {eth2: {address: 192.0.2.5/24, gateway: 192.0.2.1}, eth4: {}, eth5: {}, eth6: {mtu: 9000}},"
        " bonds: {bond0: {nics: [eth4, eth5], mode: active-backup}},"
        " bridges: {br2: {uplink: eth2, address: from-uplink}, br3: {uplink: bond0, vlan: 30},"
        " br6: {uplink: eth6, vlan_aware: true, stp: true}}}"
    )
    state = HostState.of([nic(f"eth{n}", f"52:54:00:00:00:0{n}") for n in (2, 4, 5, 6)])
    site = parse(f"site: s\nnetworks: {{n: {{vlan: 30}}}}\nhosts: {{h: {text}}}\n".encode(), "s")
    wanted = target(site, site.hosts["h"], state).state
    found = config(text, state)
    running = running_config(wanted).config
    for name, link in found.links.items():
        have = running.links[name]
        for field in ("options", "master", "parent", "mac", "mtu", "addresses", "routes", "port", "onboot"):
            assert getattr(link, field) == getattr(have, field), (name, field)


@pytest.mark.parametrize("name", persistent())
@pytest.mark.parametrize(
    ("address", "gateway", "near"), [("203.0.113.17/32", "198.51.100.1", True), ("2001:db8::17/128", "fe80::1", False)]
)
def test_d7_a_gateway_outside_the_prefix_is_on_the_link(name: str, address: str, gateway: str, near: bool) -> None:
    """A hoster's single address moves to the bridge; the kernel may know the way by a route to the gateway itself."""
    to, default = ("::/0", f"{gateway}/128") if ":" in gateway else ("0.0.0.0/0", f"{gateway}/32")
    routes = [Route(dst=default, dev="eth4", scope="link"), Route(dst=to, gateway=gateway, dev="eth4")]
    state = HostState.of([nic("eth4", ETH4, addresses=(Address(ip=address),))], routes=routes)
    found = config("{nics: {eth4: {}}, bridges: {br3: {uplink: eth4, address: from-uplink}}}", state)
    said = {route.dst: route.onlink for route in found.links[IfName("br3")].routes}
    assert said[to] is near
    files = dialect(name).render(found)
    assert dialect(name).parse(files).config == found
    words = {"networkd": "GatewayOnLink=yes", "netplan": "on-link: true", "keyfile": "onlink=true"}
    assert any(words.get(name, "onlink") in text for text in files.values()) is near


@pytest.mark.parametrize(
    ("said", "waits"),
    [
        ("eth4", False), ("eth4, address: dhcp", True), ("eth4, address: 10.0.0.5/24", True),
        ("eth4, ipv6: auto", True), ("eth4, ipv6: dhcp", True), ("eth4, ipv6: off", False),
        ("none, address: 10.0.0.5/24", False),  # without a wire it has no carrier until a guest runs
    ],
)  # fmt: skip
def test_d12_a_bridge_is_waited_for_where_the_host_has_its_address_there(said: str, waits: bool) -> None:
    found = config(f"{{nics: {{eth4: {{}}}}, bridges: {{br3: {{uplink: {said}}}}}}}")
    networkd = dialect("networkd").render(found)["etc/systemd/network/10-br3.network"]
    assert ("RequiredForOnline=no" in networkd) is not waits
    assert ("optional: true" in dialect("netplan").render(found)["etc/netplan/60-bascule.yaml"]) is not waits


@pytest.mark.parametrize(("off", "mode"), [("1", Ipv6.OFF), ("0", Ipv6.AUTO)])
def test_a_bridge_that_takes_over_that_ipv6_is_off_says_so_in_its_file(off: str, mode: Ipv6) -> None:
    """NetworkManager would turn it on again by its profile, and the file of parameters say the opposite."""
    site = parse(
        b"site: s\nhosts: {h: {nics: {eth0: {}}, bridges: {br0: {uplink: eth0, address: 192.0.2.1/24}}}}\n", "s"
    )
    host = site.hosts["h"]
    seen = replace(declared_state(site, host), sysctls={conf(6, "br0", "disable_ipv6"): off})
    links = {name: replace(link, addrgenmode="eui64") for name, link in seen.links.items()}
    assert wanted_config(site, host, replace(seen, links=links)).links[IfName("br0")].ipv6 is mode
