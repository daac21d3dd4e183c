"""What the real programs make of our files: each configures a throw-away network, and the kernel is asked."""

from __future__ import annotations

from ipaddress import ip_address, ip_network
from operator import attrgetter
from pathlib import Path

import pytest

from bascule.model.host_links import HostRoute, Ipv6, Ipv6Privacy, PolicyRule, RouteHop
from bascule.model.links import Bridge, BridgePort
from bascule.model.values import IfName, Mac
from bascule.persist.config import NetworkConfig, StaticRoute
from bascule.persist.dialect import dialect
from bascule.persist.formats.rules import kernel_rule
from bascule.providers.kernel.rules import read_rule
from tests.persist.configs import nic, recipe
from tests.persist.readers import Seen, ask

NICS = ("eth2", "eth3", "eth4", "eth5", "eth6")

NETWORKD = """\
mkdir -p /run/systemd/netif/links /run/systemd/netif/leases /run/systemd/netif/lldp
chown -R systemd-network:systemd-network /run/systemd/netif
mount -o remount,bind,ro /sys  # as in a container: there is no udev to wait for
start() { /lib/systemd/systemd-networkd >>/tmp/log 2>&1 & pid=$!; }
stop() { kill $pid; wait $pid || true; }
"""

MANAGER = """\
mkdir -p /run/dbus /run/udev/data
for index in /sys/class/net/*/ifindex; do echo I:1 >/run/udev/data/n$(cat $index); done  # there is no udev
mkdir -p /etc/NetworkManager/conf.d
printf '[main]\\nno-auto-default=*\\n' >/etc/NetworkManager/conf.d/50-peers.conf  # the far ends of the cables
dbus-daemon --system --fork --nopidfile
start() { NetworkManager --no-daemon >>/tmp/log 2>&1 & pid=$!; }
stop() { kill $pid; wait $pid || true; }
"""

WAIT = """\
is_ready() {
    ip -br -4 addr show eth2 | grep -q / && ip -br link show master br4 2>/dev/null | grep -q eth5 &&
    ip -br link show master br3 2>/dev/null | grep -q eth4 && ip -br link show br4 | grep -qw UP
}
until_ready() { for i in $(seq 1500); do if is_ready; then sleep 0.3; return; fi; sleep 0.1; done; }
plug_guest() {
    ip link add vnet0 type veth peer name guest0
    ip link set vnet0 master br3 up
    ip link set guest0 up
}
"""

RUN = {  # dialect: packages, what brings the network up, what restarts its manager
    "networkd": ((), NETWORKD + WAIT, "start; until_ready", "stop; start; sleep 2"),
    "keyfile": ((), MANAGER + WAIT, "start; until_ready", "stop; start; sleep 3; until_ready"),
    "netplan": (
        (),
        NETWORKD + WAIT,
        "/usr/libexec/netplan/generate; start; until_ready",
        "stop; /usr/libexec/netplan/generate; start; sleep 2",
    ),
    "ifupdown": (("ifupdown",), WAIT, "ifup -a", "ifup -a"),
    "ifupdown2": (
        ("ifupdown2",),
        WAIT + "chmod +x /usr/share/ifupdown2/__main__.py; export LC_ALL=C.UTF-8\n",
        "ifup -a",
        "ifreload -a",
    ),
}


def files_of(name: str, config: NetworkConfig) -> dict[str, str]:
    return dialect("ifupdown" if name == "ifupdown2" else name).render(config)


def bring_up(tmp_path: Path, name: str, config: NetworkConfig, then: str = "") -> Seen:
    packages, before, up, _ = RUN[name]
    seen = ask(tmp_path, packages, files_of(name, config), f"{before}\n{up}\n{then}", nics=NICS)
    assert seen.status == 0, seen.stderr
    assert seen.links, seen.stderr
    return seen


def master(seen: Seen, link: str) -> str | None:
    found = seen.links[link].get("master")
    return None if found is None else str(found)


