"""D11: routes of every kind that somebody set on the NIC go along to the bridge, and come back as they were."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.apply.hosts import journal_of, time_is_up, wait_for
from tests.real_hosts.field import BASE, ONE_NIC, Field

ROUTES = """\
addr add 2001:db8:1::10/64 dev eth0 nodad
route add 10.10.0.0/16 via 192.168.1.1 mtu lock 1300 initcwnd 20 quickack 1 congctl reno features ecn realm 5
route add 10.11.0.0/16 via 192.168.1.1 rtt 40ms rttvar 5ms rto_min 30ms cwnd lock 9 window 5 hoplimit 9
route add 10.12.0.0/16 via 192.168.1.50 tos 0x10 metric 4
route add 10.12.0.0/16 via 192.168.1.1 metric 4
route add 10.15.0.0/16 encap ip id 7 dst 1.1.1.1 tos 0x10 dev eth0 mtu lock 1300
route add 10.16.0.0/16 via inet6 2001:db8:1::1 dev eth0
route add 10.17.0.0/16 nexthop via inet6 fe80::1 dev eth0 nexthop via 192.168.1.1 dev eth0 weight 2
route add default via inet6 fe80::1 dev eth0 metric 700
route add multicast 239.5.0.0/16 dev eth0
route add local 10.77.0.0/16 dev eth0
route add local 2001:db8:77::/64 dev eth0
route add anycast 2001:db8:1::77/128 dev eth0
route add multicast ff05::/16 dev eth0 table 99
route add 2001:db8:9::/48 via 2001:db8:1::1 mtu lock 1300
route add 2001:db8:55::/48 from 2001:db8:1::/64 via 2001:db8:1::1 dev eth0
"""


def routes(field: Field) -> list[str]:
    """What ip(8) prints of the routes that are not the kernel's own, of both IP versions."""
    words = "-d route show table all"
    lines = [*field.ip(f"-4 {words}").splitlines(), *field.ip(f"-6 {words}").splitlines()]
    return sorted(line for line in lines if "proto kernel" not in line)


def test_d11_routes_of_every_kind_go_along_and_come_back(real_host: Field) -> None:
    field, path = real_host, real_host.site(ONE_NIC)
    field.batch(ROUTES)
    before = routes(field)
    assert len(before) >= ROUTES.count("route add")
    done = field.bascule("apply", path, "--yes", "--confirm-within", "10m")
    assert done.returncode == 0, done.stderr
    assert routes(field) == sorted(line.replace("eth0", "br0") for line in before)
    assert field.document("plan", path)["changes"] == []
    undone = field.bascule("undo")
    assert undone.returncode == 0, undone.stdout
    assert routes(field) == before


def test_d11_what_files_do_not_say_of_a_route_is_named(real_host: Field, tmp_path: Path) -> None:
    own = tmp_path / "etc/systemd/network/20-lan.network"
    own.parent.mkdir(parents=True)
    own.write_text("[Match]\nName=eth0\n[Network]\nAddress=192.168.1.10/24\nGateway=192.168.1.1\n")
    real_host.batch("\n".join(line for line in ROUTES.splitlines() if " 10.10." in line or "239.5" in line) + "\n")
    site = real_host.site(ONE_NIC.replace("  kvm:\n", "  kvm:\n    persist: networkd\n"))
    notes = [note["text"] for note in real_host.document("plan", site, "--root", str(tmp_path))["notes"]]
    (lost,) = (text for text in notes if "does not support it" in text)
    for words in ("route multicast 239.5.0.0/16", "route 10.10.0.0/16's", "mtu lock 1300"):
        assert words in lost


@pytest.mark.parametrize("when", ["before the change", "since the change"])
def test_d11_no_policy_rule_leads_to_the_main_table(real_host: Field, when: str) -> None:
    """The kernel looks for the gateway of a route there by the rules, and takes no route where none leads to it."""
    lose = (
        "rule add lookup 78 priority 200\nroute add default via 192.168.1.1 dev {0} table 78\nrule del priority 32766\n"
    )
    if when == "before the change":
        real_host.batch(lose.format("eth0"))
    before = real_host.ip("route show table main")
    done = real_host.bascule("apply", real_host.site(ONE_NIC), "--yes", "--confirm-within", "600s")
    assert done.returncode == 0, done.stderr
    assert real_host.ip("route show table main") == before.replace("eth0", "br0")
    if when == "since the change":
        real_host.batch(lose.format("br0"))
    rules = real_host.ip("rule")
    undone = real_host.bascule("undo", "--yes")
    assert undone.returncode == 0, undone.stderr
    assert real_host.ip("route show table main") == before
    assert real_host.ip("rule") == rules
    assert ("rule 32766 from all lookup main is gone" in undone.stdout) == (when == "since the change")


