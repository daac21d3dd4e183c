"""A guest's NIC takes as large packets as the plan makes its bridge pass."""

from __future__ import annotations

import pytest

from bascule.model.values import IfName
from bascule.plan.make import make_plan
from bascule.site import parse
from bascule.topology.declared import declared_links
from bascule.topology.endpoints import guest_endpoint

SITE = """
site: s
hosts:
  h:
    nics: {eth0: {mtu: %s}, eth1: {mtu: %s}, eth2: {}}
    bonds: {bond0: {nics: [eth2], mtu: 9000}}
    bridges:
      two: {uplink: eth0, ports: [eth1]}
      bonded: {uplink: bond0}
guests:
  a: {host: h, nics: [{bridge: two}]}
  b: {host: h, nics: [{bridge: bonded}]}
"""


@pytest.mark.parametrize(("first", "second"), [(9000, 1400), (1400, 9000)])
def test_it_is_that_of_the_narrowest_port_and_of_a_bond_itself(first: int, second: int) -> None:
    site = parse((SITE % (first, second)).encode(), "site.yaml")
    host = site.hosts["h"]
    bare = declared_links(site, host)
    nics = bare.of(link for name, link in bare.links.items() if name in host.nics)
    wanted = make_plan(site, host, nics)[1]
    for guest, bridge in (("a", "two"), ("b", "bonded")):
        (nic,) = guest_endpoint(site, guest).nics
        assert nic.mtu == wanted.links[IfName(bridge)].mtu, bridge
