"""An address that nobody known has is on the wire whose subnet it is in, where the host itself has none there."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

from bascule.cli import group
from bascule.errors import UsageFault

SITE = """\
site: s
networks:
  mgmt: {subnet: 10.0.0.0/24, gateway: 10.0.0.1}
  lan: {subnet: [10.9.0.0/24, "fd00:9::/64"]}
  dmz: {subnet: 10.20.0.0/24, vlan: 20}
hosts:
  h:
    nics: {eth0: {network: mgmt, address: 10.0.0.5/24, gateway: 10.0.0.1}, eth1: {network: lan}}
    bridges: {br1: {KIND, uplink: eth1}}
guests:
  web: {host: h, nics: [{bridge: br1, address: [10.9.0.5/24, "fd00:9::5/64"], guard: GUARD}]}
  db: {host: h, nics: [{bridge: br1, vlan: 20, address: 10.20.0.5/24}]}
"""
KINDS = ("vlan_aware: true", "kind: openvswitch")


def why(text: str, folder: Path, *words: str) -> str:
    file = folder / "site.yaml"
    file.write_text(text)
    options = ("--site", str(file), "--wanted", "--brief")
    return CliRunner().invoke(group, ["why", *words, *options], standalone_mode=False, catch_exceptions=False).stdout


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("guard", ["off", "strict"])
@pytest.mark.parametrize(
    ("source", "target", "answer"),
    [
        ("web", "10.9.0.9", "YES"),
        ("10.9.0.9", "web", "YES"),
        ("web", "fd00:9::9", "YES"),
        ("db", "10.20.0.9", "YES"),
        ("10.20.0.9", "db", "YES"),
        ("web", "10.20.0.9", "NO"),  # web has no router
        ("web", "10.0.0.9", "NO"),
    ],
)
def test_where_it_is(kind: str, guard: str, source: str, target: str, answer: str, tmp_path: Path) -> None:
    said = why(SITE.replace("KIND", kind).replace("GUARD", guard), tmp_path, source, target)
    assert f": {answer}" in said, said


def test_on_a_bridge_without_a_wire_nobody_knows_of_it(tmp_path: Path) -> None:
    text = SITE.replace("KIND, uplink: eth1", "vlan_aware: true, uplink: none").replace("GUARD", "off")
    with pytest.raises(UsageFault, match=r"nothing is known of 10\.9\.0\.9 here"):
        why(text, tmp_path, "web", "10.9.0.9")


TWICE = """\
site: s
networks: {lan: {subnet: [10.9.0.0/24, "fd00:9::/64"], gateway: [10.9.0.1, "fd00:9::1"]}}
hosts:
  h:
    nics:
      eth0: {network: lan, address: [10.9.0.4/24, "fd00:9::4/64"], gateway: [10.9.0.1, "fd00:9::1"]}
      eth1: {network: lan}
    bridges: {br1: {KIND, uplink: eth1}}
guests:
  web: {host: h, nics: [{bridge: br1, address: [10.9.0.5/24, "fd00:9::5/64"]}]}
"""


@pytest.mark.parametrize("kind", ("kind: linux", *KINDS))
@pytest.mark.parametrize(
    ("somebody", "answer"),
    [("10.9.0.9", "YES"), ("fd00:9::9", "YES"), ("internet", "YES"), ("198.51.100.7", "UNKNOWN"), ("h", "YES")],
)
def test_a_host_with_two_nics_on_one_wire_has_him_behind_both(
    kind: str, somebody: str, answer: str, tmp_path: Path
) -> None:
    """He was behind the host's own NIC alone, so that nobody but the host could reach him: a sure no, and false."""
    for pair in ((somebody, "web"), ("web", somebody)):
        said = why(TWICE.replace("KIND", kind), tmp_path, *pair)
        assert f": {answer}" in said, said
