"""A way between guests of two hosts: decided of the file over both, and left open where one host alone is looked at."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from bascule import questions, workflow
from bascule.model.site import Site
from bascule.model.values import Service
from bascule.site import parse
from bascule.topology.trace.answer import Certainty, Code
from bascule.topology.trace.rules.lines import Rules
from bascule.topology.trace.rules.nft_reader import read_nft
from bascule.verify.reachability.live import why
from bascule.verify.reachability.matrix import matrix
from bascule.verify.reachability.other_hosts import decisive, parts
from bascule.verify.reachability.participant import HostModel

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
    assert workflow.why(source, target, HTTP, site=site, wanted=True).result is result


def test_check_knows_what_the_file_contradicts_between_hosts(site: Site) -> None:
    assert ["'web' must not reach 'db'" in one.message for one in questions.contradictions(site)] == [True]


def test_one_host_alone_says_what_passes_there_and_no_more(site: Site) -> None:
    given = questions.host_model(site, site.hosts["h1"], wanted=True)
    found = why(given, "web", "db", HTTP)
    assert found.result is Certainty.UNKNOWN
    assert [(one.code, one.subject) for one in found.asked.answer.blockers] == [(Code.UNKNOWN_OUTSIDE, "h2")]
    assert "what host h2 does with it is not known" in found.asked.answer.blockers[0].text
    assert why(given, "away", "db", HTTP).result is Certainty.NO  # which is lost here already
    cells = {(one.source, one.target): one.result for one in matrix(given, None, services=[HTTP]).pairs()}
    assert cells["web", "db"] is cells["db", "web"] is Certainty.UNKNOWN
    assert cells["web", "desk"] is Certainty.YES


OVER_VLANS = """\
site: over
networks:
  lan: {subnet: 10.0.0.0/24, gateway: 10.0.0.1}
  dmz: {subnet: 10.9.0.0/24, vlan: 20, gateway: 10.9.0.1}
machines:
  gw:
    forwards: [{from: lan, to: dmz, service: tcp/443}]
    nics: [{network: lan, address: 10.0.0.1/24}, {network: dmz, address: 10.9.0.1/24}]
hosts:
  h1:
    nics: {eth0: {network: lan}}
    vlans: {eth0.20: {link: eth0, id: 20}}
    bridges: {br0: {uplink: eth0, address: 10.0.0.2/24}, br20: {uplink: eth0.20}}
  h2:
    nics: {eth0: {network: lan}, eth1: {network: dmz}}
    bridges: {br0: {uplink: eth0, address: 10.0.0.3/24, gateway: 10.0.0.1}, br1: {uplink: eth1, vlan: 20}}
    virtual_networks: {lab: {mode: nat, subnet: 192.168.50.0/24}}
  h3:
    nics: {eth0: {network: lan}}
    bridges: {br0: {uplink: eth0, vlan_aware: true, address: 10.0.0.4/24}}
guests:
  web: {host: h1, nics: [{bridge: br0, address: 10.0.0.11/24}]}
  app: {host: h1, nics: [{bridge: br20, address: 10.9.0.21/24}]}
  db: {host: h2, nics: [{bridge: br1, address: 10.9.0.22/24}]}
  db2: {host: h2, nics: [{bridge: br1, address: 10.9.0.24/24}]}
  inner: {host: h2, nics: [{network: lab, address: 192.168.50.5/24}]}
  cee: {host: h3, nics: [{bridge: br0, vlan: 20, address: 10.9.0.23/24}]}
