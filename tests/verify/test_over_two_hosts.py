"""A way between guests of two hosts: decided of the file over both, and left open where one host alone is looked at."""

from __future__ import annotations

import pytest

from bascule import questions
from bascule.model.site import Site
from bascule.model.values import Service
from bascule.site import parse
from bascule.topology.trace.answer import Certainty, Code
from bascule.verify.reachability.live import why
from bascule.verify.reachability.matrix import matrix

TEXT = """\
site: two
networks:
  lan: {subnet: 10.0.0.0/24, gateway: 10.0.0.1}
  far: {subnet: 10.7.0.0/24}
hosts:
  h1:
    nics: {eth0: {network: lan, address: 10.0.0.2/24}, eth1: {network: lan}, eth2: {network: far}}
    bridges: {br0: {uplink: eth1}, br7: {uplink: eth2}}
    virtual_networks: {lab: {mode: nat, subnet: 192.168.50.0/24}, shut: {mode: isolated, subnet: 192.168.51.0/24}}
  h2:
    nics: {eth0: {network: lan, address: 10.0.0.3/24}, eth1: {network: lan}}
    bridges: {br0: {uplink: eth1}}
guests:
  web: {host: h1, nics: [{bridge: br0, address: 10.0.0.11/24}]}
  inner: {host: h1, nics: [{network: lab, address: 192.168.50.5/24}]}
  sealed: {host: h1, nics: [{network: shut, address: 192.168.51.5/24}]}
  away: {host: h1, nics: [{bridge: br7, address: 10.7.0.5/24}]}
  db: {host: h2, nics: [{bridge: br0, address: 10.0.0.12/24}]}
machines:
  desk: {nics: [{network: lan, address: 10.0.0.50/24}]}
expect:
  - {from: web, to: db, verdict: no-reach}
  - {from: inner, to: db, verdict: reach}
"""
HTTP = Service("tcp", 80, 80)


@pytest.fixture(scope="module")
def site() -> Site:
    return parse(TEXT.encode(), "two.yaml")


@pytest.mark.parametrize(
    ("source", "target", "result"),
    [
        ("web", "db", Certainty.YES),
        ("db", "web", Certainty.YES),
        ("inner", "db", Certainty.YES),  # which comes to the second host from the first one's own address
        ("sealed", "db", Certainty.NO),
        ("away", "db", Certainty.NO),
        ("web", "h2", Certainty.YES),
        ("h1", "db", Certainty.YES),
        ("db", "inner", Certainty.UNKNOWN),  # it has no address outside its host, and what leads there is not said
        ("h2", "inner", Certainty.UNKNOWN),
        ("desk", "db", Certainty.YES),  # a machine and one host: that one is asked
    ],
)
def test_the_file_decides_over_both_hosts(site: Site, source: str, target: str, result: Certainty) -> None:
    assert questions.why(source, target, HTTP, site=site, wanted=True).result is result


def test_check_knows_what_the_file_contradicts_between_hosts(site: Site) -> None:
    assert ["'web' must not reach 'db'" in one.message for one in questions.contradictions(site)] == [True]


def test_one_host_alone_says_what_passes_there_and_no_more(site: Site) -> None:
    given = questions.asked_host(site, site.hosts["h1"], wanted=True)
    found = why(given, "web", "db", HTTP)
    assert found.result is Certainty.UNKNOWN
    assert [(one.code, one.subject) for one in found.asked.answer.blockers] == [(Code.UNKNOWN_OUTSIDE, "h2")]
    assert "what host h2 does with it was not seen" in found.asked.answer.blockers[0].text
    assert why(given, "away", "db", HTTP).result is Certainty.NO  # which is lost here already
    cells = {(one.source, one.target): one.result for one in matrix(given, None, services=[HTTP]).pairs()}
    assert cells["web", "db"] is cells["db", "web"] is Certainty.UNKNOWN
    assert cells["web", "desk"] is Certainty.YES
