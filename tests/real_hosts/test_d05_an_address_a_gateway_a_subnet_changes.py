"""D5: what the plan takes away is no probe, what it brings is one; a host is renumbered over its own SSH line."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tests.apply.hosts import difference, raw, wait_for
from tests.patience import HUNG_S
from tests.real_hosts.field import ONE_NIC, Field
from tests.sshd import sshd

NIC = """\
site: one
networks:
  office: {subnet: [192.168.1.0/24, 'fd00::/64']}
hosts:
  kvm:
    nics: {eth0: {network: office, address: %s, gateway: %s}}
"""
OWN = "[192.168.1.10/24, 'fd00::10/64']"
BOTH = "[192.168.1.1, 'fd00::1']"
NEW = """\
site: one
networks:
  office: {subnet: 10.7.0.0/24, gateway: 10.7.0.1}
hosts:
  kvm:
    nics: {eth0: {network: office}}
    bridges: {br0: {uplink: eth0, address: 10.7.0.10/24, gateway: 10.7.0.1}}
"""


@pytest.fixture
def host(real_host: Field) -> Field:
    """The host with IPv6 as well: the router is fd00::1, the pc fd00::50."""
    real_host.ip("addr add fd00::1/64 dev eth0 nodad", real_host.router)
    real_host.ip("addr add fd00::50/64 dev eth0 nodad", real_host.pc)
    real_host.batch("addr add fd00::10/64 dev eth0 nodad\nroute add default via fd00::1 dev eth0\n")
    return real_host


def test_the_gateways_are_other_ones(host: Field) -> None:
    done = host.bascule("apply", host.site(NIC % (OWN, "[192.168.1.50, 'fd00::50']")), "--yes")
    assert done.returncode == 0, done.stderr
    (new,) = [line for line in done.stdout.splitlines() if line.startswith("new, and answering: ")]
    assert {"gateway 192.168.1.50", "gateway fd00::50"} == {*new.removeprefix("new, and answering: ").split(", ")}
    assert "still answering: gateway 192.168.1.50" not in done.stdout
    assert "default via 192.168.1.50" in host.ip("route")
    assert "default via fd00::50" in host.ip("-6 route")
    assert host.bascule("undo").returncode == 0
    assert "default via 192.168.1.1" in host.ip("route")


def test_gateways_that_are_not_there_take_the_change_back(host: Field) -> None:
    done = host.bascule("apply", host.site(NIC % (OWN, "[192.168.1.9, 'fd00::9']")), "--yes")
    assert done.returncode == 75, done.stderr
    for gateway in ("192.168.1.9", "fd00::9"):
        words = "is new with the change, in place of a gateway that answered, and does not answer: no answer within"
        assert f"gateway {gateway} {words}" in done.stderr
    assert "default via 192.168.1.1" in host.ip("route")
    assert "default via fd00::1" in host.ip("-6 route")


def test_a_gateway_that_another_table_keeps_is_replaced_all_the_same(host: Field) -> None:
    """Source routing is as usual on real hosts: the old gateway stays in a table of its own."""
    host.batch("rule add from 192.168.1.10 lookup 77 priority 500\nroute add default via 192.168.1.1 table 77\n")
    path = host.site(NIC % (OWN, "[192.168.1.9, 'fd00::1']"))
    done = host.bascule("apply", path, "--yes")
    assert done.returncode == 75, done.stderr
    assert "gateway 192.168.1.9 is new with the change, in place of a gateway that answered" in done.stderr
    host.ip("addr add 192.168.1.9/24 dev eth0", host.pc)
    done = host.bascule("apply", path, "--yes")
    assert "new, and answering: gateway 192.168.1.9" in done.stdout, done.stderr


def test_one_gateway_takes_the_place_of_two(host: Field) -> None:
    """A default route by several ways has several gateways that answered."""
    hops = "nexthop via 192.168.1.1 dev eth0 nexthop via 192.168.1.50 dev eth0"
    host.ip(f"route replace default {hops}")
    before = raw(host.host)
    refused = host.bascule("apply", host.site(NIC % (OWN, "[192.168.1.9, 'fd00::1']")), "--yes")
    assert "gateway 192.168.1.9 is new with the change, in place of a gateway that answered" in refused.stderr
    assert difference(before, raw(host.host)) == []
    done = host.bascule("apply", host.site(NIC % (OWN, "[192.168.1.50, 'fd00::1']")), "--yes")
    assert "still answering: gateway 192.168.1.50" in done.stdout, done.stderr
    assert host.bascule("undo").returncode == 0
    assert difference(before, raw(host.host)) == []


def test_routes_of_others_give_their_place(host: Field) -> None:
    """The kernel has one route to a destination in a table and of a metric: the old one is not said to stay."""
    host.batch("route add default via 192.168.1.1 dev eth0 table 52\nroute add fd07::/64 via fd00::1 dev eth0\n"
               "route add 10.6.0.0/16 via 192.168.1.1 dev eth0 src 192.168.1.10\n"
               "route add 10.8.0.0/16 via 192.168.1.1 dev eth0 metric 7\n")  # fmt: skip
    before = raw(host.host)
    routes = ("{to: 0.0.0.0/0, via: 192.168.1.50, table: 52}, {to: 10.6.0.0/16, via: 192.168.1.50}, "
              "{to: 'fd07::/64', via: 'fd00::50'}, {to: 10.8.0.0/16, via: 192.168.1.50}")  # fmt: skip
    path = host.site((NIC % (OWN, BOTH)).replace("gateway: [", f"routes: [{routes}], gateway: ["))
    planned = host.document("plan", path)
    stays = [words for words in planned["mind"] if "stays as it is" in words]
    assert stays == ["eth0: the route 10.8.0.0/16 via 192.168.1.1 is not in the file: it stays as it is"]
    assert "route default via 192.168.1.50 dev eth0 in table 52 (instead of via 192.168.1.1 dev eth0)" in {
        one["action"] for one in planned["changes"]
    }
    assert host.document("apply", path, "--yes")["ok"]
    assert host.document("plan", path)["changes"] == []
    assert host.bascule("undo").returncode == 0
    assert difference(before, raw(host.host)) == []


def test_a_gateway_where_none_answered_before_is_only_told_of(host: Field) -> None:
    """Somebody sets a host up before its router is there."""
    host.ip("link set eth0 down", host.router)
    done = host.bascule("apply", host.site(NIC % (OWN, "192.168.1.9")), "--yes")
    assert done.returncode == 0, done.stderr
    assert (
        "warning: gateway 192.168.1.9 is new with the change, and does not answer (no answer within 1 s)" in done.stderr
    )


def test_only_the_prefix_lengths_change(host: Field) -> None:
    """The same address with another length stands in its place: the kernel would keep two of IPv4, and one of IPv6."""
    text = (NIC % ("[192.168.1.10/16, 'fd00::10/48']", BOTH)).replace("192.168.1.0/24", "192.168.0.0/16")
    path = host.site(text.replace("'fd00::/64'", "'fd00::/48'"))
    before = raw(host.host)
    done = host.document("apply", path, "--yes")
    assert done["ok"], done
    assert {"gateway 192.168.1.1", "gateway fd00::1"} <= {*done["checked"]}
    shown = host.ip("-br addr show eth0 scope global")
    assert "192.168.1.10/16" in shown and "fd00::10/48" in shown
    assert "192.168.1.10/24" not in shown and "fd00::10/64" not in shown
    assert host.document("plan", path)["changes"] == []
    assert host.bascule("undo").returncode == 0
    assert difference(before, raw(host.host)) == []


def test_an_address_that_is_not_to_be_used_any_more_stays_so(host: Field) -> None:
    """A deprecated address that lasts and a link-local one that somebody set move to the bridge and back.

    A token of which no address was made yet stays behind, which is said.
    """
    host.batch("addr add fd00::66/64 dev eth0 nodad preferred_lft 0\naddr add fe80::10/64 dev eth0 nodad\n"
               "token set ::77 dev eth0\n")  # fmt: skip
    before = raw(host.host)
    path = host.site(ONE_NIC.replace("subnet: 192.168.1.0/24", "subnet: [192.168.1.0/24, 'fd00::/64']"))
    applied = host.bascule("apply", path, "--yes", "--confirm-within", "600s")
    assert applied.returncode == 0, applied.stderr
    assert "has the IPv6 token ::77, which is not moved: br0" in " ".join(applied.stdout.split())
    shown = " ".join(host.ip("addr show br0").split())
    assert "fd00::66/64 scope global nodad deprecated" in shown and "fe80::10/64" in shown
    assert host.bascule("undo").returncode == 0
    assert difference(before, raw(host.host)) == []


def test_where_to_reconnect_is_no_link_local_address(host: Field) -> None:
    """eth1 has one of the kernel's making, on another cable."""
    host.ip("addr add 10.7.0.1/24 dev eth0", host.router)
    done = host.bascule("apply", host.site(NEW), "--yes", ssh="192.168.1.50 40000 192.168.1.10 22")
    assert "192.168.1.10 is gone; the host now has 10.7.0.10/24\n" in done.stdout, done.stderr


