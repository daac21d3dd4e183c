"""Whole sites with tags and bonds, rehearsed: by the same twin and the same engine as every other site."""

from __future__ import annotations

from pathlib import Path

import pytest

from bascule.rehearsal import Rehearsal
from bascule.workflow import rehearse

TAGGED = """\
site: tagged
networks:
  office: {subnet: 10.30.0.0/24, gateway: 10.30.0.1, vlan: 30}
  lab: {subnet: 10.40.0.0/24, vlan: 40}
  plain: {subnet: 10.1.0.0/24}
hosts:
  h:
    nics: {eth3: {network: plain, address: 10.1.0.2/24}, eth4: {}}
    bridges: {br30: {uplink: eth4, vlan: 30}, br40: {uplink: eth4, vlan: 40}}
guests:
  web: {host: h, nics: [{bridge: br30, address: 10.30.0.5/24}], serves: [tcp/80]}
  bench: {host: h, nics: [{bridge: br40, address: 10.40.0.5/24}], serves: [tcp/80]}
machines:
  router: {nics: [{network: office, address: 10.30.0.1/24}], dhcp: {network: office, range: 10.30.0.100-10.30.0.120}}
  probe: {nics: [{network: lab, address: 10.40.0.9/24}]}
  late: {nics: [{network: plain, address: 10.1.0.9/24}]}
expect:
  - {from: router, to: web, service: tcp/80, verdict: reach}
  - {from: probe, to: bench, service: tcp/80, verdict: reach}
  - {from: probe, to: web, service: tcp/80, verdict: no-reach}
  - {from: late, to: h, verdict: reach}
"""
AWARE = """\
site: aware
networks:
  office: {subnet: 10.0.0.0/24}
  red: {subnet: 10.30.0.0/24, vlan: 30}
  blue: {subnet: 10.40.0.0/24, vlan: 40}
hosts:
  h:
    nics: {eth4: {network: office}, eth5: {network: office}}
    bonds: {bond0: {nics: [eth4, eth5], mode: MODE}}
    bridges: {br0: {uplink: bond0, vlan_aware: true}}
guests:
  plain: {host: h, nics: [{bridge: br0, address: 10.0.0.5/24}], serves: [tcp/80]}
  red1: {host: h, nics: [{bridge: br0, vlan: 30, address: 10.30.0.5/24}], serves: [tcp/80]}
  red2: {host: h, nics: [{bridge: br0, vlan: 30, address: 10.30.0.6/24}], serves: [tcp/80]}
  blue1: {host: h, nics: [{bridge: br0, vlan: 40, address: 10.40.0.5/24}], serves: [tcp/80]}
machines:
  desk: {nics: [{network: office, address: 10.0.0.9/24}]}
  rdesk: {nics: [{network: red, address: 10.30.0.9/24}]}
  bdesk: {nics: [{network: blue, address: 10.40.0.9/24}]}
expect:
  - {from: desk, to: plain, service: tcp/80, verdict: reach}
  - {from: rdesk, to: red1, service: tcp/80, verdict: reach}
  - {from: red1, to: red2, service: tcp/80, verdict: reach}
  - {from: bdesk, to: blue1, service: tcp/80, verdict: reach}
  - {from: rdesk, to: blue1, service: tcp/80, verdict: no-reach}
  - {from: red1, to: blue1, service: tcp/80, verdict: no-reach}
"""


def rehearsed(tmp_path: Path, text: str) -> Rehearsal:
    file = tmp_path / "site.yaml"
    file.write_text(text)
    return rehearse(str(file))


def assert_whole(seen: Rehearsal) -> None:
    wrong = [(check.subject, check.id, check.detail) for check in seen.checks if check.ok is False]
    wrong += [(x.expectation.source, x.expectation.target, str(x.witness)) for x in seen.outcomes if not x.ok]
    assert not wrong, wrong
    assert seen.ok
    assert not [note for note in seen.notes if note.kind in {"unsupported", "warning"}], seen.notes


def test_networks_that_arrive_tagged(tmp_path: Path) -> None:
    assert_whole(rehearsed(tmp_path, TAGGED))


@pytest.mark.parametrize("mode", ["active-backup", "802.3ad"])
def test_a_vlan_aware_bridge_on_a_bond(tmp_path: Path, mode: str) -> None:
    assert_whole(rehearsed(tmp_path, AWARE.replace("MODE", mode)))


def test_a_wrong_vlan_is_found(tmp_path: Path) -> None:
    text = AWARE.replace("MODE", "active-backup")
    seen = rehearsed(tmp_path, text.replace("vlan: 30, address: 10.30.0.6", "vlan: 40, address: 10.40.0.6"))
    lost = [(x.expectation.source, x.expectation.target) for x in seen.outcomes if not x.ok]
    assert lost == [("red1", "red2")]
