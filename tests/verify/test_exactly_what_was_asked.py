"""A range of ports is asked port by port as far as rules tell them apart, and a fix opens no more than was asked."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from bascule import questions, workflow
from bascule.model.values import Service
from bascule.site import parse
from bascule.topology.trace.answer import Certainty
from tests.cli.test_why import Stage
from tests.lab import Lab, pings


@pytest.fixture
def stage(lab: Lab, tmp_path: Path) -> Iterator[Stage]:
    yield Stage(lab, tmp_path)


MIDDLE = """
table ip f {
chain forward {
type filter hook forward priority 0
tcp dport { 8050-8059, 8070 } drop
tcp sport 8090 drop
}
}
"""


@pytest.mark.kernel
def test_a_port_in_the_middle_of_a_range_is_not_passed_over(stage: Stage) -> None:
    stage.do("sysctl -qw net.bridge.bridge-nf-call-iptables=1")
    stage.nft(MIDDLE)
    found = stage.why("web", "db", "tcp/8000-8100")
    assert found["result"] == "no"
    assert found["notes"] == [
        "of tcp/8000-8100 yes: 8000-8049, 8060-8069, 8071-8089, 8091-8100",
        "of tcp/8000-8100 no: 8050-8059, 8070, 8090",
    ]
    assert stage.why("web", "db", "tcp/8060-8069")["result"] == "yes"
    exact = found["fixes"][0]
    assert "tcp dport 8000-8100 accept" in exact["words"]
    assert not stage.connects("web", "db", 8055, seconds=1)
    stage.do(*exact["commands"])
    opened = [stage.connects("web", "db", port) for port in (8050, 8070, 8090)]
    assert opened == [True, True, True]
    assert not stage.connects("db", "web", 8055, seconds=1)


@pytest.mark.kernel
def test_the_matrix_says_perhaps_of_a_range_of_which_some_pass_and_names_the_port(stage: Stage) -> None:
    stage.do("sysctl -qw net.bridge.bridge-nf-call-iptables=1")
    stage.nft(MIDDLE)
    stage.site.write_text(stage.site.read_text().replace("tap: db.0}]}", "tap: db.0}], serves: [tcp/8000-8100]}"))
    with stage.site.open("a") as file:
        file.write("expect: [{from: web, to: db, service: tcp/8000-8100, verdict: reach}]\n")
    done = stage.lab.bascule(stage.host, "reach", str(stage.site), "--here", "--json")
    found = json.loads(done.stdout)
    said = {pair["service"]: pair["result"] for pair in found["pairs"] if (pair["from"], pair["to"]) == ("web", "db")}
    assert said["tcp/8000-8100"] == "perhaps"
    (violation,) = found["violations"]
    assert "tcp/8050" in violation["packet"]


@pytest.mark.kernel
def test_a_fix_at_layer_2_opens_one_way_and_one_service(stage: Stage) -> None:
    rules = "table bridge f {\nchain forward {\ntype filter hook forward priority -200\npolicy drop\n}\n}"
    stage.nft(rules)
    found = stage.why("web", "db", "tcp/80")
    exact = found["fixes"][0]
    assert [(one["from"], one["to"]) for one in exact["opens"]] == [("web", "db")]
    stage.do(*exact["commands"])
    assert stage.why("web", "db", "tcp/80")["result"] == "yes"
    assert stage.connects("web", "db", 80)
    assert not stage.connects("db", "web", 80, seconds=1)
    assert not stage.connects("web", "db", 81, seconds=1)
    assert not pings(stage.guests["web"], "10.0.0.6", seconds=2)


@pytest.mark.kernel
@pytest.mark.parametrize("tool", ["iptables-nft", "iptables-legacy", "ebtables-nft"])
def test_a_fix_for_a_ping_opens_nothing_else(stage: Stage, tool: str) -> None:
    stage.do("sysctl -qw net.bridge.bridge-nf-call-iptables=1", f"{tool} -P FORWARD DROP")
    exact = stage.why("web", "db", "icmp")["fixes"][0]
    assert not pings(stage.guests["web"], "10.0.0.6", seconds=2)
    stage.do(*exact["commands"])
    assert pings(stage.guests["web"], "10.0.0.6")
    assert not pings(stage.guests["db"], "10.0.0.5", seconds=2)
    assert not stage.connects("web", "db", 80, seconds=1)


def test_what_the_file_wants_is_told_on_a_machine_that_is_only_called_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its NICs are not here: the question is about the file, and not about this machine."""
    monkeypatch.setenv("BASCULE_STATE_DIR", str(tmp_path))
    monkeypatch.setattr("bascule.host.identity._is_named", lambda site, host: True)
    site = tmp_path / "site.yaml"
    site.write_text(
        """\
site: t
networks: {lan: {subnet: 10.0.0.0/24}}
hosts:
  h:
    nics: {nowhere7: {network: lan}, nowhere8: {network: lan, mac: "02:00:00:00:00:08"}}
    bridges: {br0: {uplink: nowhere7}}
guests:
  web: {host: h, nics: [{bridge: br0, address: 10.0.0.5/24}]}
machines:
  desk: {nics: [{network: lan, address: 10.0.0.9/24}]}
"""
    )
    found = workflow.why("desk", "web", Service("icmp"), site=str(site), wanted=True)
    assert found.result is Certainty.YES
    assert found.where == f"what {site} wants"


def test_a_pinned_nic_is_taken_as_the_file_pins_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Else no expectation of such a file could be told from the file."""
    monkeypatch.setenv("BASCULE_STATE_DIR", str(tmp_path))
    text = """\
site: t
networks: {lan: {subnet: 10.0.0.0/24}}
hosts:
  far:
    nics: {e0: {network: lan, mac: "02:00:00:00:00:08"}, e1: {path: "0000:03:00.1"}}
    bridges: {br0: {uplink: e0}}
guests:
  web: {host: far, nics: [{bridge: br0, address: 10.0.0.5/24}]}
machines:
  desk: {nics: [{network: lan, address: 10.0.0.9/24}]}
expect:
  - {from: desk, to: web, verdict: no-reach}
"""
    (found,) = questions.contradictions(parse(text.encode(), "t.yaml"))
    assert found.code == "EXPECT-CONTRADICTED"