def test_the_host_is_renumbered_over_its_own_ssh_line(host: Field, tmp_path: Path) -> None:
    """From 192.168.1.0/24 to 10.7.0.0/24 in one apply: the line is cut, and whoever comes back there confirms."""
    for where, address in ((host.router, "10.7.0.1/24"), (host.pc, "10.7.0.50/24")):
        host.ip(f"addr add {address} dev eth0", where)
    path = host.site(NEW)
    run = f"{sys.executable} -m bascule"
    environment = {"BASCULE_STATE_DIR": host.env()["BASCULE_STATE_DIR"]}
    with sshd(host.host, host.pc, "192.168.1.10", tmp_path, environment, hostname="kvm") as ssh:
        session = ssh(f"{run} apply {path} --yes --confirm-within 600s")
        found = wait_for(lambda: host.document("status"), lambda seen: seen["status"] == "applied")
        assert found["status"] == "applied", session.communicate(timeout=HUNG_S)[0]
        kept = ssh(f"{run} confirm", "10.7.0.10")
        assert "is confirmed" in kept.communicate(timeout=HUNG_S)[0]
        told = " ".join(session.communicate(timeout=HUNG_S)[0].split())
    assert "192.168.1.10 is removed with it" in told
    assert "192.168.1.10" not in host.ip("addr")
    assert host.ip("route show default").strip() == "default via 10.7.0.1 dev br0 proto 66"
    assert host.document("plan", path)["changes"] == []


def test_from_a_written_address_to_a_lease_over_the_own_line(host: Field) -> None:
    """The client of the bridge is told of it when the change is confirmed, which nobody could do without an address."""
    asks = ONE_NIC.replace("from-uplink", "dhcp")
    said = [note.text for note in host.plan(asks).notes if note.subject == "br0"]
    (hint,) = (text for text in said if "only after 'bascule confirm'" in text)
    assert hint.endswith("'address: [192.168.1.10/24, dhcp]' keeps 192.168.1.10/24 beside the lease")
    both = asks.replace("address: dhcp", "address: [192.168.1.10/24, dhcp], gateway: 192.168.1.1")
    assert not [note for note in host.plan(both).notes if "only after" in note.text]
    done = host.bascule("apply", host.site(both), "--yes", ssh="192.168.1.50 40000 192.168.1.10 22")
    assert "your address stays 192.168.1.10, on br0" in done.stdout, done.stderr
