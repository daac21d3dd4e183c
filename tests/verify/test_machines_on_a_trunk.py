"""Machines whose networks arrive with a tag: on the trunk of a VLAN-aware bridge, and on a tagged link of a host."""

from __future__ import annotations

import pytest

from bascule import workflow
from bascule.model.site import Site
from bascule.model.values import Service
from bascule.site import parse
from bascule.topology.trace.answer import Certainty, Code

TEXT = """\
site: trunk
networks:
  lan: {subnet: 10.0.0.0/24, gateway: 10.0.0.1}
  prod: {subnet: 10.30.0.0/24, vlan: 30, gateway: 10.30.0.1}
  mgmt: {subnet: 10.40.0.0/24, vlan: 40}
hosts:
  h1:
    nics: {eth0: {network: lan, address: 10.0.0.2/24}, eth1: {network: lan}, eth2: {}}
    bridges: {br0: {uplink: eth1, vlan_aware: true}}
    vlans: {eth2.40: {link: eth2, id: 40, network: mgmt, address: 10.40.0.2/24}}
guests:
  web: {host: h1, nics: [{bridge: br0, vlan: 30, address: 10.30.0.11/24}]}
  plain: {host: h1, nics: [{bridge: br0, address: 10.0.0.12/24}]}
machines:
  desk: {nics: [{network: prod, address: 10.30.0.50/24}]}
  office: {nics: [{network: lan, address: 10.0.0.50/24}]}
  adm: {nics: [{network: mgmt, address: 10.40.0.50/24}]}
  rtr: {nics: [{network: prod, address: 10.30.0.1/24}, {network: lan, address: 10.0.0.1/24}], ROUTES}
"""
HTTP = Service("tcp", 80, 80)


def read(routes: str) -> Site:
    return parse(TEXT.replace("ROUTES", routes).encode(), "trunk.yaml")


@pytest.mark.parametrize(
    ("source", "target"),
    [
        ("web", "desk"),
        ("desk", "web"),
        ("plain", "office"),
        ("adm", "h1"),
        ("h1", "adm"),
        # by way of the router, which has both networks on the wire of the trunk: in with one tag, out without
        ("web", "plain"),
        ("plain", "web"),
        ("web", "office"),
        ("office", "web"),
        ("plain", "desk"),
    ],
)
def test_who_stands_on_a_tagged_network_is_reached_with_its_tag(source: str, target: str) -> None:
    found = workflow.why(source, target, HTTP, site=read("forwards: all"), wanted=True)
    assert found.result is Certainty.YES, found.asked.answer.blockers


def test_a_router_that_forwards_nothing_keeps_the_two_networks_of_a_trunk_apart() -> None:
    found = workflow.why("web", "office", HTTP, site=read("forwards: [{from: lan, to: prod}]"), wanted=True)
    assert found.result is Certainty.NO
    assert next(one.code for one in found.asked.answer.blockers) is Code.NOT_FORWARDING


def test_a_router_on_one_trunk_hides_who_asks_from_the_other_network() -> None:
    site = read("masquerade: {from: [web], to: lan}")
    found = workflow.why("web", "office", HTTP, site=site, wanted=True)
    assert found.result is Certainty.YES
    words = [stage.words for leg in found.asked.answer.legs for stage in leg.stages if stage.name == "router"]
    assert words[0] == "rtr forwards it as 10.0.0.1"
    assert workflow.why("office", "web", HTTP, site=site, wanted=True).result is Certainty.NO


TRUNKS = """\
site: trunks
networks: {a: {subnet: 10.1.0.0/24}, b: {subnet: 10.2.0.0/24}, prod: {subnet: 10.30.0.0/24, vlan: 30}}
hosts:
  h1:
    nics: {eth1: {network: a}, eth2: {network: b}}
    bridges: {br1: {uplink: eth1, vlan_aware: true}, br2: {uplink: eth2, vlan_aware: true}}
guests:
  one: {host: h1, nics: [{bridge: br1, vlan: 30, address: 10.30.0.11/24}]}
  two: {host: h1, nics: [{bridge: br2, vlan: 30, address: 10.30.0.12/24}]}
  far: {host: h1, nics: [{bridge: br2, address: 10.2.0.13/24}]}
"""


def test_a_tagged_network_may_connect_two_trunks_outside() -> None:
    """Their untagged networks differ, and by these alone each would be on a wire of its own."""
    site = parse(TRUNKS.encode(), "trunks.yaml")
    found = workflow.why("one", "two", HTTP, site=site, wanted=True)
    assert found.result is Certainty.UNKNOWN, found.asked.answer.blockers
    pairs = {(pair.source, pair.target): pair.result for pair in workflow.reach(site, wanted=True).pairs()}
    assert pairs["one", "two"] is pairs["two", "one"] is Certainty.UNKNOWN
    assert pairs["one", "far"] is Certainty.NO
