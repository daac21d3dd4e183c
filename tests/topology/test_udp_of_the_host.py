"""Whether a program connects its socket decides by which route UDP of the host goes: with a rule for the source."""

from __future__ import annotations

from pathlib import Path

import pytest

from bascule.model.values import Service
from bascule.verify.reachability.question import ask
from tests.topology.test_sweep_of_sites import unequal, wanted_hosts

SITE = """\
site: s
networks: {lan: {subnet: 10.1.0.0/24, gateway: 10.1.0.1}}
hosts:
  h:
    nics:
      eth0:
        {network: lan, address: 10.1.0.15/24, gateway: 10.1.0.1, routes: [{to: 10.0.0.0/8, via: 10.1.0.1, table: 52}]}
    rules: [{from: 10.1.0.0/24, table: 52, priority: 1000}]
machines:
  r: {nics: [{network: lan, address: 10.1.0.1/24}]}
  ns: {nics: [{network: lan, address: 10.1.0.11/24}], serves: [udp/53]}
"""


@pytest.mark.parametrize("rule", [True, False])
def test_a_rule_for_the_source_leaves_it_open(tmp_path: Path, rule: bool) -> None:
    file = tmp_path / "site.yaml"
    file.write_text(SITE if rule else SITE.replace("from: 10.1.0.0/24", "from: 10.7.0.0/24"))
    (given,) = wanted_hosts(file)
    assert unequal(given) == []
    answer = ask(given.network, given.known, given.known["h"], given.known["ns"], Service("udp", 53, 53)).answer
    assert answer.result.value == ("perhaps" if rule else "yes")
    assert any("connects its socket" in words for leg in answer.legs for words in leg.unsure) is rule