@pytest.mark.parametrize("also", ["", ", br0: {uplink: eth0}"])
def test_d11_a_way_over_a_link_that_falls_silent_goes(real_host: Field, also: str) -> None:
    """Of a route over two links the other way stays, if that link has an address after the change."""
    field = real_host
    field.batch(
        "addr add 10.1.0.10/24 dev eth1\n"
        "route add 172.20.0.0/16 nexthop via 192.168.1.1 dev eth0 nexthop via 10.1.0.1 dev eth1 weight 2\n"
    )
    before = routes(field)
    path = field.site(
        f"site: one\nhosts: {{kvm: {{nics: {{eth0: {{}}, eth1: {{}}}}, bridges: {{br1: {{uplink: eth1}}{also}}}}}}}\n"
    )
    done = field.bascule("apply", path, "--yes", "--no-confirm")
    assert done.returncode == 0, done.stderr
    left = [" ".join(line.split()) for line in routes(field) if "172.20" in line]
    assert left == (
        [] if also else ["unicast 172.20.0.0/16 via 192.168.1.1 dev eth0 table main proto boot scope global"]
    )
    assert field.document("plan", path)["changes"] == []
    assert field.bascule("undo", "--yes").returncode == 0
    assert routes(field) == before


@pytest.mark.parametrize("managed_first", [True, False])
def test_d11_the_subnet_of_networkmanager_goes_along_beside_a_further_address(
    real_host: Field, *, managed_first: bool
) -> None:
    """It gives addresses without a route and sets one itself; the kernel makes one for the first of the subnet."""
    field = real_host
    addresses = ["addr add 192.168.1.10/24 dev eth0 noprefixroute\n", "addr add 192.168.1.11/24 dev eth0\n"]
    field.batch(
        "addr flush dev eth0\n"
        + "".join(addresses if managed_first else reversed(addresses))
        + "route add 192.168.1.0/24 dev eth0 proto kernel scope link src 192.168.1.10 metric 100\n"
        "route add default via 192.168.1.1 dev eth0 proto static metric 100\n"
    )
    subnet = [line.strip() for line in field.ip("route show dev eth0").splitlines()][1:]
    assert len(subnet) == (1 if managed_first else 2)
    path = field.site(ONE_NIC)
    assert field.bascule("apply", path, "--yes", "--no-confirm").returncode == 0
    assert [line.strip() for line in field.ip("route show dev br0").splitlines()][1:] == subnet
    assert field.document("plan", path)["changes"] == []
    assert [one for one in field.document("verify", path)["checks"] if one["ok"] is False] == []
    assert field.bascule("undo", "--yes").returncode == 0
    assert [line.strip() for line in field.ip("route show dev eth0").splitlines()][1:] == subnet


BESIDE = """\
addr add 10.3.0.10/24 dev eth0 noprefixroute
addr add 10.3.0.11/24 dev eth0 noprefixroute
route append 10.3.0.0/24 dev eth0 proto kernel scope link src 10.3.0.10 metric 100
route append 10.3.0.0/24 dev eth0 proto kernel scope link src 10.3.0.11 metric 100
route append 10.4.0.0/24 dev eth0 scope link src 10.3.0.11 metric 7
route append 10.4.0.0/24 dev eth1 scope link metric 7
route append 10.5.0.0/24 dev eth1 scope link metric 7
route append 10.5.0.0/24 dev eth0 scope link src 10.3.0.11 metric 7
"""


@pytest.mark.parametrize("by_watchdog", [False, True])
def test_d11_several_routes_in_one_place_go_along_in_their_order(real_host: Field, *, by_watchdog: bool) -> None:
    """NetworkManager has one to a subnet for each address in it: ip(8) puts them there by append, as does it."""
    field, path = real_host, real_host.site(ONE_NIC)
    field.batch(BESIDE)
    before = field.ip("-4 route show")
    window = ("--confirm-within", "10m") if by_watchdog else ("--no-confirm",)
    assert field.bascule("apply", path, "--yes", *window).returncode == 0
    lines = [line for line in field.ip("-4 route show").splitlines() if line.startswith(("10.3", "10.4", "10.5"))]
    assert lines == [line.replace("eth0", "br0") for line in before.splitlines() if line.startswith("10.")]
    assert field.document("plan", path)["changes"] == []
    if by_watchdog:
        time_is_up(journal_of(field.folder / "state"))
    else:
        assert field.bascule("undo", "--yes").returncode == 0
    assert wait_for(lambda: field.ip("-4 route show"), lambda now: now == before) == before


def test_d11_a_route_of_the_file_is_there_whatever_metric_a_manager_gave_it(real_host: Field) -> None:
    """NetworkManager gives one to a route whose profile has none; a metric that the file names counts."""
    field = real_host
    text = BASE.replace("gateway: 192.168.1.1}\n      eth1", "gateway: 192.168.1.1, routes: [{to: 10.8.0.0/16, "
                        "via: 192.168.1.50}]}\n      eth1")  # fmt: skip
    field.batch("route add 10.8.0.0/16 via 192.168.1.50 dev eth0 proto static metric 100\n")
    assert not [change for change in field.document("plan", field.site(text))["changes"] if "10.8" in change["action"]]
    named = text.replace("via: 192.168.1.50}", "via: 192.168.1.50, metric: 7}")
    assert [c["action"] for c in field.document("plan", field.site(named))["changes"] if "10.8" in c["action"]] == [
        "route 10.8.0.0/16 via 192.168.1.50 dev eth0"
    ]
