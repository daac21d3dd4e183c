"""D2: what a change does to the host's own connection asks for a confirmation, not who types it."""

from __future__ import annotations

import socket
from collections.abc import Callable

import pytest

from bascule.system.net.netns import Namespace
from tests.patience import HUNG_S
from tests.real_hosts.field import BASE, ONE_NIC, Field

BRIDGE = "    bridges: {br1: {uplink: eth1%s}}\n"
NIC = """\
site: one
networks:
  office: {subnet: [192.168.1.0/24, 'fd00::/64']}
hosts:
  kvm:
    nics: {eth0: {network: office%s}}
"""
CASES = {
    "the address moves to a bridge": (ONE_NIC, "192.168.1.10/24 moves from eth0 to br0"),
    "the address goes": (ONE_NIC.replace(", address: from-uplink", ""), "192.168.1.10/24 is removed from eth0"),
    "an address is new": (NIC % ", address: [192.168.1.10/24, 192.168.1.77/24]", "192.168.1.77/24 is new on eth0"),
    "an IPv6 address is new": (NIC % ", address: [192.168.1.10/24, 'fd00::7/64']", "fd00::7/64 is new on eth0"),
    "the gateway is another": (
        NIC % ", address: 192.168.1.10/24, gateway: 192.168.1.50",
        "the route default via 192.168.1.1 dev eth0 is removed",
    ),
    "a route is new": (NIC % ", routes: [{to: 10.9.0.0/16, via: 192.168.1.50}]", "the route 10.9.0.0/16 via"),
    "its metric is another": (
        NIC % ", address: 192.168.1.10/24, gateway: 192.168.1.1, metric: 50",
        "the route default via 192.168.1.1 dev eth0 is removed",  # or it would come before the one with the metric
    ),
    "a NIC that comes under it": (
        NIC.replace("eth0: {network: office%s}", "eth0: {}, eth1: {}") + "    bonds: {bond0: {nics: [eth0, eth1], "
        "mode: active-backup, network: office, address: 192.168.1.10/24, gateway: 192.168.1.1}}\n",
        "eth1, which is to carry 192.168.1.10/24: become a port of bond0",
    ),
    "the MTU under it": (
        NIC % ", mtu: 1400",
        "eth0, which carries 192.168.1.10/24: change MTU from 1500 to 1400 bytes",
    ),
}
QUIET = {
    "a bridge for guests": BASE,
    "a network of guests": NIC % "" + "    virtual_networks: {lab: {mode: isolated, subnet: 192.168.150.0/24}}\n",
    "the MTU of a NIC that carries guests": NIC % "}, eth1: {network: office, mtu: 1400",
}


@pytest.mark.parametrize("what", CASES)
def test_it_needs_a_confirmation(shared_host: Field, what: str) -> None:
    text, words = CASES[what]
    plan = shared_host.plan(text)
    assert plan.must_be_confirmed
    assert any(line.startswith(words) for line in plan.own_line), plan.own_line


def test_a_route_that_moves_is_told_once(real_host: Field) -> None:
    real_host.batch("route add 10.9.0.0/16 dev eth0 table 52\nroute add 10.8.0.0/16 via 192.168.1.50\n")
    assert [line for line in real_host.plan(ONE_NIC).own_line if "route" in line] == [
        "the route default via 192.168.1.1 moves from eth0 to br0",
        "the route 10.8.0.0/16 via 192.168.1.50 moves from eth0 to br0",
        "the route 10.9.0.0/16 in table 52 moves from eth0 to br0",
    ]


def test_a_written_gateway_in_place_of_one_by_hand_moves_as_well(shared_host: Field) -> None:
    text = ONE_NIC.replace("address: from-uplink", "address: 192.168.1.10/24, gateway: 192.168.1.1")
    assert [line for line in shared_host.plan(text).own_line if "route" in line] == [
        "the route default via 192.168.1.1 moves from eth0 to br0"
    ]


@pytest.mark.parametrize("what", QUIET)
def test_what_leaves_the_line_alone_needs_none(shared_host: Field, what: str) -> None:
    plan = shared_host.plan(QUIET[what])
    assert plan.changes
    assert (plan.must_be_confirmed, plan.own_line) == (False, ())


def test_link_local_addresses_are_the_line_of_a_host_that_has_no_others(real_host: Field) -> None:
    """A guest's tap has one as well, which is nobody's way in."""
    real_host.guest("web", "web.0")
    assert real_host.plan(BASE).own_line == ()
    real_host.ip("addr flush dev eth0")
    real_host.ip("addr add fe80::10/64 dev eth0 nodad")
    plan = real_host.plan(ONE_NIC.replace(", address: from-uplink", ""))
    assert plan.must_be_confirmed
    assert plan.own_line == (
        "fe80::10/64 is removed from eth0", "eth0, which carries fe80::10/64: become a port of br0",
    )  # fmt: skip
    assert not [line for line in real_host.plan(BASE).own_line if "web.0" in line]


