"""Somebody with an address that this host cannot see may be reached there: what is lost here is no no."""

from __future__ import annotations

import pytest

from bascule.model.values import Service
from bascule.questions import contradictions, host_model
from bascule.site import parse
from bascule.verify.reachability.live import why
from bascule.verify.reachability.matrix import matrix

SITE = """\
site: t
networks:
  lan: {subnet: 10.1.0.0/24, gateway: 10.1.0.1}
  dmz: {subnet: 10.2.0.0/24}
  far: {subnet: 10.3.0.0/24, gateway: 10.3.0.1}
hosts:
  h:
    nics: {e0: {network: lan}, e1: {network: dmz}}
    bridges: {br0: {uplink: e0}, br1: {uplink: e1}}
guests:
  web: {host: h, nics: [{bridge: br0, address: 10.1.0.5/24}]}
  two: {host: h, nics: [{bridge: br1, address: 10.2.0.5/24}, {bridge: br0, SECOND}]}
machines:
  fw:
    nics:
      - {network: lan, address: 10.1.0.1/24}
      - {network: dmz, address: 10.2.0.1/24}
      - {network: far, address: 10.3.0.1/24}
    forwards: [{from: lan, to: far}]
  log: {nics: [{network: dmz, address: 10.2.0.9/24}THIRD]}
  leases: {nics: [{network: far, address: 10.3.0.2/24}], dhcp: {network: far, range: 10.3.0.100-10.3.0.200}}
  near: {nics: [{network: lan, address: 10.1.0.2/24}], dhcp: {network: lan, range: 10.1.0.100-10.1.0.200}}
expect:
  - {from: web, to: TO, verdict: reach}
"""
CASES = [  # further addresses, who is asked, and the answer
    ({}, "log", "no"),
    ({"THIRD": ", {network: far, address: 10.3.0.9/24}"}, "log", "unknown"),  # fw leads there
    ({"THIRD": ", {network: far, address: dhcp}"}, "log", "unknown"),
    ({"THIRD": ", {network: far}"}, "log", "no"),
    ({}, "two", "no"),
    ({"SECOND": "address: dhcp"}, "two", "yes"),  # on web's own network, whatever it is
    ({"SECOND": "address: 10.1.0.6/24"}, "two", "yes"),
]


@pytest.mark.parametrize(("says", "target", "answer"), CASES)
def test_an_address_out_of_sight_is_unknown(says: dict[str, str], target: str, answer: str) -> None:
    text = SITE.replace("TO", target).replace("THIRD", says.get("THIRD", ""))
    second = says.get("SECOND", "")
    text = text.replace("bridge: br0, SECOND", f"bridge: br0, {second}" if second else "bridge: br0")
    site = parse(text.encode(), "t.yaml")
    given = host_model(site, site.hosts["h"], wanted=True)
    assert why(given, "web", target, Service("icmp")).result.value == answer
    (cell,) = [one for one in matrix(given, site).pairs() if (one.source, one.target) == ("web", target)]
    assert cell.result.value == answer
    assert [one.code for one in contradictions(site)] == (["EXPECT-CONTRADICTED"] if answer == "no" else [])


def test_each_of_those_that_lease_an_address_has_another_one() -> None:
    text = SITE.replace("TO", "log").replace(", SECOND", ", address: dhcp").replace("THIRD", "")
    text = text.replace("machines:", "  one: {host: h, nics: [{bridge: br0, address: dhcp}]}\nmachines:")
    text = text.replace("  near:", "  last: {nics: [{network: lan, address: 10.1.0.254/24}]}\n  near:")
    site = parse(text.encode(), "t.yaml")
    given = host_model(site, site.hosts["h"], wanted=True)
    names = ("one", "two", "web", "last")
    for one in names:
        for other in set(names) - {one}:
            assert why(given, one, other, Service("icmp")).result.value == "yes", (one, other)
    cells = {(cell.source, cell.target): cell.result.value for cell in matrix(given, site).pairs()}
    assert {cells[one, other] for one in names for other in names if one != other} == {"yes"}


def test_a_host_that_waits_for_its_address_may_be_reached_there() -> None:
    text = SITE.replace("TO", "h").replace(", SECOND", "").replace("THIRD", "")
    text = text.replace("{uplink: e0}", "{uplink: e0, address: dhcp}")
    text = text.replace("{uplink: e1}", "{uplink: e1, address: 10.2.0.3/24}")
    site = parse(text.encode(), "t.yaml")
    assert why(host_model(site, site.hosts["h"], wanted=True), "web", "h", Service("icmp")).result.value == "unknown"
    assert contradictions(site) == ()


TWO_HOSTS = """\
site: t
networks: {lan: {subnet: 10.1.0.0/24}, dmz: {subnet: 10.2.0.0/24}}
hosts:
  h:
    nics: {e0: {network: lan}, e1: {network: dmz}}
    bridges: {br0: {uplink: e0, address: 10.1.0.4/24}, br1: {uplink: e1, address: dhcp}}
  k:
    nics: {e0: {network: dmz, address: 10.2.0.5/24}}
machines:
  leases: {nics: [{network: dmz, address: 10.2.0.2/24}], dhcp: {network: dmz, range: 10.2.0.100-10.2.0.200}}
"""


def test_another_host_may_be_reached_where_it_will_lease_an_address() -> None:
    site = parse(TWO_HOSTS.encode(), "t.yaml")
    here, other = (host_model(site, site.hosts[name], wanted=True) for name in ("k", "h"))
    found = matrix(here, site, others=(other,))
    assert {cell.result.value for cell in found.pairs() if (cell.source, cell.target) == ("k", "h")} == {"unknown"}
