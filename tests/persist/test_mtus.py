"""An MTU can be said of everything that has one; it is planned, kept by every dialect, and read back."""

from __future__ import annotations

import pytest

from bascule.model.dialects import persistent
from bascule.model.values import IfName
from bascule.persist.dialect import dialect
from bascule.persist.wanted import declared_state, wanted_config
from bascule.plan.virtual_network import resolved_networks
from bascule.providers.dnsmasq.arguments import arguments
from bascule.site import parse
from bascule.topology.endpoints import guest_endpoint

SITE = b"""
site: s
networks: {wide: {mtu: 9000}, narrow: {vlan: 7, mtu: 1400}}
hosts:
  h:
    nics: {eth0: {mtu: 4000}, eth1: {network: wide}, eth2: {}, eth3: {}, eth4: {}}
    bonds: {bond0: {nics: [eth2, eth3], mtu: 8000}}
    vlans:
      bond0.5: {link: bond0, id: 5, mtu: 7000, address: 10.0.0.5/24}
      bond0.5.6: {link: bond0.5, id: 6, mtu: 6000}
      eth1.7: {link: eth1, id: 7, address: 10.0.7.5/24}
    bridges: {br0: {uplink: eth0, ports: [eth4], mtu: 3000}, br1: {uplink: none, mtu: 2000}}
    virtual_networks: {lab: {mode: nat, subnet: 10.9.0.0/24, dhcp: 10.9.0.10-10.9.0.99, mtu: 1300}}
guests: {g: {host: h, nics: [{network: lab, address: dhcp}]}}
"""
MTUS = {
    "eth0": 4000,
    "eth1": 9000,
    "eth4": 3000,
    "bond0": 8000,
    "bond0.5": 7000,
    "bond0.5.6": 6000,
    "eth1.7": 1400,
    "br0": 3000,
    "br1": 2000,
}


def test_every_kind_of_link_gets_it_by_the_plan() -> None:
    site = parse(SITE, "site.yaml")
    state = declared_state(site, site.hosts["h"])
    assert {name: state.links[IfName(name)].mtu for name in MTUS} == MTUS


def test_a_virtual_network_has_one_and_its_guests_are_told() -> None:
    site = parse(SITE, "site.yaml")
    (lab,) = resolved_networks(site, site.hosts["h"])
    assert lab.mtu == 1300
    assert "--dhcp-option=option:mtu,1300" in arguments(lab, "/run")
    assert guest_endpoint(site, "g").nics[0].mtu == 1300


@pytest.mark.parametrize("name", persistent())
def test_every_dialect_keeps_it(name: str) -> None:
    site = parse(SITE, "site.yaml")
    parser = dialect(name)
    config = parser.parse(parser.render(wanted_config(site, site.hosts["h"]))).config
    assert {link: config.links[IfName(link)].mtu for link in MTUS} == MTUS
