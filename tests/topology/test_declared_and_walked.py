"""What the file's graph says of a way, and what the walk through the wanted hosts says: one never denies the other.

The graph knows of no rules: only a rule, or what keeps ports apart, may stop what it says arrives.
"""

from __future__ import annotations

from itertools import permutations
from pathlib import Path

import pytest

from bascule.model.site import Expectation, Verdict
from bascule.model.values import Service
from bascule.questions import _wanted_hosts
from bascule.topology.graph import Topology
from bascule.topology.trace.answer import Certainty
from bascule.topology.trace.declared_way import trace
from bascule.verify.reachability.model_verdict import model_says
from bascule.workflow import load

ROOT = Path(__file__).parents[2]
SITES = sorted([*(ROOT / "examples").glob("*.yaml"), *(ROOT / "tests" / "cases").glob("*/site.yaml")])
SERVICES = (Service("icmp"), Service("tcp", 22, 22))
MOST = 10  # endpoints of one file that are asked


@pytest.mark.parametrize("path", SITES, ids=lambda path: path.parent.name if path.stem == "site" else path.stem)
def test_the_graph_and_the_walk_do_not_contradict_each_other(path: Path) -> None:
    site = load(str(path))
    hosts = _wanted_hosts(site)
    if not hosts:
        pytest.skip("a case that no plan can be made for")
    topology = Topology.of(site)
    contradictions = []
    for source, target in permutations(sorted(topology.endpoints)[:MOST], 2):
        for service in SERVICES:
            way = trace(topology, source, target, service)
            expected = Expectation(source=source, target=target, service=service, verdict=Verdict.REACH)
            said = model_says(hosts, expected)
            blockers = [blocker for one in said.asked for blocker in one.answer.blockers]
            by_rule = any(blocker.chain is not None for blocker in blockers)
            if (way.reached is False and said.result is Certainty.YES) or (
                way.reached and said.result is Certainty.NO and not by_rule
            ):
                contradictions.append((source, target, str(service), way.end, said.words))
    assert contradictions == []
