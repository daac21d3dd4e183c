"""``bascule reach``: the matrix, folded into those who are alike, and the differences against the expectations."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from bascule.model.values import Service
from bascule.observe.packet_path import read_network
from bascule.site import parse
from bascule.topology.sweep.sweep import exchange_of
from bascule.verify.reachability.host_model import model_host
from bascule.verify.reachability.live import why
from bascule.verify.reachability.matrix import matrix
from tests.cli.test_why import DOCKER, SITE, Stage
from tests.lab import Lab

SERVING = SITE.replace("tap: db.0}]}", "tap: db.0}], serves: [tcp/5432]}")
EXPECTING = f"""\
{SERVING}
expect:
  - {{from: web, to: db, service: tcp/5432, verdict: reach}}
  - {{from: log, to: db, service: tcp/5432, verdict: no-reach}}
"""
RULES = """
table bridge own {
set friends {
type ipv4_addr
elements = { 10.0.0.5 }
}
chain forward {
type filter hook forward priority -200
ip saddr @friends tcp dport 5432 accept
ip daddr 10.0.0.6 tcp sport 5432 accept
tcp sport 5432 accept
ip daddr 10.0.0.6 tcp dport 5432 drop
iifname "log.0" udp dport 53 drop
}
}
"""


def reach(stage: Stage, *words: str) -> dict[str, Any]:
    done = stage.lab.bascule(stage.host, "reach", str(stage.site), "--here", "--json", *words)
    found: dict[str, Any] = json.loads(done.stdout)
    assert done.returncode == (1 if found["violations"] else 0), done.stderr
    return found


@pytest.mark.kernel
def test_expectations_that_the_host_contradicts_come_with_what_is_in_the_way(lab: Lab, tmp_path: Path) -> None:
    stage = Stage(lab, tmp_path)
    stage.site.write_text(EXPECTING)
    found = reach(stage)
    assert [(one["from"], one["expected"], one["result"]) for one in found["violations"]] == [
        ("log", "no-reach", "yes")
    ]
    assert found["violations"][0]["line"] == EXPECTING.splitlines().index(EXPECTING.splitlines()[-1]) + 1
    stage.do(*DOCKER)
    found = reach(stage, "--services", "tcp/5432")
    assert [(one["from"], one["result"]) for one in found["violations"]] == [("web", "no")]
    assert found["violations"][0]["blockers"][0]["code"] == "policy"
    assert found["violations"][0]["packet"] == "10.0.0.5 → 10.0.0.6 tcp/5432, in by web.0"
    assert ["web", "db", "log"] in found["classes"]
    assert {one["result"] for one in found["pairs"]} == {"no"}


@pytest.mark.kernel
def test_every_cell_is_what_a_walk_of_its_own_says(lab: Lab, tmp_path: Path) -> None:
    stage = Stage(lab, tmp_path)
    stage.nft(RULES)
    site = parse(SITE.encode(), "site.yaml")
    asked = model_host(read_network(stage.host), "h", "here", site, site.hosts["h"])
    services = (Service("tcp", 5432, 5432), Service("udp", 53, 53), Service("icmp"))
    found = matrix(asked, site, services=services)
    assert len(found.classes) > 2  # the rules tell them apart
    cells = list(found.pairs())
    assert sum(found.tally().values()) == len(cells) >= 18
    for cell in cells:
        own = exchange_of(why(asked, cell.source, cell.target, cell.service).asked.answer)
        assert (cell.result, cell.request, cell.reply) == (own.result, own.request, own.reply), cell
    results = {(one.source, one.target, str(one.service)): one.result.value for one in cells}
    assert results["web", "db", "tcp/5432"] == "yes"
    assert results["log", "db", "tcp/5432"] == "no"
    assert results["log", "web", "udp/53"] == "no"
    assert results["db", "web", "udp/53"] == "yes"


def test_the_wanted_state_of_another_host_needs_no_rights_and_names_no_difference(lab: Lab) -> None:
    done = lab.bascule(lab.namespace("h"), "reach", "examples/production.yaml", "--wanted", "--json")
    found = json.loads(done.stdout)
    assert found["violations"] == []
    results = {(one["from"], one["to"], one["service"]): one["result"] for one in found["pairs"]}
    assert results["customer", "guest_01", "tcp/80"] == "yes"
    assert results["guest_03", "vmserver", "icmp"] == "yes"
    assert results["customer", "guest_02", "tcp/3389"] == "no"  # dmz forwards nothing to it
    assert results["guest_02", "customer", "icmp"] == "yes"  # dmz masquerades it, and not guest_03
    assert results["guest_03", "customer", "icmp"] == "no"


def test_a_table_without_a_row_has_no_head(lab: Lab) -> None:
    done = lab.bascule(lab.namespace("h"), "reach", "examples/cabling.yaml", "--wanted")
    assert done.stdout.startswith("unknown  vmserver: no address of it is known here\n")
    assert "0 questions" in done.stdout


FAR = """\
site: far
networks:
  internal: {subnet: 192.168.1.0/24, gateway: 192.168.1.1}
  internet: {subnet: 129.230.0.0/16}
