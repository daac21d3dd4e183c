"""Our own virtual networks on the real kernel: who reaches whom in each mode, and what a forward changes."""

from __future__ import annotations

from ipaddress import IPv4Address, ip_address
from pathlib import Path

import pytest
from msgspec.structs import replace

from bascule.errors import BasculeError, SiteFault
from bascule.model.ruleset.text import replacing_text
from bascule.model.site import Forward, Mode, PlugKind, Site
from bascule.model.values import IFNAME_MAX, Service, bridge_name
from bascule.plan.virtual_network import resolved_networks
from bascule.policy.network_rules import network_table
from bascule.providers.dnsmasq.arguments import parse_leases
from bascule.providers.observe import observe
from bascule.system.net.sysctl import read_sysctls, write_sysctl
from bascule.system.run import run
from tests.guests.values import SSH, guest, nic, resolved_network, site, virtual_network
from tests.guests.wires import HOST, LAN, forwarded, plug_in, running, seen_as, serving, street, verdicts
from tests.lab import Lab

NF_CALL = "net/bridge/bridge-nf-call-iptables"
ADDRESSES = {"g1": "192.168.122.21/24", "g2": "192.168.122.22/24"}
G1, G2 = "192.168.122.21", "192.168.122.22"
EXPECTED: dict[Mode, dict[str, str | None]] = {  # the address that each server sees; None where nothing comes through
    Mode.NAT: {"guest to lan": HOST, "lan to guest": None},
    Mode.ROUTED: {"guest to lan": G2, "lan to guest": LAN},
    Mode.ISOLATED: {"guest to lan": None, "lan to guest": None},
    Mode.OPEN: {"guest to lan": G2, "lan to guest": LAN},
}
FORWARDED: dict[str, str | None] = {"lan to forward": LAN, "sibling to forward": "192.168.122.1"}
ALWAYS: dict[str, str | None] = {"guest to guest": G1, "guest to host": G1, "host to guest": "192.168.122.1"}


def two_guests(mode: Mode, *forwards: Forward) -> Site:
    guests = [guest(name, nic(name, 0, "lab", address, plug=PlugKind.NETWORK)) for name, address in ADDRESSES.items()]
    return site(*guests, networks=(virtual_network(mode, forwards=forwards),))


@pytest.mark.kernel
@pytest.mark.parametrize("mode", list(Mode))
def test_each_mode_lets_through_what_its_name_says(lab: Lab, tmp_path: Path, mode: Mode) -> None:
    told = two_guests(mode)
    there = street(lab, "g1", "g2")
    with running(told, there.host, tmp_path) as network:
        plug_in(lab, there, list(told.guests.values()), network.resolved_network.bridge, ADDRESSES)
        assert verdicts(there, ADDRESSES) == ALWAYS | EXPECTED[mode]
    assert "vn-lab" not in lab.ip(there.host, "link show")
    assert "bascule" not in run(("nft", "list", "ruleset"), namespace=there.host).stdout


@pytest.mark.kernel
@pytest.mark.parametrize("br_netfilter", ["0", "1"])
def test_a_forward_opens_one_port_from_lan_host_and_sibling_and_nothing_else(
    lab: Lab, tmp_path: Path, br_netfilter: str
) -> None:
    told = two_guests(Mode.NAT, SSH, Forward(host_port=8000, guest="g1", service=Service("tcp", 8000, 8003)))
    there = street(lab, "g1", "g2")
    if read_sysctls([NF_CALL], namespace=there.host):
        write_sysctl(NF_CALL, br_netfilter, namespace=there.host)
    elif br_netfilter == "1":
        pytest.skip("the kernel has no br_netfilter loaded")
    with running(told, there.host, tmp_path) as network:
        plug_in(lab, there, list(told.guests.values()), network.resolved_network.bridge, ADDRESSES)
        with serving(there.rooms["g1"], 22), serving(there.rooms["g1"], 80), serving(there.rooms["g1"], 8003):
            assert forwarded(there) == FORWARDED
            assert seen_as(there.host, HOST, 2222) is not None
            if (
                br_netfilter == "0"
            ):  # the bridge itself turns the frame around otherwise, and never to where it came from
                assert seen_as(there.rooms["g1"], HOST, 2222) == "192.168.122.1"
            assert seen_as(there.lan, HOST, 8003) == LAN
            assert seen_as(there.lan, HOST, 8004) is None
            assert seen_as(there.lan, HOST, 22) is None
            assert seen_as(there.lan, G1, 22) is None  # not by the guest's own address
            assert seen_as(there.lan, G1, 80) is None
        with serving(there.lan, 2222):
            assert seen_as(there.rooms["g2"], LAN, 2222) == HOST  # the port of another machine stays its own