def connected(field: Field, where: Namespace, address: str) -> None:
    """Somebody elsewhere has a connection to the host, at one of its addresses."""
    with field.host.entered():
        server = socket.create_server(("", 0), family=socket.AF_INET6, dualstack_ipv6=True)
    with where.entered():
        far = socket.create_connection((address, server.getsockname()[1]), timeout=HUNG_S)
    near, _ = server.accept()
    for one in (near, far, server):
        field.lab.keep(one.close)


def test_an_address_to_which_somebody_is_connected_counts_whatever_it_is(real_host: Field) -> None:
    """Without SSH_CONNECTION nobody says that it is an administrator, over the link-local address beside others."""
    off = NIC % ", address: 192.168.1.10/24, gateway: 192.168.1.1, ipv6: off"
    assert real_host.plan(off).own_line == ()
    connected(real_host, real_host.pc, "fe80::ff:fe00:10%eth0")
    peer = "(fe80::ff:fe00:50 is connected to it)"
    assert real_host.plan(off).own_line == (f"fe80::ff:fe00:10/64 is removed from eth0 {peer}",)
    assert f"fe80::ff:fe00:10/64 moves from eth0 to br0 {peer}" in real_host.plan(ONE_NIC).own_line
    assert not [line for line in real_host.plan(ONE_NIC).mind if "IPv6 address" in line]
    assert real_host.plan(BASE).own_line == ()


def test_a_guest_that_is_connected_to_the_host_is_on_its_line(real_host: Field) -> None:
    """A bridge without a NIC leads to guests alone; one of them may be where the administrator sits."""
    text = NIC % "" + "    bridges: {vn: {uplink: none, mtu: 1400, address: 10.7.0.1/24}}\n"
    real_host.batch("link add vn type bridge\nlink set vn up\naddr add 10.7.0.1/24 dev vn\n")
    jump = real_host.guest("jump", "vnet5", "10.7.0.9/24", bridge="vn")
    assert real_host.plan(text).own_line == ()
    connected(real_host, jump, "10.7.0.1")
    assert [line.split(":")[0] for line in real_host.plan(text).own_line] == ["vn, which carries 10.7.0.1/24"]


BELOW: dict[str, Callable[[Field], None]] = {
    "a macvlan": lambda one: one.batch("link add up0 link eth1 type macvlan mode bridge\n"),
    "a VXLAN": lambda one: one.batch("link add up0 type vxlan id 7 dev eth1 remote 192.168.1.50 dstport 4789\n"),
    "a cable into a bridge": lambda one: one.batch(
        "link add br1 type bridge\nlink set br1 up\nlink set eth1 master br1\n"
        "link add up0 type veth peer name up1\nlink set up1 up master br1\n"
    ),
}


@pytest.mark.parametrize("what", BELOW)
def test_the_host_may_stand_on_a_nic_by_links_that_no_file_names(real_host: Field, what: str) -> None:
    BELOW[what](real_host)
    real_host.batch("link set up0 up\naddr add 10.3.0.4/24 dev up0\n")
    bridge = "    bridges: {br1: {uplink: eth1}}\n" if "bridge" in what else ""
    plan = real_host.plan(NIC % "}, eth1: {network: office, mtu: 1400" + bridge)
    assert "eth1, which carries 10.3.0.4/24: change MTU from 1500 to 1400 bytes" in plan.own_line


def test_a_port_that_goes_to_a_guest_is_told_where_the_host_serves_it(real_host: Field) -> None:
    text = NIC % "" + (
        "    virtual_networks: {lab: {mode: nat, subnet: 10.7.0.0/24, "
        "forwards: [{host: %d, to: web, service: tcp/22}]}}\n"
        "guests: {web: {host: kvm, nics: [{network: lab, address: 10.7.0.9/24}]}}\n"
    )
    real_host.listen(real_host.host, 22)
    assert real_host.plan(text % 2222).own_line == ()
    plan = real_host.plan(text % 22)
    assert plan.own_line == ("tcp/22 of this host, on which a program of its own listens, is forwarded to guest web",)
    assert any("or nobody reaches this host by SSH" in line for line in plan.mind)