@pytest.mark.kernel
@pytest.mark.parametrize("name", RUN)
def test_the_production_scenario_comes_up_as_it_was_written(name: str, tmp_path: Path) -> None:
    seen = bring_up(tmp_path, name, recipe())
    assert seen.addresses("eth2") == {"192.168.1.10/24"}
    assert seen.addresses("eth3") == {"129.230.1.10/16"}
    assert [(route["gateway"], route["dev"]) for route in seen.routes if route["dst"] == "default"] == [
        ("129.230.0.1", "eth3")
    ]
    for bridge, port, mac in (("br3", "eth4", "52:54:00:00:00:04"), ("br4", "eth5", "52:54:00:00:00:05")):
        options = seen.links[bridge]["linkinfo"]["info_data"]
        assert master(seen, port) == bridge
        assert seen.links[bridge]["address"] == mac
        assert (options["stp_state"], options["mcast_snooping"]) == (0, 0)
        if name != "keyfile":  # NetworkManager sets the delay only together with STP, without which it is idle
            assert options["forward_delay"] == 0
        for link in (bridge, port):
            assert seen.addresses(link) == set()
            assert not seen.has_link_local(link), link
            assert "UP" in seen.links[link]["flags"], link


@pytest.mark.kernel
@pytest.mark.parametrize("name", RUN)
def test_no_tap_leaves_its_bridge_when_the_manager_starts_again(name: str, tmp_path: Path) -> None:
    seen = bring_up(tmp_path, name, recipe(), f"plug_guest; {RUN[name][3]}")
    assert master(seen, "vnet0") == "br3"
    assert "UP" in seen.links["vnet0"]["flags"]
    assert seen.addresses("eth2") == {"192.168.1.10/24"}


def rich(name: str) -> NetworkConfig:
    """A host with its own address on a bridge, routes, jumbo frames and whatever port options the dialect knows."""
    ports = {
        "networkd": BridgePort(isolated=True, learning=False, priority=10, cost=50),
        "netplan": BridgePort(hairpin=True, priority=10, cost=50),
        "keyfile": BridgePort(hairpin=True, priority=10, cost=50),
    }
    port = ports.get(name, BridgePort(isolated=True, bcast_flood=False, priority=10, cost=50))
    bridge = Bridge(stp_state=1, forward_delay=400, hello_time=100, max_age=1000, priority=4096)
    ways = [("10.1.0.1", "eth2", 3), ("192.168.1.7", "br3", 1)] if name != "keyfile" else []
    hops = tuple(RouteHop(router=ip_address(ip), link=IfName(link), weight=weight) for ip, link, weight in ways)
    routes = [
        HostRoute(to=ip_network("10.66.0.0/16"), type="blackhole", metric=70),
        HostRoute(to=ip_network("2001:db8:66::/48"), type="unreachable"),
        HostRoute(to=ip_network("10.67.0.0/16"), type="throw", table=52),
        *([HostRoute(to=ip_network("10.68.0.0/16"), hops=hops)] if hops else []),
    ]
    table = PolicyRule(priority=70, source=ip_network("10.1.0.0/24"), table=52)
    ends = [
        PolicyRule(priority=71, to=ip_network("10.71.0.0/16"), action="blackhole"),
        PolicyRule(priority=72, fwmark="0x7", action="unreachable"),
        PolicyRule(priority=73, source=ip_network("2001:db8:73::/48"), action="prohibit", ipv6=True),
    ]
    return NetworkConfig.of(
        [
            nic("eth2", mtu=9000, addresses=("10.1.0.2/24", "10.2.0.2/24", "2001:db8::2/64"), ipv6=Ipv6.MANUAL),
            nic(
                "eth3",  # a hoster's: the gateways lie outside the prefixes (D7)
                addresses=("203.0.113.17/32", "2001:db8:32::17/128"),
                ipv6=Ipv6.MANUAL,
                routes=(
                    StaticRoute(dst="0.0.0.0/0", gateway="198.51.100.1", metric=700, onlink=True),
                    StaticRoute(dst="::/0", gateway="2001:db8:64::1", metric=700, onlink=True),
                ),
            ),
            nic("eth4", master=IfName("br3"), port=port, mtu=9000),
            nic("eth6", master=IfName("br3"), mtu=9000),
            nic("eth5", master=IfName("br4")),
            nic(
                "br3",
                options=bridge,
                mac=Mac("52:54:00:00:00:04"),
                mtu=9000,
                ipv6=Ipv6.AUTO,
                ipv6_privacy=Ipv6Privacy.PREFER_TEMPORARY,
                addresses=("192.168.1.10/24", "2001:db8:1::10/64"),
                routes=(
                    StaticRoute(dst="0.0.0.0/0", gateway="192.168.1.1"),
                    StaticRoute(dst="10.9.0.0/16", gateway="192.168.1.9", metric=50),
                    StaticRoute(dst="2001:db8:99::/48", gateway="2001:db8:1::1"),
                ),
            ),
            nic("br4", options=Bridge(ageing_time=12000), mac=Mac("52:54:00:00:00:05")),
        ],
        ["vnet*", "tap*"],
        [table, *(ends if name != "keyfile" else [])],
        routes,
    )