"""
HTTPS, PING = Service("tcp", 443, 443), Service("icmp")


@pytest.mark.parametrize(
    ("source", "target", "https", "ping"),
    [
        ("app", "db", "yes", "yes"),  # by a VLAN link here, by a NIC there
        ("cee", "app", "yes", "yes"),  # by the trunk of a VLAN-aware bridge
        ("web", "cee", "yes", "no"),  # over a machine that hands on this alone
        ("gw", "app", "yes", "yes"),
        ("app", "web", "no", "no"),
        ("h1", "h3", "yes", "yes"),
        ("h2", "h3", "yes", "yes"),  # of three hosts on one wire two others are not one
        ("inner", "cee", "yes", "no"),  # under its host's address
        ("h3", "db", "no", "no"),  # it has no route
    ],
)
def test_pairs_of_all_hosts_are_decided_as_one_by_one(source: str, target: str, https: str, ping: str) -> None:
    site = parse(OVER_VLANS.encode(), "over.yaml")
    found = workflow.reach(site, wanted=True, services=[HTTPS, PING])
    cells = {(one.source, one.target, one.service): one.result for one in found.pairs()}
    assert (cells[source, target, HTTPS], cells[source, target, PING]) == (https, ping)
    assert ("db", "db2") in found.classes
    one_by_one = {service: workflow.why(source, target, service, site=site, wanted=True) for service in (HTTPS, PING)}
    assert (one_by_one[HTTPS].result, one_by_one[PING].result) == (https, ping)


def test_of_all_hosts_no_pair_is_told_otherwise_than_by_its_own_walk() -> None:
    site = parse(OVER_VLANS.encode(), "over.yaml")
    found = workflow.reach(site, wanted=True, services=[HTTPS, PING])
    cells = [one for one in found.pairs() if "internet" not in (one.source, one.target)]
    assert len(cells) == 2 * 10 * 9
    for one in cells:
        walked = workflow.why(one.source, one.target, one.service, site=site, wanted=True)
        assert walked.result is one.result, one


def test_the_pairs_of_one_host_are_decided_to_guests_of_the_others(site: Site) -> None:
    found = workflow.reach(site, host="h1", wanted=True, services=[HTTP])
    cells = {(one.source, one.target): one.result for one in found.pairs()}
    assert (cells["web", "db"], cells["db", "web"], cells["sealed", "db"]) == ("yes", "yes", "no")
    assert ("db", "desk") not in cells  # which is for h2 to say
    told = workflow.reach(site, host="h1", wanted=True)
    assert [(one.cell.source, one.cell.target, one.cell.result) for one in told.violations] == [("web", "db", "yes")]


def test_both_hosts_are_asked_by_one_address() -> None:
    dual = TEXT.replace("subnet: 10.0.0.0/24, gateway: 10.0.0.1", "subnet: [10.0.0.0/24, 'fd00::/64']").replace(
        "address: 10.0.0.12/24", "address: [10.0.0.12/24, 'fd00::12/64']"
    )
    dual = dual.replace("address: 10.0.0.11/24", "address: [10.0.0.11/24, 'fd00::11/64']")
    site = parse(dual.encode(), "two.yaml")
    hosts = [questions.host_model(site, site.hosts[name], wanted=True) for name in ("h1", "h2")]
    shut = [_dropping(one, version) for one, version in zip(hosts, (4, 6), strict=True)]
    assert decisive(parts(hosts, "web", "db", HTTP))[1].answer.result is Certainty.YES
    assert decisive(parts(shut, "web", "db", HTTP))[1].answer.result is Certainty.NO
    found = matrix(shut[0], None, services=[HTTP], others=shut[1:])
    cells = {(one.source, one.target): one.result for one in found.pairs()}
    assert cells["web", "db"] is Certainty.NO


def _dropping(given: HostModel, version: int) -> HostModel:
    """The host with a bridge that drops one IP version."""
    protocol = {4: "ip", 6: "ip6"}[version]
    match = {"left": {"payload": {"protocol": "ether", "field": "type"}}, "op": "==", "right": protocol}
    table = {"family": "bridge", "table": "own"}
    rules = read_nft(
        [
            {"table": {"family": "bridge", "name": "own", "handle": 1}},
            {"chain": {**table, "name": "f", "handle": 1, "type": "filter", "hook": "forward", "prio": -200,
                       "policy": "accept"}},
            {"rule": {**table, "chain": "f", "handle": 2, "expr": [{"match": match}, {"drop": None}]}},
        ]
    )  # fmt: skip
    return replace(given, network=replace(given.network, rules=Rules(rules)))
