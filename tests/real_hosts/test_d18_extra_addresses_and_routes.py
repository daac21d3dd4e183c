"""D18: an address or a route of a named link that the file does not know is said in plan, and is drift in verify."""

from __future__ import annotations

import pytest

from bascule import workflow
from bascule.system.run import run
from tests.apply.hosts import environment
from tests.lab import called
from tests.real_hosts.field import BASE, ONE_NIC, Field

EXTRA = """\
addr add 192.168.1.99/24 dev eth0
addr add fd00::99/64 dev eth0 nodad
route add 10.8.0.0/16 via 192.168.1.50 dev eth0
route add 10.9.0.0/16 via 192.168.1.50 dev eth0 table 77
route add 10.7.0.0/16 nexthop via 192.168.1.50 dev eth0 weight 2 nexthop via 192.168.1.1 dev eth0
"""
SAID = {"192.168.1.99/24", "fd00::99/64", "the route 10.8.0.0/16 via 192.168.1.50",
        "the route 10.9.0.0/16 via 192.168.1.50 in table 77",
        "the route 10.7.0.0/16 nexthop via 192.168.1.50 dev eth0 weight 2 nexthop via 192.168.1.1 dev eth0",
        }  # fmt: skip


@pytest.fixture
def field(real_host: Field) -> Field:
    real_host.batch(EXTRA)
    return real_host


def test_they_are_said_stay_and_are_drift(field: Field) -> None:
    path = field.site(BASE)
    planned = field.document("plan", path)
    fixes = {"192.168.1.99/24": " (ip address del 192.168.1.99/24 dev eth0)"}  # the file has another one there
    assert {line for line in planned["mind"] if line.startswith("eth0: ")} == {
        f"eth0: {what} is not in the file: it stays as it is{fixes.get(what, '')}" for what in SAID
    }
    assert field.bascule("apply", path, "--yes", "--no-confirm").returncode == 0
    assert "192.168.1.99/24" in field.ip("addr show eth0")
    assert "10.8.0.0/16" in field.ip("route")
    seen = field.document("verify", path)
    failed = {check["detail"] for check in seen["checks"] if check["ok"] is False and check["subject"] == "eth0"}
    assert failed == {f"{what} is not in the file" for what in SAID}
    assert not seen["ok"]


def test_what_the_plan_says_takes_away_an_address_that_another_one_replaces(field: Field) -> None:
    """The first of the subnet, with which the kernel deletes the others: no confirmed change has named it."""
    path = field.site(BASE.replace("192.168.1.10/24", "192.168.1.99/24"))
    said = next(line for line in field.document("plan", path)["mind"] if line.startswith("eth0: 192.168.1.10/24 "))
    for command in said.partition("(")[2].rstrip(")").split("; "):
        with field.host.entered():
            run(command.split())
    there = field.ip("addr show eth0")
    assert "192.168.1.99/24" in there
    assert "192.168.1.10/24" not in there


def test_an_address_that_a_confirmed_change_has_named_goes_when_another_one_replaces_it(field: Field) -> None:
    """In two steps, so that the host answers at both between them."""
    both = BASE.replace("address: 192.168.1.10/24", "address: [192.168.1.10/24, 192.168.1.20/24]")
    only = BASE.replace("address: 192.168.1.10/24", "address: 192.168.1.20/24")
    for text in (both, only):
        assert field.bascule("apply", field.site(text), "--yes", "--no-confirm").returncode == 0
    there = field.ip("addr show eth0")
    assert "192.168.1.20/24" in there
    assert "192.168.1.99/24" in there, "nobody has named it"
    assert "192.168.1.10/24" not in there
    assert field.bascule("undo", "--yes").returncode == 0
    assert "192.168.1.10/24" in field.ip("addr show eth0")


def test_what_comes_by_itself_is_not_extra_nor_is_anything_as_found(field: Field) -> None:
    as_found = BASE.replace("  kvm:\n", "  kvm:\n    as_found: true\n", 1)
    assert not [note for note in field.plan(as_found).notes if note.kind == "extra"]
    named = BASE.replace("address: 192.168.1.10/24", "address: [192.168.1.10/24, 192.168.1.99/24, 'fd00::99/64']")
    named = named.replace("subnet: 192.168.1.0/24", "subnet: [192.168.1.0/24, 'fd00::/64']")
    named = named.replace("gateway: 192.168.1.1}\n      eth1", "gateway: 192.168.1.1, "
                          "routes: [{to: 10.8.0.0/16, via: 192.168.1.50}]}\n      eth1")  # fmt: skip
    field.batch("addr add fd00::77/64 dev eth0 nodad valid_lft 900 preferred_lft 900\nroute flush table 77\n"
                "route del 10.7.0.0/16\n")  # fmt: skip
    plan = field.plan(named)
    assert not [note for note in plan.notes if note.kind == "extra"], plan.notes


def test_an_import_of_it_has_no_extras(field: Field) -> None:
    """What it can write it writes, routes by several ways as well; those in other tables it may leave to a note."""
    with field.host.entered(), called("kvm"), environment(field.env()):
        text = workflow.import_host().text
    assert "10.7.0.0/16" in text
    extra = {note.text for note in field.plan(text).notes if note.kind == "extra"}
    assert not [words for words in extra if "table 77" not in words]


