"""D1: a host that is taken as found keeps its addresses, and each of them on one link alone: the one that takes it."""

from __future__ import annotations

import pytest

from tests.lab import pings
from tests.real_hosts.field import ONE_NIC, Field

AS_FOUND = ONE_NIC.replace("  kvm:\n", "  kvm:\n    as_found: true\n")
MANUAL = """\
site: one
networks: {office: {subnet: [192.168.1.0/24, "fd00:1::/64"]}}
hosts:
  kvm:
    as_found: true
    nics: {eth0: {network: office, address: [192.168.1.10/24, "fd00:1::10/64"], ipv6: manual}}
"""


def addresses(field: Field, link: str) -> list[str]:
    return [line.split()[3] for line in field.ip(f"-o address show dev {link} scope global").splitlines()]


@pytest.mark.parametrize("said", ["from-uplink", "192.168.1.10/24, gateway: 192.168.1.1"])
def test_d01_what_moves_to_a_bridge_is_on_the_nic_no_more(real_host: Field, said: str) -> None:
    field, path = real_host, real_host.site(AS_FOUND.replace("from-uplink", said))
    before = field.ip("route show"), addresses(field, "eth0")
    assert field.bascule("apply", path, "--yes", "--no-confirm").returncode == 0
    assert (addresses(field, "eth0"), addresses(field, "br0")) == ([], ["192.168.1.10/24"])
    assert pings(field.pc, "192.168.1.10")
    assert field.document("plan", path)["changes"] == []
    assert field.bascule("undo", "--yes").returncode == 0
    assert (field.ip("route show"), addresses(field, "eth0")) == before


def test_d01_other_addresses_of_the_nic_are_kept(real_host: Field) -> None:
    real_host.batch("addr add 10.9.9.9/24 dev eth0\n")
    path = real_host.site(AS_FOUND.replace("from-uplink", "192.168.1.10/24, gateway: 192.168.1.1"))
    assert real_host.bascule("apply", path, "--yes", "--no-confirm").returncode == 0
    assert (addresses(real_host, "eth0"), addresses(real_host, "br0")) == (["10.9.9.9/24"], ["192.168.1.10/24"])
    assert real_host.document("plan", path)["changes"] == []


@pytest.mark.parametrize("more", ["", "addr add 10.9.9.9/24 dev eth0\n", "addr add fd00:1::10/64 dev eth0 nodad\n"])
def test_d01_the_routes_by_what_moves_go_along(real_host: Field, more: str) -> None:
    """The file says the address, and no gateway: as found, the host keeps the one that it has, where it leads."""
    field = real_host
    field.batch(f"{more}route add 10.8.0.0/16 via 192.168.1.50 dev eth0 metric 7\n")
    before = field.ip("route show"), sorted(addresses(field, "eth0"))
    path = field.site(AS_FOUND.replace("from-uplink", "192.168.1.10/24"))
    assert "the route default via 192.168.1.1 moves from eth0 to br0" in field.bascule("plan", path).stdout
    assert field.bascule("apply", path, "--yes", "--no-confirm").returncode == 0
    routes = field.ip("route show")
    assert "default via 192.168.1.1 dev br0" in routes and "10.8.0.0/16 via 192.168.1.50 dev br0 metric 7" in routes
    assert field.document("plan", path)["changes"] == []
    assert field.bascule("undo", "--yes").returncode == 0
    assert (field.ip("route show"), sorted(addresses(field, "eth0"))) == before


def test_d01_a_written_address_stays_where_routers_are_not_heard_any_more(real_host: Field) -> None:
    """It had an end, as one of a lease; those that are not written down go."""
    real_host.batch(
        "addr add fd00:1::10/64 dev eth0 nodad valid_lft 9000 preferred_lft 0\n"
        "addr add fd00:1::11/64 dev eth0 nodad valid_lft 9000 preferred_lft 8000\n"
    )
    path = real_host.site(MANUAL)
    assert real_host.bascule("apply", path, "--yes", "--no-confirm").returncode == 0
    assert addresses(real_host, "eth0") == ["192.168.1.10/24", "fd00:1::10/64"]
    assert "fd00:1::10/64 scope global" in real_host.ip("-o address show dev eth0 permanent")
    assert real_host.document("plan", path)["changes"] == []


def test_d01_an_address_that_stays_on_a_port_is_not_reached_and_that_is_said(real_host: Field) -> None:
    """The bridge is for guests alone, and nobody said that it takes the address: as found, it stays where it is."""
    field, path = real_host, real_host.site(AS_FOUND.replace(", address: from-uplink", ""))
    field.batch("addr add fd00:1::10/64 dev eth0 nodad\n")
    planned = field.document("plan", path)
    words = "the host is not reached at what stays on this port (192.168.1.10/24, fd00:1::10/64)"
    assert f"eth0: {words}: say 'address: from-uplink' at br0" in planned["mind"]
    assert planned["risk"] == "changes MAC, MTU, address or route"
    assert planned["must_be_confirmed"]
    assert pings(field.pc, "192.168.1.10")
    assert field.bascule("apply", path, "--yes", "--no-confirm").returncode == 0
    assert addresses(field, "eth0") == ["192.168.1.10/24", "fd00:1::10/64"]
    field.batch("neigh flush all\n")  # as when they have aged: what the pc answers arrives at the bridge
    field.batch("neigh flush all\n", field.pc)
    assert not pings(field.pc, "192.168.1.10", seconds=2)
    assert not [line for line in field.document("plan", path)["mind"] if "stays on" in line], "it is so by now"


def test_d01_a_second_ipv4_address_on_a_port_is_reached_by_way_of_the_bridge(real_host: Field) -> None:
    real_host.batch("addr add 192.168.1.11/24 dev eth0\naddr add fd00:1::11/64 dev eth0 nodad\n")
    path = real_host.site(AS_FOUND.replace("from-uplink", "192.168.1.10/24, gateway: 192.168.1.1"))
    (line,) = (line for line in real_host.document("plan", path)["mind"] if "stays on" in line)
    assert line.startswith("eth0: the host is not reached at what stays on this port (fd00:1::11/64)")
    assert real_host.bascule("apply", path, "--yes", "--no-confirm").returncode == 0
    for where in (real_host.host, real_host.pc):
        real_host.batch("neigh flush all\n", where)
    assert pings(real_host.pc, "192.168.1.11")
    real_host.batch("addr add fd00:1::50/64 dev eth0 nodad\n", real_host.pc)
    assert not pings(real_host.pc, "fd00:1::11", seconds=2)


@pytest.mark.parametrize("behind", ["10.9.9.9/24", "10.9.9.9/24 10.9.9.7/24 172.16.0.1/16 192.168.1.12/24"])
def test_d01_an_address_comes_back_before_those_of_other_subnets_that_stayed(real_host: Field, behind: str) -> None:
    """By a route without a router of a subnet the host speaks from the first address of its link."""
    for address in behind.split():
        real_host.ip(f"address add {address} dev eth0")
    real_host.batch("route add 198.51.100.0/24 dev eth0\n")
    path = real_host.site(AS_FOUND.replace("from-uplink", "192.168.1.10/24, gateway: 192.168.1.1"))
    before = addresses(real_host, "eth0"), real_host.ip("route show"), real_host.ip("route get 198.51.100.1")
    assert real_host.bascule("apply", path, "--yes", "--no-confirm").returncode == 0
    assert real_host.document("plan", path)["changes"] == []
    assert real_host.bascule("undo", "--yes").returncode == 0
    assert (addresses(real_host, "eth0"), real_host.ip("route show"), real_host.ip("route get 198.51.100.1")) == before