@pytest.mark.kernel
@pytest.mark.parametrize("name", RUN)
def test_addresses_routes_and_options_reach_the_kernel(name: str, tmp_path: Path) -> None:
    config = rich(name)
    several = [str(route.to) for route in config.routes if route.hops]
    wait_for_rules = (
        f"for i in $(seq 60); do [ $(ip rule | wc -l) -ge {2 + len(config.rules)} ] && break; sleep 0.2; done; "
    )
    wait = "".join(f"for i in $(seq 60); do ip route | grep -q {dst} && break; sleep 0.2; done; " for dst in several)
    show = "ip route show table 52 | tr '\\n' ' '; cat /proc/sys/net/ipv6/conf/br3/use_tempaddr"
    seen = bring_up(tmp_path, name, config, f"sleep 1; {wait}{wait_for_rules}{show}")
    assert seen.stdout.split()[-1] == "2"
    assert seen.addresses("eth2") == set(config.links[IfName("eth2")].addresses)
    assert seen.addresses("br3") == set(config.links[IfName("br3")].addresses)
    assert {seen.links[link]["mtu"] for link in ("eth2", "eth4", "eth6", "br3")} == {9000}
    assert (master(seen, "eth4"), master(seen, "eth6")) == ("br3", "br3")
    options = seen.links["br3"]["linkinfo"]["info_data"]
    for key, value in config.links[IfName("br3")].options.as_json().items():
        assert options[key] == value, key
    assert seen.links["br4"]["linkinfo"]["info_data"]["ageing_time"] == 12000
    port = config.links[IfName("eth4")].port
    assert port is not None
    for key, value in port.as_json().items():
        assert seen.links["eth4"]["linkinfo"]["info_slave_data"][key] == value, key
    assert "throw 10.67.0.0/16" in seen.stdout
    kinds = {(route["dst"], route.get("type")) for route in (*seen.routes, *seen.routes6)}
    assert {("10.66.0.0/16", "blackhole"), ("2001:db8:66::/48", "unreachable")} <= kinds
    ways = {r["dst"]: {(h["gateway"], h["dev"], h["weight"]) for h in r.get("nexthops", ())} for r in seen.routes}
    for route in config.routes:
        assert {(str(h.router), h.link, h.weight) for h in route.hops} == ways.get(str(route.to), set())
    routes = {(r["dst"], r.get("gateway"), r["dev"]) for r in (*seen.routes, *seen.routes6) if "dev" in r}
    assert ("default", "192.168.1.1", "br3") in routes
    assert ("10.9.0.0/16", "192.168.1.9", "br3") in routes
    assert ("2001:db8:99::/48", "2001:db8:1::1", "br3") in routes
    assert {("default", "198.51.100.1", "eth3"), ("default", "2001:db8:64::1", "eth3")} <= routes
    metric = {route["dst"]: route.get("metric") for route in seen.routes}
    assert metric["10.9.0.0/16"] == 50
    found = [rule for one in seen.rules if (rule := read_rule(one, ipv6=":" in str(one.get("src"))))]
    assert sorted(map(kernel_rule, found), key=attrgetter("priority")) == list(config.rules)


@pytest.mark.kernel
def test_ifquery_lists_every_link(tmp_path: Path) -> None:
    seen = bring_up(tmp_path, "ifupdown", recipe(), "ifquery --list; ifquery br3")
    assert set(recipe().links) <= set(seen.stdout.split())
    assert "bridge-ports: eth4" in seen.stdout


@pytest.mark.kernel
def test_ifupdown2_finds_nothing_to_correct(tmp_path: Path) -> None:
    seen = bring_up(tmp_path, "ifupdown2", recipe(), "ifquery --check -a")
    assert "fail" not in seen.stdout
    assert "bridge-ports eth4" in seen.stdout
    assert "unsupported" not in seen.stderr


@pytest.mark.kernel
def test_nmcli_takes_every_key_of_a_profile(tmp_path: Path) -> None:
    files = dialect("keyfile").render(recipe())
    profile = "/etc/NetworkManager/system-connections/br3.nmconnection"
    script = f"nmcli --offline connection modify ipv4.method disabled <{profile}"
    seen = ask(tmp_path, (), files, script, nics=NICS)
    assert seen.status == 0, seen.stderr
    parsed = dialect("keyfile").parse({profile.lstrip("/"): seen.stdout})
    assert parsed.left == ()
    assert parsed.config.links[IfName("br3")].options == recipe().links[IfName("br3")].options