@pytest.mark.kernel
@pytest.mark.parametrize("mode", list(Mode))
def test_what_nft_lists_is_what_was_written_so_that_a_second_plan_is_empty(lab: Lab, mode: Mode) -> None:
    told = two_guests(mode, SSH, Forward(host_port=9000, guest="g2", service=Service("udp", 5000, 5001)))
    one, host = resolved_network(told), lab.namespace("host")
    table = network_table(one, "bascule:t")
    assert table is not None
    for _ in range(2):
        run(("nft", "-f", "-"), stdin=replacing_text(table), namespace=host)
        assert observe(namespace=host).tables == {table.key: table}


@pytest.mark.kernel
def test_a_guest_gets_its_reservation_its_name_and_its_gateway(lab: Lab, tmp_path: Path) -> None:
    from bascule.probe.dhcp_client import DhcpNic, acquire

    told = site(
        guest("g1", nic("g1", 0, "lab", "dhcp", plug=PlugKind.NETWORK)),
        networks=(virtual_network(Mode.NAT, forwards=(SSH,)),),
    )
    one = resolved_network(told)
    there = street(lab, "g1")
    with running(told, there.host, tmp_path) as network:
        plug_in(lab, there, list(told.guests.values()), one.bridge, {})
        lab.ip(there.rooms["g1"], "link set eth0 up")
        wanted = one.reservations[0]
        assert IPv4Address("192.168.122.100") <= IPv4Address(str(wanted.address)) <= IPv4Address("192.168.122.200")
        assert one.forwards[0].address == wanted.address
        client = DhcpNic(namespace=there.rooms["g1"], link="eth0", mac=told.guests["g1"].nics[0].mac)
        lease = acquire([client])[client]
        assert lease is not None
        assert lease.address.ip == wanted.address
        assert lease.routers == (ip_address("192.168.122.1"),)
        (kept,) = network.leases
        assert (kept.address, kept.mac) == (wanted.address, wanted.mac)


@pytest.mark.kernel
def test_a_bridge_that_is_there_already_is_an_error_and_stays(lab: Lab, tmp_path: Path) -> None:
    host = lab.namespace("host")
    lab.ip(host, "link add vn-lab type bridge")
    with (
        pytest.raises(BasculeError, match="a bridge of that name that is not Bascule's"),
        running(two_guests(Mode.NAT), host, tmp_path),
    ):
        pass
    assert "vn-lab" in lab.ip(host, "link show")
    assert run(("nft", "list", "ruleset"), namespace=host).stdout == ""


def test_a_forward_that_leads_nowhere_is_named() -> None:
    nowhere = Forward(host_port=80, guest="nobody", service=Service("tcp", 80, 80))
    told = two_guests(Mode.NAT, SSH, nowhere)
    with pytest.raises(SiteFault, match="which has no address in virtual network 'lab'") as caught:
        resolved_networks(told, told.hosts["h"])
    assert [p.code for p in caught.value.problems] == ["FORWARD-NOWHERE"]


def test_names_fit_into_the_kernel_and_stay_apart() -> None:
    assert bridge_name("lab") == "vn-lab"
    long = [bridge_name(f"a-very-long-network-name-{n}") for n in range(2)]
    assert len(set(long)) == 2
    assert all(len(name) <= IFNAME_MAX for name in long)


def test_an_open_network_without_forwards_has_no_rules_but_for_its_own_dhcp_answers() -> None:
    one = resolved_network(two_guests(Mode.OPEN))
    table = network_table(one, "bascule:t")
    assert table is not None
    assert [chain.name for chain in table.chains] == ["checksum"]
    assert network_table(replace(one, ranges=()), "bascule:t") is None


def test_leases_are_read_and_what_is_no_lease_is_passed_over() -> None:
    text = (
        "1700000000 52:54:00:00:00:01 192.168.122.100 g1 01:52:54:00:00:00:01\nduid 00:01\n1700000000 1 fd00::5 * 00\n"
    )
    (lease,) = parse_leases(text, "lab")
    assert (str(lease.address), lease.name, lease.network, lease.expires) == (
        "192.168.122.100",
        "g1",
        "lab",
        1700000000,
    )