def test_it_waits_for_it_without_any_ssh(shared_host: Field) -> None:
    path = shared_host.site(CASES["the MTU under it"][0])
    planned = shared_host.document("plan", path)
    assert planned["must_be_confirmed"]
    assert planned["own_line"]
    assert shared_host.document("apply", path, "--yes")["confirm_within_s"] == 60
    assert shared_host.document("status")["status"] == "applied"
    assert shared_host.bascule("undo").returncode == 0
    path = shared_host.site(BASE)
    assert shared_host.document("apply", path, "--yes")["confirm_within_s"] is None
    assert shared_host.bascule("undo").returncode == 0


def test_no_confirm_says_so_aloud(shared_host: Field) -> None:
    done = shared_host.bascule("apply", shared_host.site(ONE_NIC), "--yes", "--no-confirm")
    assert done.returncode == 0
    assert "this will NOT be taken back automatically: --no-confirm was given" in done.stderr
    assert "192.168.1.10/24 moves from eth0 to br0" in done.stderr
    assert "waits for 'bascule confirm'" not in done.stderr, "nothing waits"
    assert shared_host.bascule("undo").returncode == 0


def test_mind_says_that_the_only_address_goes(shared_host: Field) -> None:
    text = ONE_NIC.replace(", address: from-uplink", "")
    assert shared_host.document("plan", shared_host.site(text))["mind"] == [
        "eth0: with 192.168.1.10/24 this host loses its last IPv4 address: it can no longer be reached over IPv4",
        (
            "eth0: the only default route of IPv4 (via 192.168.1.1 dev eth0) is removed: "
            "the host then reaches its own subnets only"
        ),
    ]
    shared_host.ip("addr add 10.5.0.1/24 dev eth1")
    assert [line.split(" (")[0] for line in shared_host.plan(text).mind] == ["eth0: the only default route of IPv4"]
    shared_host.ip("addr flush dev eth1")


def test_a_bridge_of_others_keeps_the_address_and_loses_its_wire(real_host: Field) -> None:
    """The file takes the NIC of a bridge that it does not name, on which the host speaks."""
    real_host.batch("link add vmbr0 type bridge\nlink set eth0 master vmbr0\nlink set vmbr0 up\n"
                    "addr flush dev eth0\naddr add 192.168.1.10/24 dev vmbr0\n")  # fmt: skip
    text = ONE_NIC.replace(", address: from-uplink", "")
    (said,) = [one for one in real_host.plan(text).mind if one.startswith("vmbr0: ")]
    assert "it keeps 192.168.1.10/24, and loses eth0, over which that is reached" in said


def test_an_address_that_two_links_have_moves_from_one(real_host: Field) -> None:
    """Of a host that has one address of no subnet on each of its NICs, and of the link-local one of a VLAN's MAC."""
    real_host.batch("addr flush dev eth0 scope global\naddr add 203.0.113.9/32 dev eth0\n"
                    "addr add 203.0.113.9/32 dev eth1\n")  # fmt: skip
    said = real_host.plan(ONE_NIC).own_line
    assert [words for words in said if "203.0.113.9" in words] == [
        "203.0.113.9/32 moves from eth0 to br0",
        "eth0, which carries 203.0.113.9/32: become a port of br0",
    ]


def test_d02_a_line_by_a_policy_table_is_the_administrators_own(real_host: Field) -> None:
    """Where a rule for the source leads by a table of its own, table main knows no way to the peer."""
    real_host.batch(
        "route del default\nrule add from 192.168.1.10 lookup 100 pref 100\n"
        "route add default via 192.168.1.1 dev eth0 table 100\n"
    )
    line = "203.0.113.5 40000 192.168.1.10 22"
    mind = [one["text"] for one in real_host.document("plan", real_host.site(ONE_NIC), ssh=line)["notes"]]
    assert "your own connection (from 203.0.113.5 to 192.168.1.10) runs over it; your address stays, on br0" in mind


def test_d02_a_line_to_a_link_local_address_is_one_as_well(real_host: Field) -> None:
    text = ONE_NIC.partition("    bridges")[0].replace("network: office", "network: office, ipv6: off")
    site, line = real_host.site(text), "fe80::50%eth0 40000 fe80::ff:fe00:10%eth0 22"
    mind = [one["text"] for one in real_host.document("plan", site, ssh=line)["notes"]]
    assert any("fe80::ff:fe00:10 is removed with it" in one for one in mind), mind
    done = real_host.bascule("apply", site, "--yes", ssh=line)
    assert done.returncode == 0 and "within 60 s, or it is taken back" in done.stdout + done.stderr
    assert real_host.bascule("undo", "--yes").returncode == 0