def test_a_route_by_several_ways_moves_with_the_address(field: Field) -> None:
    plan = field.plan(ONE_NIC)
    (moved,) = (change for change in plan.changes if "route 10.7.0.0/16" in change.action)
    assert (moved.subject, moved.reason.partition(" (")[0]) == ("br0", "br0 is declared with uplink eth0")
    assert "nexthop via 192.168.1.50 dev br0 weight 2" in moved.action


def test_neighbours_that_go_along_with_the_address_are_no_extras(real_host: Field) -> None:
    """Somebody fixed them on the NIC; the bridge takes what that had, and they are said to move."""
    real_host.batch("neigh add 192.168.1.200 lladdr 02:00:00:00:02:00 dev eth0 nud permanent\n"
                    "neigh add proxy 192.168.1.222 dev eth0\n")  # fmt: skip
    path = real_host.site(ONE_NIC)
    along = [note for note in real_host.plan(ONE_NIC).notes if "192.168.1.200" in note.text]
    assert [note.kind for note in along] == ["along"]
    assert real_host.bascule("apply", path, "--yes", "--no-confirm").returncode == 0
    assert "192.168.1.200 lladdr 02:00:00:00:02:00 PERMANENT" in real_host.ip("neigh show dev br0")
    assert real_host.document("verify", path)["ok"]
    written = ONE_NIC.replace("from-uplink", "192.168.1.10/24")
    assert "the MAC 02:00:00:00:02:00" in " ".join(note.text for note in real_host.plan(written).notes)


def test_a_lease_on_a_nic_that_asks_for_none_is_said(real_host: Field) -> None:
    """A DHCP client that nobody switched off runs beside the written address; where the file says dhcp it may."""
    real_host.batch("addr add 192.168.1.77/24 dev eth0 valid_lft 400 preferred_lft 300\n"
                    "route add 10.4.0.0/16 via 192.168.1.50 dev eth0 proto dhcp\n")  # fmt: skip
    extra = {f"{note.subject}: {note.text}" for note in real_host.plan(BASE).notes if note.kind == "extra"}
    stays = "is not in the file: it stays as it is"
    assert extra == {f"eth0: 192.168.1.77/24 (a lease) {stays}",
                     f"eth0: the route 10.4.0.0/16 via 192.168.1.50 {stays}"}  # fmt: skip
    asks = BASE.replace("address: 192.168.1.10/24", "address: [192.168.1.10/24, dhcp]")
    assert not [note for note in real_host.plan(asks).notes if note.kind == "extra"]


ROUTES = """\
    routes:
      - {to: 10.0.0.0/8, type: blackhole}
      - {to: "fd00:f::/48", type: prohibit}
      - {to: 0.0.0.0/0, type: throw, table: 77}
      - {to: 10.7.0.0/16, via: [{router: 192.168.1.50, link: eth0, weight: 2}, {router: 192.168.1.1, link: eth0}]}
    bridges:
"""


def test_routes_on_no_single_link_are_made_looked_after_imported_and_taken_back(field: Field) -> None:
    """One of them stands there already, made by somebody else: it stays as it is."""
    before = (field.ip("route show table all"), field.ip("-6 route"))
    path = field.site(BASE.replace("    bridges:\n", ROUTES, 1))
    commands = field.document("plan", path)["commands"]
    assert len([one for one in commands if " route " in one]) == 3 and not any("10.7.0.0" in one for one in commands)
    assert field.bascule("apply", path, "--yes", "--no-confirm").returncode == 0
    assert "blackhole 10.0.0.0/8" in field.ip("route")
    assert "throw default" in field.ip("route show table 77")
    assert "prohibit fd00:f::/48" in field.ip("-6 route")
    assert field.document("plan", path)["changes"] == []
    text = field.bascule("import", "--host", "kvm").stdout
    for line in ROUTES.splitlines()[1:4]:
        assert line.replace('"', "") in text
    field.batch("route del blackhole 10.0.0.0/8\n")
    assert "blackhole" in field.bascule("status").stdout
    assert field.bascule("undo", "--yes").returncode == 0
    assert (field.ip("route show table all"), field.ip("-6 route")) == before


@pytest.mark.parametrize("protocol", ["bird", "zebra", "ospf", "babel"])
def test_d18_a_route_of_a_routing_daemon_is_no_drift(real_host: Field, protocol: str) -> None:
    """It comes and goes as the daemon's neighbours say, and an import leaves it out: no file could name it."""
    real_host.ip(f"route add 10.8.0.0/16 via 192.168.1.50 dev eth0 proto {protocol}")
    path = real_host.site(BASE)
    assert not [line for line in real_host.document("plan", path)["mind"] if "10.8.0.0" in line]
    assert real_host.bascule("apply", path, "--yes", "--no-confirm").returncode == 0
    assert not [one for one in real_host.document("verify", path)["checks"] if "10.8.0.0" in str(one["detail"])]
    assert "10.8.0.0/16" in real_host.ip("route")
    imported = real_host.bascule("import").stdout
    assert f"1 route of protocol {protocol}" in imported
