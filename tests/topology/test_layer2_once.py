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
