"""T10: a network's gateway that no machine of the file is: nobody knows what it lets through, so the answer is open."""

from __future__ import annotations

from typing import Any

import pytest

from tests.lab import pings
from tests.real_hosts.field import Field

pytestmark = pytest.mark.kernel

SITE = """\
site: r
networks:
  office: {subnet: [192.168.1.0/24, 'fd01::/64'], gateway: [192.168.1.254, 'fd01::fe']}
  dmz: {subnet: [10.5.0.0/24, 'fd05::/64'], gateway: [10.5.0.254, 'fd05::fe']}
  lone: {subnet: 10.6.0.0/24, gateway: 10.6.0.254}
hosts:
  kvm:
    nics: {eth0: {network: office, address: 192.168.1.10/24}, eth1: {network: dmz}}
    bridges: {br0: {uplink: eth0, address: from-uplink}, br1: {uplink: eth1}, br2: {uplink: none}}
guests:
  web: {host: kvm, nics: [{bridge: br0, address: [192.168.1.21/24, 'fd01::21/64']}]}
  db: {host: kvm, nics: [{bridge: br1, address: [10.5.0.21/24, 'fd05::21/64']}]}
  cut: {host: kvm, nics: [{bridge: br2, address: 10.6.0.21/24}]}
machines:
  pc: {nics: [{network: office, address: 192.168.1.50/24}]}
  far: {nics: [{network: dmz, address: 10.5.0.50/24}]}
"""
FEET = (
    "{network: office, address: [192.168.1.254/24, 'fd01::fe/64']}, "
    "{network: dmz, address: [10.5.0.254/24, 'fd05::fe/64']}"
)
ROUTER = f"  fw: {{nics: [{FEET}]%s}}\n"
OPEN = "the file has no machine with the gateway 192.168.1.254: what it does, beyond eth0, is not known"


@pytest.fixture
def made(real_host: Field) -> Field:
    real_host.guest("web", "web.0", site=SITE)
    real_host.guest("db", "db.0", site=SITE)
    real_host.guest("cut", "cut.0", site=SITE)
    done = real_host.bascule("apply", real_host.site(SITE), "--yes", "--no-confirm")
    assert done.returncode == 0, done.stderr
    return real_host


def why(field: Field, site: str, *words: str) -> dict[str, Any]:
    return field.document("why", *words, "--site", field.site(site, "asked.yaml"))


def reach(field: Field, site: str) -> dict[tuple[str, str], str]:
    found = field.document("reach", field.site(site, "asked.yaml"))["pairs"]
    return {(one["from"], one["to"]): one["result"] for one in found if one["service"] == "icmp"}


def test_t10_what_goes_by_a_router_that_nobody_has_declared_is_unknown(made: Field) -> None:
    found = reach(made, SITE)
    for pair in (("web", "db"), ("db", "web"), ("web", "far"), ("pc", "db"), ("far", "web"), ("db", "kvm")):
        assert found[pair] == "unknown", pair
    for pair in (("web", "pc"), ("pc", "web"), ("kvm", "web"), ("far", "db")):
        assert found[pair] == "yes", pair
    said = why(made, SITE, "web", "db")
    assert said["result"] == "unknown"
    assert OPEN in str(said["walks"])
    assert "came in by" not in str(said["walks"]), "the answer is that of db, not of web"
    assert found["cut", "web"] == "no", "its bridge has no wire: nobody can stand there"
    forwards, silent = SITE + ROUTER % ", forwards: all", SITE + ROUTER % ", forwards: none"
    assert why(made, forwards, "web", "db")["result"] == "yes"
    assert why(made, silent, "web", "db")["result"] == "no"
    made.ip("link set eth0 down")
    assert why(made, SITE, "web", "db")["result"] == "no", "no wire leads to any gateway"


ONE = """\
site: r
networks: {office: {subnet: 192.168.1.0/24, gateway: 192.168.1.1}}
hosts:
  kvm: {nics: {eth0: {network: office}}, bridges: {br0: {uplink: eth0, address: from-uplink}}}
guests:
  web: {host: kvm, nics: [{bridge: br0, address: 192.168.1.21/24}]}
"""


def test_t10_the_hosts_gateway_itself_is_found_as_any_neighbour_is(real_host: Field) -> None:
    """It was taken for the router before the internet, of which nobody knows what it lets through."""
    field, router = real_host, "192.168.1.1"
    field.guest("web", "web.0", site=ONE)
    assert field.bascule("apply", field.site(ONE), "--yes", "--no-confirm").returncode == 0
    for text in (ONE, ONE.replace(", gateway: 192.168.1.1", "")):
        for source in ("kvm", "web"):
            assert why(field, text, source, router)["result"] == "yes"
        assert why(field, text, "kvm", "10.1.1.1")["result"] == "unknown", "behind it nobody knows"
    assert pings(field.host, router), "and its MAC is known behind a port of the bridge"
    assert field.document("why", "host", router)["result"] == "yes", "without a file"
    field.run("nft", "add table inet mine")
    field.run("nft", "add chain inet mine in { type filter hook input priority 0 ; }")
    field.run("nft", "add rule inet mine in ip saddr 192.168.1.1 drop")
    assert why(field, ONE, "kvm", router)["result"] == "no"
    assert why(field, ONE, "web", router)["result"] == "yes"
