"""A guest whose network has no machine in the file is asked from that network's wire all the same."""

from __future__ import annotations

from pathlib import Path

import pytest

from bascule import workflow
from bascule.model.links import Physical
from bascule.model.state import Address, HostState, Link, Route
from bascule.model.values import IfName
from bascule.twin.neighbours import with_neighbours

pytestmark = pytest.mark.kernel

ALONE = """
site: alone
networks:
  office: {subnet: 10.1.0.0/24, gateway: 10.1.0.254}
  lonely: {subnet: [10.2.0.0/24, "fd00:2::/64"]}
hosts:
  h:
    nics: {eth0: {network: office}, eth1: {network: lonely}}
    bridges:
      br0: {uplink: eth0, address: 10.1.0.253/24}
      br1: {uplink: eth1}
guests:
  web: {host: h, nics: [{bridge: br0, address: 10.1.0.20/24}]}
  db: {host: h, serves: [tcp/5432], nics: [{bridge: br1, address: [10.2.0.20/24, "fd00:2::20/64"]}]}
"""
FIREWALL = """
machines:
  fw:
    nics: [{network: office, address: 10.1.0.254/24}]
    forwards: []
expect:
  - {from: web, to: db, service: tcp/5432, verdict: no-reach}
"""


def added(path: Path, text: str, *observed: HostState) -> dict[str, list[str]]:
    path.write_text(text)
    site = workflow.load(path)
    machines = with_neighbours(site, observed).machines
    return {
        name: [str(address) for nic in one.nics for address in nic.addresses]
        for name, one in machines.items()
        if name not in site.machines
    }


def test_a_neighbour_takes_an_address_that_nobody_has(tmp_path: Path) -> None:
    ours = Link(name=IfName("eth0"), options=Physical(), addresses=(Address(ip="10.1.0.252/24"),))
    there = HostState(links={ours.name: ours}, routes=(Route(dst="0.0.0.0/0", gateway="10.1.0.251", dev="eth0"),))
    assert added(tmp_path / "site.yaml", ALONE, there) == {
        "neighbour-on-office": ["10.1.0.250/24"],  # behind the gateway, the host, and what was found on the host
        "neighbour-on-lonely": ["10.2.0.254/24", "fd00:2::ffff:ffff:ffff:fffe/64"],
    }


def test_where_a_machine_stands_or_no_address_is_left_nobody_is_added(tmp_path: Path) -> None:
    assert list(added(tmp_path / "site.yaml", ALONE + FIREWALL)) == ["neighbour-on-lonely"]
    full = ALONE.replace("10.2.0.0/24", "10.2.0.20/31").replace("10.2.0.20/24", "10.2.0.20/31")
    full = full.replace(', "fd00:2::/64"', "").replace(', "fd00:2::20/64"', "")
    assert list(added(tmp_path / "site.yaml", full)) == ["neighbour-on-office"]


def test_a_guest_that_stands_alone_is_proven_from_its_wire(tmp_path: Path) -> None:
    path = tmp_path / "site.yaml"
    path.write_text(ALONE + FIREWALL)
    done = workflow.rehearse(path)
    proofs = {check.id: check for check in done.checks if check.subject == "db"}
    for criterion in ("in-broadcast-domain", "like-any-nic", "unrestricted-within"):
        assert proofs[criterion].ok
        assert "neighbour-on-lonely" in proofs[criterion].detail
    (outcome,) = done.outcomes
    assert (outcome.observed, outcome.ok) == ("no-reach", True)
    assert "neighbour-on-lonely reaches 10.2.0.20 by tcp/5432" in outcome.witness.control
    assert "neighbour-on-lonely" not in done.site.machines
    assert not [row for _, one in done.reach for row in one.endpoints if "neighbour" in row]


def test_where_nobody_can_be_added_a_no_reach_is_left_open(tmp_path: Path) -> None:
    text = (ALONE + FIREWALL).replace("10.2.0.0/24", "10.2.0.20/31").replace("10.2.0.20/24", "10.2.0.20/31")
    path = tmp_path / "site.yaml"
    path.write_text(text.replace(', "fd00:2::/64"', "").replace(', "fd00:2::20/64"', ""))
    done = workflow.rehearse(path)
    (outcome,) = done.outcomes
    assert (outcome.observed, outcome.ok) == ("unproven", None)
    assert "nobody else on lonely can show that db answers at all" in outcome.witness.sentence
    assert done.ok
    assert not done.proven
