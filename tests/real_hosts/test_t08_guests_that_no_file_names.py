"""T8: taps and other ports that no file names are guests as well, to every sentence of a plan and to the change."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import pytest

from bascule import workflow
from bascule.apply.options import NO_DRIVER
from bascule.apply.prepare import PreparedPlan
from bascule.apply.transaction import ApplyOptions, apply
from bascule.cli.show.plan import headline, show_plan
from bascule.errors import BasculeError
from tests.apply.hosts import environment
from tests.lab import called, pings
from tests.real_hosts.field import BASE, Field

OTHER = """\
site: t
networks:
  office: {subnet: 192.168.1.0/24}
hosts:
  kvm:
    nics: {eth0: {network: office}, eth1: {network: office}}
    bridges: {%s: {uplink: eth1}}
"""
NONE = OTHER.replace("    bridges: {%s: {uplink: eth1}}\n", "")


@pytest.fixture
def dmz(real_host: Field) -> Field:
    """A bridge by somebody else, br-dmz, with the wire of eth1, a tap and a container's veth."""
    real_host.batch("link add br-dmz type bridge forward_delay 0\nlink set br-dmz up\nlink set eth1 up master br-dmz\n")
    real_host.lab.tap(real_host.host, "vnet7")
    real_host.ip("link set vnet7 up master br-dmz")
    real_host.guest("www", "www.0", "192.168.1.80/24", bridge="br-dmz")
    return real_host


@contextlib.contextmanager
def inside(there: Field) -> Iterator[None]:
    """Be the process that runs Bascule on the host."""
    with there.host.entered(), called("kvm"), environment(there.env()):
        yield


def test_a_nic_that_is_taken_for_another_bridge_takes_their_wire(dmz: Field) -> None:
    plan = dmz.plan(OTHER % "br9")
    assert headline("kvm", plan).endswith("risk: detaches ports; vnet7, www.0 lose their connection permanently")
    said = show_plan("kvm", plan, columns=100)
    assert "vnet7  permanent  eth1: become a port of br9 (from br-dmz)" in said
    assert plan.must_be_confirmed
    (change,) = (change for change in plan.changes if change.for_good)
    assert (change.subject, set(change.cuts)) == ("eth1", {"vnet7", "www.0"})
    assert pings(dmz.pc, "192.168.1.80")
    done = dmz.document("apply", dmz.site(OTHER % "br9"), "--yes")
    assert done["confirm_within_s"] == 60
    assert not pings(dmz.pc, "192.168.1.80", seconds=1)
    undone = dmz.document("undo")
    assert undone["ok"]
    assert pings(dmz.pc, "192.168.1.80")


def test_a_tunnel_that_is_left_is_no_wire_in_place_of_the_nic(dmz: Field) -> None:
    dmz.ip("link add vx9 type vxlan id 9 remote 192.0.2.9 dstport 4789")
    dmz.ip("link set vx9 up master br-dmz")
    plan = dmz.plan(OTHER % "br9")
    assert headline("kvm", plan).endswith("vnet7, www.0 lose their connection permanently")
    assert ("vx9", "port of br-dmz, not in the file: left alone") in [(n.subject, n.text) for n in plan.notes]


def test_what_costs_a_while_costs_it_to_them_too(dmz: Field) -> None:
    """Spanning tree on their bridge: they carry nothing for 30 s, named by the file or not."""
    plan = dmz.plan((OTHER % "br-dmz").replace("{uplink: eth1}", "{uplink: eth1, mtu: 1400}"))
    (mtu,) = (change for change in plan.changes if change.subject == "br-dmz" and change.about == "mtu")
    assert {"vnet7", "www.0"} <= {*mtu.guests}


def test_a_bridge_of_ours_that_carries_them_does_not_go(real_host: Field) -> None:
    path = real_host.site(OTHER % "br9")
    assert real_host.bascule("apply", path, "--yes", "--no-confirm").returncode == 0
    real_host.lab.tap(real_host.host, "vnet7")
    real_host.ip("link set vnet7 up master br9")
    real_host.site(NONE)
    for verb in (("plan",), ("apply", "--yes")):
        done = real_host.bascule(*verb, path)
        assert done.returncode == 1
        words = "error[PORT-LEFT]: vnet7 would be left without a bridge: br9 is removed, and no guest of the file has"
        assert f"{words} that tap" in " ".join(done.stderr.split())
    assert "master br9" in real_host.ip("link show vnet7")
    real_host.ip("link set vnet7 nomaster")
    assert real_host.bascule("apply", path, "--yes", "--no-confirm").returncode == 0


def test_a_port_is_put_where_the_file_says(real_host: Field) -> None:
    """Its bridge goes in the same change."""
    guest = "guests:\n  g: {host: kvm, nics: [{bridge: %s, tap: vnet7}]}\n"
    path = real_host.site((OTHER % "br9") + guest % "br9")
    real_host.lab.tap(real_host.host, "vnet7")
    assert real_host.bascule("apply", path, "--yes", "--no-confirm").returncode == 0
    real_host.site((OTHER % "br8") + guest % "br8")
    assert real_host.bascule("apply", path, "--yes", "--no-confirm").returncode == 0
    assert "master br8" in real_host.ip("link show vnet7")


