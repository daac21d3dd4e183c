"""D1: what a change set on a link of the host's own is as it was found when the site file says it no more."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.real_hosts.field import Field

HEAD = """\
site: leaving
networks: {office: {subnet: 192.168.1.0/24, gateway: 192.168.1.1}}
hosts:
  kvm:
    nics: {%s}
"""
GONE = HEAD % "eth0: {network: office}"
WITH = {  # how the file names eth1, and what further of it stands in the kernel then
    "a NIC": HEAD % "eth0: {network: office}, eth1: {network: office, mtu: 1400}",
    "an uplink": HEAD % "eth0: {network: office}, eth1: {network: office}"
    + "    bridges: {br1: {uplink: eth1, mtu: 1400}}\n",
    "a NIC without IPv6": HEAD % "eth0: {network: office}, eth1: {mtu: 1400, ipv6: 'off'}",
    "a NIC beside another of its subnet": HEAD % "eth0: {network: office, address: 192.168.1.10/24}, "
                                                 "eth1: {network: office, address: 192.168.1.11/24, mtu: 1400}",
    "a NIC that hears no routers": HEAD % "eth0: {network: office}, "
                                          "eth1: {network: office, mtu: 1400, ipv6: auto, use_gateway: no}",
}  # fmt: skip


def shown(field: Field) -> dict[str, Any]:
    """What the kernel has of eth1 that a change may set."""
    (link,) = json.loads(field.ip("-d -j address show dev eth1"))
    values = {key: link.get(key) for key in ("mtu", "inet6_addr_gen_mode", "master")}
    values["addresses"] = sorted(one["local"] for one in link["addr_info"])
    with field.host.entered():
        for key in (
            *(f"ipv6/conf/eth1/{name}" for name in ("accept_ra", "accept_ra_defrtr", "disable_ipv6")),
            *(f"ipv4/conf/eth1/{name}" for name in ("arp_ignore", "arp_announce", "rp_filter")),
        ):
            values[key] = Path("/proc/sys/net", key).read_text().strip()
    return values


def applied(field: Field, text: str) -> str:
    done = field.bascule("apply", field.site(text), "--yes", "--no-confirm")
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("what", WITH)
def test_d01_a_nic_that_leaves_the_file_is_as_it_was_found(real_host: Field, what: str) -> None:
    """Not at the next start alone, by the host's own files: an MTU of 1400 and no IPv6 stayed in the kernel."""
    field = real_host
    found = shown(field)
    applied(field, WITH[what])
    between = shown(field)
    assert between["mtu"] == 1400
    said = applied(field, GONE)
    assert "eth1 is not in the file any more: what was set on it is as it was found" in " ".join(said.split())
    assert shown(field) == found
    assert field.document("plan", field.site(GONE))["changes"] == []
    assert field.bascule("undo", "--yes").returncode == 0
    assert shown(field) == between
    rehearsed = field.document("rehearse", field.site(GONE))
    assert rehearsed["ok"], rehearsed["checks"]
    assert field.bascule("undo", "--yes").returncode == 0
    assert shown(field) == found


def test_d01_an_mtu_that_leaves_the_file_is_as_it_was_found_after_another(real_host: Field) -> None:
    """It was 1500 before both."""
    field, text = real_host, WITH["a NIC"]
    for mtu in (1400, 1300):
        applied(field, text.replace("1400", str(mtu)))
        assert shown(field)["mtu"] == mtu
    applied(field, text.replace(", mtu: 1400", ""))
    assert shown(field)["mtu"] == 1500
    assert field.bascule("undo", "--yes").returncode == 0
    assert shown(field)["mtu"] == 1300


def test_d01_the_mtus_of_a_bridge_of_others_and_of_its_port_are_as_they_were_found(real_host: Field) -> None:
    """The port kept its one, as the bridge might have been given it by others: the next start had another."""
    field = real_host
    field.batch("link add mine up type bridge\nlink set eth1 master mine\n")
    applied(field, HEAD % "eth0: {network: office}, eth1: {network: office}"
            + "    bridges: {mine: {uplink: eth1, mtu: 1400}}\n")  # fmt: skip
    assert shown(field)["mtu"] == 1400
    applied(field, GONE)
    assert (shown(field)["mtu"], shown(field)["master"]) == (1500, "mine")
    assert "mtu 1500" in field.ip("link show dev mine")
    assert field.document("plan", field.site(GONE))["changes"] == []


def test_d01_temporary_addresses_that_leave_the_file_are_as_they_were_found(real_host: Field) -> None:
    field, key = real_host, "/proc/sys/net/ipv6/conf/eth1/use_tempaddr"
    wanted = HEAD % "eth0: {network: office}, eth1: {ipv6: auto, ipv6_privacy: prefer-temporary}"
    for text, value in ((wanted, "2"), (wanted.replace(", ipv6_privacy: prefer-temporary", ""), "0")):
        applied(field, text)
        assert field.run("cat", key).stdout.strip() == value
        assert field.document("plan", field.site(text))["changes"] == []
    assert field.bascule("undo", "--yes").returncode == 0
    assert field.run("cat", key).stdout.strip() == "2"


def test_d01_a_nic_whose_ipv6_was_turned_off_since_gets_no_address_of_it(real_host: Field) -> None:
    """ifupdown2 does so on ports when the machine starts: the change failed, as the kernel takes none."""
    field = real_host
    applied(field, WITH["an uplink"])
    with field.host.entered():
        Path("/proc/sys/net/ipv6/conf/eth1/disable_ipv6").write_text("1")
    applied(field, GONE)
    assert (shown(field)["master"], shown(field)["addresses"]) == (None, [])
    assert field.document("plan", field.site(GONE))["changes"] == []


def test_d01_what_somebody_else_has_set_since_stays(real_host: Field) -> None:
    field = real_host
    applied(field, WITH["a NIC"])
    field.ip("link set eth1 mtu 1450 addrgenmode eui64")
    with field.host.entered():
        Path("/proc/sys/net/ipv6/conf/eth1/accept_ra").write_text("2")
    between = shown(field)
    assert field.document("plan", field.site(GONE))["changes"] == []
    assert shown(field) == between


def test_d01_a_nic_that_another_bridge_has_by_now_is_left_alone(real_host: Field) -> None:
    field = real_host
    applied(field, WITH["a NIC"])
    field.batch("link add mine type bridge\nlink set eth1 master mine\n")
    assert field.document("plan", field.site(GONE))["changes"] == []