hosts:
  h1:
    nics: {eno7: {network: internal}}
    bridges: {br7: {uplink: eno7, address: 192.168.1.10/24, gateway: 192.168.1.1}}
guests:
  web: {host: h1, nics: [{bridge: br7, address: 192.168.1.9/24}], serves: [tcp/80]}
machines:
  desk: {nics: [{network: internal, address: 192.168.1.50/24}]}
  customer: {nics: [{network: internet, address: 129.230.200.9/16}]}
expect:
  - {from: customer, to: web, service: tcp/80, verdict: no-reach}
  - {from: web, to: customer, verdict: no-reach}
"""


def test_who_is_on_a_network_that_the_host_has_no_link_on_is_beyond_a_router(lab: Lab, tmp_path: Path) -> None:
    site = tmp_path / "site.yaml"
    site.write_text(FAR)
    host = lab.namespace("h")
    found = json.loads(lab.bascule(host, "reach", str(site), "--wanted", "--json").stdout)
    results = {(one["from"], one["to"], one["service"]): one["result"] for one in found["pairs"]}
    assert {results[pair] for pair in results if "customer" in pair} == {"unknown"}
    assert results["desk", "web", "tcp/80"] == "yes"
    assert (found["violations"], found["unknown"]) == ([], [])
    for pair in (("web", "customer"), ("customer", "web"), ("h1", "customer"), ("desk", "customer")):
        told = json.loads(lab.bascule(host, "why", *pair, "--site", str(site), "--wanted", "--json").stdout)
        assert told["result"] == "unknown", pair


def test_a_no_reach_by_a_gateway_that_nobody_has_is_unproven(lab: Lab, tmp_path: Path) -> None:
    site = tmp_path / "site.yaml"
    other = "  customer: {nics: [{network: internet, address: 129.230.200.8/16}]}\n  shop:"
    site.write_text(FAR.replace("  customer:", other))
    told = json.loads(lab.bascule(lab.namespace("h"), "rehearse", str(site), "--json").stdout)
    verdicts = {one["from"]: (one["observed"], one["ok"]) for one in told["expectations"]}
    assert verdicts == {"customer": ("no-reach", True), "web": ("unproven", None)}  # of internet no gateway is declared
    assert "nobody in the file has 192.168.1.1" in told["expectations"][1]["witness"]["sentence"]


@pytest.mark.kernel
def test_pairs_whose_large_packets_are_lost_say_so(lab: Lab, tmp_path: Path) -> None:
    stage = Stage(lab, tmp_path)
    stage.do("ip link set db.0 mtu 1400")
    found = reach(stage, "--services", "icmp,tcp/22")
    large = {(one["from"], one["to"], one["service"]): one["large"] for one in found["pairs"]}
    lost = {pair for pair, result in large.items() if result == "no"}
    # of TCP the narrow one asks for no more than it takes itself
    assert lost == {("web", "db", "icmp"), ("log", "db", "icmp"), ("h", "db", "icmp")} & large.keys() != set()
    told = lab.bascule(stage.host, "reach", str(stage.site), "--here", "--services", "icmp,tcp/22").stdout
    assert "web, log  db          small  yes\n" in told
    assert "small    small packets pass and large ones are lost; 'bascule why" in told
    assert "2 for small packets alone" in told