def test_a_tap_that_appears_between_plan_and_apply(dmz: Field) -> None:
    """Who agreed to a plan that cuts two guests off is asked again when there are three."""
    path = dmz.site(OTHER % "br9")
    asked: list[str] = []

    def agree(fresh: PreparedPlan) -> bool:
        asked.append(headline("kvm", fresh.plan))
        return False

    with dmz.host.entered(), called("kvm"), environment(dmz.env()), workflow.ready(path, choice=NO_DRIVER) as ready:
        dmz.lab.tap(dmz.host, "vnet8")
        dmz.ip("link set vnet8 up master br-dmz")
        with pytest.raises(BasculeError, match="HOST-MOVED"):
            apply(ready.prepared, ApplyOptions(agree=agree))
    assert len(asked) == 1
    assert "vnet7, vnet8, www.0 lose their connection permanently" in asked[0]
    assert "master br-dmz" in dmz.ip("link show eth1")


def test_a_tap_that_appears_on_a_bridge_that_goes(real_host: Field) -> None:
    path = real_host.site(OTHER % "br9")
    assert real_host.bascule("apply", path, "--yes", "--no-confirm").returncode == 0
    real_host.site(NONE)
    with inside(real_host), workflow.ready(path, choice=NO_DRIVER) as ready:
        real_host.lab.tap(real_host.host, "vnet8")
        real_host.ip("link set vnet8 up master br9")
        with pytest.raises(BasculeError, match="vnet8 would be left without a bridge"):
            apply(ready.prepared, ApplyOptions())
    assert "master br9" in real_host.ip("link show vnet8")


def test_t08_undo_says_which_wire_a_guest_had(real_host: Field) -> None:
    """A guest that a change took from a network without an uplink to one with it, and that goes back."""
    lone = BASE.replace("      br0: {uplink: eth1}", "      br0: {uplink: eth1}\n      lone: {uplink: none}")
    assert lone != BASE
    path = real_host.site(lone.replace("nics: [{bridge: br0,", "nics: [{bridge: lone,"))
    assert real_host.bascule("apply", path, "--yes", "--no-confirm").returncode == 0
    real_host.guest("web", "web.0", "192.168.1.21/24", bridge="lone")
    assert real_host.bascule("apply", real_host.site(lone), "--yes", "--no-confirm").returncode == 0
    undone = real_host.bascule("undo", "--yes")
    assert undone.returncode == 0, undone.stderr
    said = " ".join(undone.stdout.split())
    assert "web.0 loses the wire: it moves from br0, which has eth1, to lone, which has none" in said


def test_t08_a_guest_whose_nics_change_places_loses_nothing_for_good(real_host: Field) -> None:
    nics = "nics: [{bridge: br0, address: 192.168.1.21/24}]"
    assert nics in BASE
    two = BASE.replace(nics, nics.replace("}]", "}, {bridge: lone}]"))
    two = two.replace("      br0: {uplink: eth1}", "      br0: {uplink: eth1}\n      lone: {uplink: none}")
    swapped = two.replace(nics[:-1], "nics: [{bridge: lone}").replace(
        "{bridge: lone}, {bridge: lone}]", "{bridge: lone}, {bridge: br0, address: 192.168.1.21/24}]"
    )
    assert real_host.bascule("apply", real_host.site(two), "--yes", "--no-confirm").returncode == 0
    for tap, bridge in (("web.0", "br0"), ("web.1", "lone")):
        real_host.guest(tap, tap, bridge=bridge, site=two)
    plan = real_host.plan(swapped)
    assert [change.action for change in plan.changes if change.about == "master"] == [
        "become a port of lone (from br0)",
        "become a port of br0 (from lone)",
    ]
    assert not [change for change in plan.changes if change.for_good]
    alone = real_host.plan(two.replace("bridge: br0, address", "bridge: lone, address"))
    assert [change.cuts for change in alone.changes if change.for_good] == [("web",)]


def test_a_container_of_the_file_is_no_wire_of_its_neighbours_and_undo_brings_the_wire_with_it(dmz: Field) -> None:
    site = OTHER % "br9" + "guests: {www: {host: kvm, nics: [{bridge: br9, tap: www.0, address: 192.168.1.80/24}]}}\n"
    plan = dmz.plan(site)
    assert {str(one.subject): one.guests for one in plan.changes if "vnet7" in one.guests} == {
        "eth1": ("www", "vnet7")
    }, "www.0 is a veth as the end of a cable is one"
    assert dmz.bascule("apply", dmz.site(site), "--yes", "--no-confirm").returncode == 0
    undone = dmz.bascule("undo", "--yes")
    assert "loses the wire" not in undone.stdout, "eth1 comes back to br-dmz as www.0 does"
    assert undone.returncode == 0


BETWEEN = """\
link add br-in type bridge
link add in0 type veth peer name out0
link set in0 up master br-in
link set out0 up master br-dmz
link set br-in up
"""


@pytest.mark.parametrize(("bridge", "lost"), [("br9", {"vnet7", "www.0", "ct0"}), ("br-in", set())])
def test_guests_behind_a_cable_between_two_bridges_have_the_wire_of_the_other_one(
    dmz: Field, bridge: str, lost: set[str]
) -> None:
    """The ends of the cable are no guests; and where the other bridge takes the NIC, nobody loses it."""
    dmz.batch(BETWEEN)
    dmz.guest("ct", "ct0", "192.168.1.81/24", bridge="br-in")
    plan = dmz.plan(OTHER % bridge)
    assert {name for change in plan.changes if change.for_good for name in change.cuts} == lost
    assert {name for one in plan.changes if one.subject == "eth1" for name in one.guests} == {"vnet7", "www.0", "ct0"}
    assert dmz.bascule("apply", dmz.site(OTHER % bridge), "--yes", "--no-confirm").returncode == 0
    assert not pings(dmz.pc, "192.168.1.81", seconds=1) if lost else pings(dmz.pc, "192.168.1.81")
