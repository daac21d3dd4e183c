"""``check`` names expectations that the file itself contradicts, with the line that does; else it says nothing."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

from bascule import api
from bascule.cli import group
from bascule.questions import contradictions
from bascule.site import parse

ROOT = Path(__file__).parents[2]
SITE = """\
site: t
networks:
  lan: {subnet: 10.0.0.0/24, gateway: 10.0.0.1}
  office: {subnet: 10.1.0.0/24, gateway: 10.1.0.1}
hosts:
  h:
    nics: {e0: {network: lan}, e1: {network: office}}
    bridges: {br0: {uplink: e0, address: 10.0.0.2/24}, br1: {uplink: e1}}
    virtual_networks:
      lab: {mode: nat, subnet: 192.168.9.0/24, dhcp: 192.168.9.100-192.168.9.200}
      vault: {mode: isolated, subnet: 192.168.8.0/24}
guests:
  web: {host: h, nics: [{bridge: br0, address: 10.0.0.5/24}], serves: [tcp/70-90]}
  db: {host: h, nics: [{bridge: br0, address: 10.0.0.6/24, isolated: true}], serves: [tcp/5432]}
  log: {host: h, nics: [{bridge: br0, address: 10.0.0.7/24, isolated: true}], serves: [udp/514]}
  erp: {host: h, nics: [{bridge: br1, address: 10.1.0.5/24}], serves: [tcp/80]}
  builder: {host: h, nics: [{network: lab, address: dhcp}], serves: [tcp/80]}
  safe: {host: h, nics: [{network: vault, address: 192.168.8.5/24}], serves: [tcp/80]}
machines:
  fw: {nics: [{network: lan, address: 10.0.0.1/24}, {network: office, address: 10.1.0.1/24}], FORWARDS}
  pc: {nics: [{network: office, address: 10.1.0.50/24}]}
expect:
  - {from: FROM, to: TO, service: SERVICE, verdict: VERDICT}
"""
LINES = {line.split(":")[0].strip(): number for number, line in enumerate(SITE.splitlines(), 1)}
ALL = "forwards: all"
NONE = "forwards: []"
WEB_ONLY = "forwards: [{from: office, to: web, service: tcp/80}]"
HIDES = "masquerade: {from: [web], to: office}"
UNSAID = "serves: [tcp/22]"

CASES = [  # the machine's words, the question, the verdict that is asked for, and whose line contradicts it
    (ALL, "web erp tcp/80", "reach", ""),
    (ALL, "web erp tcp/80", "no-reach", "fw"),
    (NONE, "web erp tcp/80", "reach", "fw"),
    (NONE, "web erp tcp/80", "no-reach", ""),
    (UNSAID, "web erp tcp/80", "reach", ""),
    (UNSAID, "web erp tcp/80", "no-reach", ""),
    (WEB_ONLY, "pc web tcp/80", "reach", ""),
    (WEB_ONLY, "pc web tcp/80", "no-reach", "fw"),
    (WEB_ONLY, "pc web tcp/79-81", "reach", "fw"),  # one port of a range is enough
    (WEB_ONLY, "pc web tcp/79-81", "no-reach", "fw"),
    (WEB_ONLY, "pc web tcp/81-90", "no-reach", ""),
    (WEB_ONLY, "erp db tcp/5432", "reach", "fw"),
    (HIDES, "web erp tcp/80", "reach", ""),
    (HIDES, "log erp tcp/80", "reach", "fw"),
    (HIDES, "erp web tcp/80", "reach", "fw"),
    (ALL, "web db tcp/5432", "reach", ""),
    (ALL, "web db tcp/5432", "no-reach", "db"),
    (ALL, "log db tcp/5432", "reach", "db"),
    (ALL, "db log udp/514", "no-reach", ""),
    (ALL, "h web tcp/80", "no-reach", "web"),
    (ALL, "builder web tcp/80", "reach", ""),
    (ALL, "builder web tcp/80", "no-reach", "web"),
    (ALL, "safe web tcp/80", "reach", "safe"),
    (ALL, "web safe tcp/80", "reach", "safe"),
    (ALL, "web safe tcp/80", "no-reach", ""),
]


@pytest.mark.parametrize(("machine", "question", "verdict", "whose"), CASES)
def test_the_line_that_contradicts(machine: str, question: str, verdict: str, whose: str) -> None:
    source, target, service = question.split()
    text = SITE.replace("FORWARDS", machine).replace("FROM", source).replace("TO", target)
    text = text.replace("SERVICE", service).replace("VERDICT", verdict)
    found = contradictions(parse(text.encode(), "t.yaml"))
    assert [one.code for one in found] == (["EXPECT-CONTRADICTED"] if whose else []), found
    for one in found:
        assert one.place is not None
        assert one.place.line == len(SITE.splitlines())
        assert [place.line for _, place in one.also] == [LINES[whose]]
        assert ("must reach" in one.message) is (verdict == "reach")


@pytest.mark.parametrize("path", sorted((ROOT / "examples").glob("*.yaml")), ids=lambda path: path.name)
def test_no_example_contradicts_itself_but_the_slip(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    result = CliRunner().invoke(group, ["check", f"examples/{path.name}"], standalone_mode=False)
    slip = path.name == "slip.yaml"
    assert result.return_value == (65 if slip else 0), result.stdout
    if slip:
        assert "'guest_03' must not reach 'customer' by icmp, and by this file it does" in result.stdout
        assert " --> examples/slip.yaml:34:12 what lets it through" in result.stdout


def test_a_program_is_told_what_the_command_line_says(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    told = api.check("examples/slip.yaml")
    assert {one.code for one in told} == {"EXPECT-CONTRADICTED"}
    assert api.check(api.load("examples/slip.yaml")) == told
    assert api.check("examples/production.yaml") == ()
    assert {one.code for one in api.check("tests/errors/subnet-overlap.yaml")} == {"SUBNET-OVERLAP"}
