"""Of every site file of the examples and cases: what is said of all pairs at once is what is said of each."""

from __future__ import annotations

from itertools import permutations
from pathlib import Path

import pytest

from bascule.api import load
from bascule.errors import BasculeError
from bascule.model.values import Service
from bascule.questions import host_model
from bascule.topology.sweep.sweep import Sweep, exchange_of
from bascule.topology.trace.packet import Traffic
from bascule.topology.trace.walk import Walks
from bascule.verify.reachability.participant import HostModel
from bascule.verify.reachability.question import all_ends, ask, ways_between

ROOT = Path(__file__).parents[2]
SITES = sorted([*ROOT.glob("examples/*.yaml"), *ROOT.glob("tests/cases/*/site.yaml")])
TRAFFICS = (Traffic(protocol="icmp"), Traffic(protocol="tcp", port=80), Traffic(protocol="udp", port=53))
GUARDED = """\
site: guarded
networks: {lan: {subnet: [10.2.0.0/24, "2001:db8::/64"]}}
hosts: {h: {nics: {eth0: {network: lan}}, bridges: {br0: {uplink: eth0}}}}
guests:
  a: {host: h, nics: [{bridge: br0, address: [10.2.0.11/24, "2001:db8::11/64"], guard: strict}]}
  b: {host: h, nics: [{bridge: br0, address: [10.2.0.12/24, "2001:db8::12/64"], guard: strict}]}
  c: {host: h, nics: [{bridge: br0, address: [10.2.0.13/24, "2001:db8::13/64"], guard: mac}]}
  d: {host: h, nics: [{bridge: br0, address: [10.2.0.14/24, "2001:db8::14/64"]}]}
"""

SEVERAL_NICS = """\
site: several
networks: {lan: {subnet: 10.0.0.0/24, gateway: 10.0.0.1}, dmz: {subnet: 10.1.0.0/24, gateway: 10.1.0.1}}
hosts:
  h:
    nics: {eth0: {network: lan}, eth1: {network: dmz}}
    bridges: {br0: {uplink: eth0}, br1: {uplink: eth1}}
guests:
  web: {host: h, nics: [{bridge: br1, address: 10.1.0.11/24}, {bridge: br0, address: 10.0.0.11/24, isolated: true}]}
  app: {host: h, nics: [{bridge: br0, address: 10.0.0.12/24, isolated: true}]}
  api: {host: h, nics: [{bridge: br0, address: 10.0.0.13/24}]}
machines:
  r: {nics: [{network: lan, address: 10.0.0.1/24}, {network: dmz, address: 10.1.0.1/24}], forwards: all}
"""


def wanted_hosts(path: Path) -> list[HostModel]:
    """Each host of a file, as the file wants it."""
    site = load(str(path))
    return [host_model(site, host, wanted=True) for host in site.hosts.values()]


def unequal(given: HostModel) -> list[str]:
    """The pairs of which the sweep says something else than the walk."""
    ends = all_ends(given.network, given.known.values())
    sweep, walks = Sweep(given.network, ends, TRAFFICS), Walks(given.network, ends)
    found = []
    for one, other in permutations(given.known.values(), 2):
        for source, target, version, address in ways_between(given.network, one, other):
            for traffic in TRAFFICS:
                swept = sweep.answer(source, target, version, address, traffic)
                walked = exchange_of(walks.ask(source, target, address, version, traffic))
                if swept != walked:
                    found.append(f"{one.name} → {other.name} {traffic}: sweep {swept}, walk {walked}")
    return found


@pytest.mark.parametrize("path", SITES, ids=lambda path: path.stem if path.stem != "site" else path.parent.name)
def test_all_at_once_are_answered_as_each(path: Path) -> None:
    try:
        hosts = wanted_hosts(path)
    except BasculeError as refused:  # as its plan is
        pytest.skip(f"it is refused: {refused.problems[0].code}")
    assert [words for host in hosts for words in unequal(host)] == []


def test_guests_behind_a_guard_reach_each_other(tmp_path: Path) -> None:
    """Their guards compare bits of headers, which of each guest are others."""
    file = tmp_path / "site.yaml"
    file.write_text(GUARDED)
    (given,) = wanted_hosts(file)
    assert unequal(given) == []
    ends = all_ends(given.network, given.known.values())
    sweep = Sweep(given.network, ends, TRAFFICS)
    for one, other in permutations("abcd", 2):
        ways = list(ways_between(given.network, given.known[one], given.known[other]))
        assert {sweep.answer(*way, traffic).result.value for way in ways for traffic in TRAFFICS} == {"yes"}, (
            one,
            other,
        )


def test_what_a_guard_compares_is_told_of_all_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody is walked alone for bits that in another header would belong to both ends."""
    file = tmp_path / "site.yaml"
    file.write_text(GUARDED.replace("guard: mac", "guard: strict"))
    (given,) = wanted_hosts(file)
    alone: list[object] = []
    monkeypatch.setattr(Sweep, "_one", lambda self, *one: alone.append(one))
    sweep = Sweep(given.network, all_ends(given.network, given.known.values()), TRAFFICS)
    sweep.everything(4)
    sweep.everything(6)
    assert alone == []


@pytest.mark.parametrize("kind", ["linux", "openvswitch"])
def test_isolated_guests_do_not_reach_each_other_on_any_switch(tmp_path: Path, kind: str) -> None:
    file = tmp_path / "site.yaml"
    text = GUARDED.replace("guard: strict", "isolated: true").replace("guard: mac", "isolated: true")
    file.write_text(text.replace("uplink: eth0}", f"uplink: eth0, kind: {kind}}}"))
    (given,) = wanted_hosts(file)
    assert unequal(given) == []
    sweep = Sweep(given.network, all_ends(given.network, given.known.values()), TRAFFICS)
    for one, other in permutations("abcd", 2):
        ways = ways_between(given.network, given.known[one], given.known[other])
        found = {sweep.answer(*way, traffic).result.value for way in ways for traffic in TRAFFICS}
        assert found == ({"yes"} if "d" in {one, other} else {"no"}), (one, other)


def test_what_passes_a_switch_that_waits_for_rules_is_not_known(tmp_path: Path) -> None:
    file = tmp_path / "site.yaml"
    text = GUARDED.replace("guard: strict", "guard: off").replace("guard: mac", "guard: off")
    file.write_text(text.replace("uplink: eth0}", "uplink: eth0, kind: openvswitch, fail_mode: secure}"))
    (given,) = wanted_hosts(file)
    assert unequal(given) == []
    sweep = Sweep(given.network, all_ends(given.network, given.known.values()), TRAFFICS)
    for way in ways_between(given.network, given.known["a"], given.known["b"]):
        assert {sweep.answer(*way, traffic).result.value for traffic in TRAFFICS} == {"perhaps"}


@pytest.mark.parametrize("kind", ["linux", "openvswitch"])
def test_an_answer_goes_by_the_nic_on_the_askers_wire(tmp_path: Path, kind: str) -> None:
    """Its first packet reaches web by the router, and web answers on the wire on which the two are isolated."""
    file = tmp_path / "site.yaml"
    file.write_text(SEVERAL_NICS.replace("uplink: eth0}", f"uplink: eth0, kind: {kind}}}"))
    (given,) = wanted_hosts(file)
    assert unequal(given) == []
    known = given.known
    found = {
        (one, other): ask(given.network, known, known[one], known[other], Service("tcp", 80, 80)).answer.result.value
        for one, other in permutations(["web", "app", "api", "r"], 2)
    }
    assert {pair for pair, result in found.items() if result != "yes"} == {("app", "web"), ("web", "app")}
