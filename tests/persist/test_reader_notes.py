"""Notes on programs that do otherwise than their files say."""

from __future__ import annotations

import pytest

from bascule.persist.formats.reader_notes import reader_notes
from bascule.persist.wanted import wanted_config
from bascule.site import parse

SITE = """\
site: s
hosts:
  h:
    nics: {{eth2: {{{nic}}}, eth3: {{}}}}
    bridges: {{br0: {{uplink: eth3, vlan_aware: true, vlans: [20-29]{pvid}}}}}
"""
VLAN = "is written without a default VLAN, and a port that no file names is in none after a restart: "


@pytest.mark.parametrize(
    ("nic", "pvid", "dialect", "told"),
    [
        ("", ", pvid: 10", "networkd", [("br0", f"{VLAN}systemd-networkd before 256 would leave it on every port")]),
        ("", ", pvid: none", "keyfile", [("br0", f"{VLAN}NetworkManager would leave it on every port")]),
        ("", ", pvid: 10", "ifupdown", []),
        ("", "", "networkd", []),
        ("address: 10.0.0.5/24, ipv6: dhcp", "", "ifupdown",
         [("eth2", "ifupdown2 asks no DHCPv6 server beside a written IPv4 address; ifupdown does")]),
        ("address: dhcp, ipv6: dhcp", "", "ifupdown", []),
        ("ipv6: dhcp", "", "ifupdown", []),
    ],
)  # fmt: skip
def test_what_a_reader_does_otherwise_is_told(nic: str, pvid: str, dialect: str, told: list[tuple[str, str]]) -> None:
    site = parse(SITE.format(nic=nic, pvid=pvid).encode(), "site.yaml")
    assert list(reader_notes(wanted_config(site, site.hosts["h"]), dialect)) == told
