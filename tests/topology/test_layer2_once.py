"""Frames end on the network that the file's names say: the graph lays its cables by the same rule."""

from __future__ import annotations

from pathlib import Path

import pytest

from bascule.model.values import IfName
from bascule.site import parse
from bascule.topology.graph import FramePosition, Topology

ROOT = Path(__file__).parents[2]
FILES = sorted([*ROOT.glob("examples/*.yaml"), *ROOT.glob("tests/cases/*/site.yaml"), *ROOT.glob("tests/site/*.yaml")])


@pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.relative_to(ROOT)))
def test_the_graph_leads_where_the_file_says(file: Path) -> None:
    site = parse(file.read_bytes(), file.name)
    graph = Topology.of(site)
    for host in site.hosts.values():
        for link in host.links():
            bond = next((bond.name for bond in host.bonds.values() if link.name in bond.nics), link.name)
            named = site.network_of_link(host, bond)
            if named is not None and named.vlan is not None and not host.tags(link.name):
                continue  # a trunk's own network: what is untagged there is on none
            found = graph.networks_at(FramePosition("link", host.name, link.name))
            assert found == ((named.name,) if named is not None else ()), link.name
        for nic in site.guest_nics(host.name):
            named = site.network_of(nic)
            found = graph.networks_at(FramePosition("link", host.name, IfName(nic.tap)))
            assert found == ((named.name,) if named is not None else ()), nic.tap


TRUNKS = """
site: s
networks:
  ten: {subnet: 10.0.10.0/24, vlan: 10}
  twenty: {subnet: 10.0.20.0/24, vlan: 20}
hosts: {h: {nics: {eth0: {}}, bridges: {ovs0: {kind: openvswitch, uplink: eth0, vlan_aware: true}}}}
guests:
  trunk: {host: h, nics: [{bridge: ovs0, vlan: 10, vlans: [20]}]}
  plain: {host: h, nics: [{bridge: ovs0, vlan: 10}]}
  other: {host: h, nics: [{bridge: ovs0, vlan: 20}]}
"""


def test_a_trunk_of_a_guest_has_its_native_vlan() -> None:
    """What it sends without a tag is in the VLAN that the file gives it, as the plan makes its port."""
    site = parse(TRUNKS.encode(), "site.yaml")
    graph = Topology.of(site)
    taps = {nic.guest: FramePosition("link", "h", IfName(nic.tap)) for nic in site.guest_nics("h")}
    reached = graph.reach(taps["trunk"])
    assert (taps["plain"] in reached, taps["other"] in reached) == (True, False)
    assert graph.networks_at(taps["trunk"]) == ("ten",)
