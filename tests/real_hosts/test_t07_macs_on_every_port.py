"""T7, further kinds: one MAC twice within the bridge, of the host itself, of machines that answer to nothing but ND."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from bascule.site import parse
from bascule.system.net.netns import Namespace
from tests.lab import open_lab
from tests.real_hosts.field import BASE, MACS, Field, furnished
from tests.real_hosts.firewalls import feed

pytestmark = pytest.mark.kernel

SITE = (
    BASE.replace("subnet: 192.168.1.0/24", "subnet: [192.168.1.0/24, 'fd00:9::/64']")
    .replace("address: 192.168.1.21/24", "address: [192.168.1.21/24, 'fd00:9::21/64']")
    .replace(
        "machines:",
        "  db: {host: kvm, nics: [{bridge: br0, address: 192.168.1.22/24}]}\n"
        "  pair: {host: kvm, nics: [{bridge: br0, address: 192.168.1.23/24}, {bridge: br0}]}\nmachines:",
    )
)
GUESTS = parse(SITE.encode(), "site.yaml").guests
WEB, DB = GUESTS["web"].nics[0].mac, GUESTS["db"].nics[0].mac
BY_ND_ALONE = """\
table inet x {
chain i {
type filter hook input priority 0; policy drop;
icmpv6 type { nd-neighbor-solicit, nd-neighbor-advert } accept
}
}
"""


@pytest.fixture(scope="module")
def applied(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Field]:
    with open_lab() as lab:
        field = furnished(lab, tmp_path_factory.mktemp("macs"))
        field.listen(field.guest("web", "web.0", "192.168.1.21/24", "fd00:9::21/64", site=SITE), 80)
        field.guest("db", "db.0", "192.168.1.22/24", site=SITE)
        field.guest("pair", "pair.0", "192.168.1.23/24", site=SITE)
        field.guest("second", "pair.1", site=SITE)
        done = field.bascule("apply", field.site(SITE), "--yes", "--no-confirm")
        assert done.returncode == 0, done.stderr
        yield field


def said(field: Field) -> dict[str, tuple[bool | None, str]]:
    """What is said of MACs on the wire, by subject."""
    checks: list[dict[str, Any]] = field.document("verify", field.site(SITE))["checks"]
    return {one["subject"]: (one["ok"], one["detail"]) for one in checks if one["id"] == "foreign-mac"}


def call_itself(field: Field, guest: str, mac: str) -> None:
    field.batch(f"link set eth0 down\nlink set eth0 address {mac}\nlink set eth0 up\n", field.guests[guest])


def test_t07_nothing_is_said_of_ports_where_nothing_is_wrong(applied: Field) -> None:
    assert {name: ok for name, (ok, _) in said(applied).items()} == {"eth1": True}


@pytest.mark.parametrize(("mac", "whose"), [(WEB, "web"), (MACS["eth1"], "br0")])
def test_t07_a_guest_has_the_mac_of_another_one_or_of_the_bridge(applied: Field, mac: str, whose: str) -> None:
    call_itself(applied, "db", mac)
    try:
        ok, words = said(applied)[whose]
    finally:
        call_itself(applied, "db", DB)
    assert ok is False
    assert f"with its own MAC {mac} came in by db.0" in words
    assert "what is behind that port of br0 has the same MAC" in words


def test_t07_a_guest_that_bundles_its_nics_has_one_mac_twice(applied: Field) -> None:
    own = GUESTS["pair"].nics[0].mac
    call_itself(applied, "second", own)
    applied.batch("addr add 192.168.1.23/24 dev eth0\n", applied.guests["second"])
    try:
        assert "pair" not in said(applied)
    finally:
        applied.batch("addr del 192.168.1.23/24 dev eth0\n", applied.guests["second"])


@pytest.mark.parametrize("on", ["br0", "eth0"])
def test_t07_a_macvlan_of_the_host_has_a_guests_mac(applied: Field, on: str) -> None:
    applied.batch(f"link add mv0 link {on} address {WEB} type macvlan mode bridge\n")
    try:
        ok, words = said(applied)["web"]
    finally:
        applied.batch("link del mv0\n")
    assert (ok, words) == (False, f"the host's own link mv0 has its MAC {WEB}")


@pytest.fixture
def twin(applied: Field) -> Iterator[Namespace]:
    """A machine on the switch that answers to nothing but neighbour discovery and ARP."""
    where = applied.lab.namespace("twin")
    with where.entered():
        Path("/proc/sys/net/ipv6/conf/default/accept_dad").write_text("0")
    feed(where, BY_ND_ALONE)
    applied.cable(where, "eth0", applied.switch, "ptwin", mac=WEB)
    applied.batch("link set ptwin up master sw\n", applied.switch)
    yield where
    applied.batch("link del ptwin\n", applied.switch)


@pytest.mark.parametrize("address", ["fd00:9::21", "fe80::5054:ff:fee0:7478"])
def test_t07_a_copy_with_ipv6_alone_behind_a_firewall(applied: Field, twin: Namespace, address: str) -> None:
    assert WEB == "52:54:00:e0:74:78"
    applied.batch(f"link set eth0 addrgenmode none up\naddr add {address}/64 dev eth0\n", twin)
    ok, words = said(applied)["web"]
    assert ok is False
    assert "came in by eth1 with its own MAC" in words
    assert f"a packet from {address} to " in words


def test_t07_another_machine_has_the_mac_of_a_nic_of_the_host(applied: Field, twin: Namespace) -> None:
    applied.batch(f"link set eth0 address {MACS['eth0']}\nlink set eth0 up\n", twin)
    feed(twin, "flush ruleset")
    ok, words = said(applied)["eth0"]
    assert ok is False
    assert f"came in by eth0 with its own MAC {MACS['eth0']}" in words


def test_t07_a_silent_copy_of_the_host_without_ipv6(applied: Field, twin: Namespace) -> None:
    with twin.entered():
        Path("/proc/sys/net/ipv6/conf/eth0/disable_ipv6").write_text("1")
    applied.batch(f"link set eth0 address {MACS['eth0']}\naddr add 192.168.1.10/24 dev eth0\nlink set eth0 up\n", twin)
    feed(twin, "flush ruleset")
    ok, words = said(applied)["eth0"]
    assert ok is False
    assert f"own MAC {MACS['eth0']} (ARP of 192.168.1.10)" in words


def test_t07_a_wire_that_gives_everything_back_tells_nothing(applied: Field) -> None:
    port = "p" + MACS["eth1"].replace(":", "")
    applied.run("bridge", "link", "set", "dev", port, "hairpin", "on", where=applied.switch)
    try:
        ok, words = said(applied)["eth1"]
    finally:
        applied.run("bridge", "link", "set", "dev", port, "hairpin", "off", where=applied.switch)
    assert ok is None
    assert words.startswith("what is sent by eth1 comes in by it again: a loop")
