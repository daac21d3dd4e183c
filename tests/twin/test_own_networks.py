"""Virtual networks and shared NICs in the twin: the verdicts, and what is said of them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from bascule.host.live import LiveHost
from bascule.model.site import Mode
from bascule.site import parse
from bascule.workflow import rehearse
from tests import prefork
from tests.guests.test_virtual_network import ADDRESSES, ALWAYS, EXPECTED, FORWARDED
from tests.guests.wires import HOST, LAN
from tests.twin.stage import inside

pytestmark = pytest.mark.kernel

ROOT = Path(__file__).parents[2]
ENDS = {"guest to guest": "g1 g2", "guest to host": "g1 h", "host to guest": "h g1", "guest to lan": "g2 lan",
        "lan to guest": "lan g1", "lan to forward": "lan h", "sibling to forward": "g2 h"}  # fmt: skip
OWNERS = {HOST: "h", LAN: "lan", "192.168.122.1": "h", **{a.partition("/")[0]: name for name, a in ADDRESSES.items()}}


def site_of(mode: Mode, table: Mapping[str, str | None]) -> str:
    """The street of the other tests as a site file, with the table as its expectations."""
    forwards = ", forwards: [{host: 2222, to: g1, service: tcp/22}]" if "lan to forward" in table else ""
    lines = [
        "site: street",
        "networks: {wire: {subnet: 10.9.0.0/24}}",
        "hosts:",
        f"  h: {{nics: {{eno1: {{network: wire, address: {HOST}/24}}}}, serves: [tcp/80], virtual_networks:",
        f"    {{lab: {{mode: {mode}, subnet: 192.168.122.0/24{forwards}}}}}}}",
        "guests:",
        *(f"  {name}: {{host: h, nics: [{{network: lab, address: {a}}}], serves: [tcp/80, tcp/22]}}"
          for name, a in ADDRESSES.items()),
        "machines:",
        f"  lan: {{nics: [{{network: wire, address: {LAN}/24, routes: [{{to: 192.168.122.0/24, via: {HOST}}}]}}],",
        "    serves: [tcp/80]}",
        "expect:",
    ]  # fmt: skip
    for key, seen in table.items():
        source, target = ENDS[key].split()
        port = 2222 if key.endswith("forward") else 80
        verdict = f"verdict: reach, seen_as: {OWNERS[seen]}" if seen else "verdict: no-reach"
        lines.append(f"  - {{from: {source}, to: {target}, service: tcp/{port}, {verdict}}}")
    return "\n".join((*lines, ""))


def played(text: str, tmp_path: Path) -> Any:
    file = tmp_path / "site.yaml"
    file.write_text(text)
    return rehearse(str(file))


@pytest.mark.parametrize("mode", list(Mode))
def test_the_twins_verdicts_are_libvirts(mode: Mode, tmp_path: Path) -> None:
    """One table: tests/guests/test_libvirt.py asks it of libvirt's own networks."""
    seen = played(site_of(mode, ALWAYS | EXPECTED[mode]), tmp_path)
    assert [(str(x.expectation.source), x.witness.sentence) for x in seen.outcomes if x.ok is not True] == []
    assert len(seen.outcomes) == len(ENDS) - len(FORWARDED)
    assert [check for check in seen.checks if check.ok is not True] == []
    assert {check.id for check in seen.checks} >= {"rules", "name-server", "names", "traffic-within", "way-back"}


def test_a_forward_leads_in_for_everybody_and_says_so(tmp_path: Path) -> None:
    seen = played(site_of(Mode.NAT, EXPECTED[Mode.NAT] | FORWARDED), tmp_path)
    assert [x.witness.sentence for x in seen.outcomes if x.ok is not True] == []
    said = {x.expectation.source: x.witness.sentence for x in seen.outcomes if x.expectation.service.first == 2222}
    file = tmp_path / "site.yaml"
    assert said["lan"].startswith(
        f"left lan, crossed eno1, was forwarded by h to g1 tcp/22 ({file}:5), crossed vn-lab, arrived at g1, reply from"
    )
    assert f"was forwarded by h to g1 tcp/22 ({file}:5) as 192.168.122.1, crossed vn-lab" in said["g2"]


@pytest.mark.parametrize("mode", list(Mode))
def test_the_contrary_of_each_verdict_is_broken_and_names_the_line(mode: Mode, tmp_path: Path) -> None:
    table: dict[str, str | None] = {
        key: None if seen else LAN if key.startswith("lan") else HOST for key, seen in EXPECTED[mode].items()
    }
    seen = played(site_of(mode, table), tmp_path)
    assert [x.ok for x in seen.outcomes] == [False] * len(table)
    places = {x.witness.place.line for x in seen.outcomes if x.witness.place}
    assert places == {5}, [x.witness.sentence for x in seen.outcomes]
    words = {
        Mode.NAT: {"network lab lets in answers only", "network lab is nat and lets g2 out"},
        Mode.ISOLATED: {"network lab is isolated: nothing goes in", "network lab is isolated: nothing goes out"},
        Mode.ROUTED: {"network lab is routed and lets g1 be reached", "network lab is routed and lets g2 out"},
        Mode.OPEN: {"network lab is open and lets g1 be reached", "network lab is open and lets g2 out"},
    }
    assert {x.witness.because for x in seen.outcomes} == words[mode]


def example(name: str) -> Any:
    done = prefork.run("rehearse", f"examples/{name}.yaml", "--json", cwd=ROOT)
    assert done.returncode == 0, done.stdout + done.stderr
    return json.loads(done.stdout)


def sentences(document: Any) -> dict[tuple[str, str], str]:
    return {(x["from"], x["to"]): x["witness"]["sentence"] for x in document["expectations"]}


def test_the_example_of_nat_tells_both_reasons_why_nothing_gets_in() -> None:
    document = example("nat")
    assert document["ok"] is True
    assert [note for note in document["notes"] if note["kind"] == "unsupported"] == []
    said = sentences(document)
    assert said["colleague", "builder"].endswith(
        "192.168.122.0/24 exists inside of vmhost only: network lab, nat (examples/nat.yaml:13)"
    )
    assert said["prowler", "builder"] == (
        "left prowler, crossed eno1, rejected by vmhost: network lab lets in answers only (examples/nat.yaml:13)"
    )
    assert "was forwarded by vmhost as 10.20.0.10, crossed eno1" in said["builder", "colleague"]
    leases = [check for check in document["checks"] if check["id"] == "lease"]
    assert [check["subject"] for check in leases] == ["builder"]


def test_the_example_of_the_other_modes_holds_in_both_directions() -> None:
    document = example("routed")
    said = sentences(document)
    assert "printer has no route by vmhost to 10.20.40.0/24: network farm, routed" in said["printer", "web"]
    assert "its answer left printer, arrived at router, not forwarded" in said["web", "printer"]
    assert "rejected by vmhost: network vault is isolated: nothing goes in" in said["web", "store"]
    assert "crossed vn-lawn, was forwarded by vmhost, crossed vn-farm, arrived at web" in said["probe", "web"]
    trap = [note["text"] for plan in document["plans"] for note in plan["notes"] if note["subject"] == "camera"]
    assert any("host and guest cannot talk to each other" in text for text in trap)


SHARED = """
site: shared
networks: {office: {subnet: 10.20.0.0/24}}
hosts:
  h:
    nics: {eno1: {network: office, address: 10.20.0.10/24}}
    serves: [tcp/22]
guests:
  a: {host: h, nics: [{direct: eno1, address: 10.20.0.31/24}], serves: [tcp/80]}
  b: {host: h, nics: [{direct: eno1, address: dhcp}], serves: [tcp/80]}
machines:
  desk:
    nics: [{network: office, address: 10.20.0.50/24}]
    dhcp: {network: office, range: 10.20.0.100-10.20.0.120}
expect:
  - {from: desk, to: a, service: tcp/80, verdict: reach, seen_as: desk}
  - {from: a, to: b, service: tcp/80, verdict: reach}
  - {from: h, to: a, service: tcp/80, verdict: no-reach}
  - {from: a, to: h, service: tcp/22, verdict: no-reach}
"""


def test_macvtaps_trap_is_a_verdict_with_its_witness(tmp_path: Path) -> None:
    file = tmp_path / "site.yaml"
    file.write_text(SHARED)
    seen = rehearse(str(file))
    assert [x.ok for x in seen.outcomes] == [True] * 4, [x.witness.sentence for x in seen.outcomes]
    for outcome in seen.outcomes[2:]:
        assert outcome.witness.sentence.endswith(
            f"h and a share eno1 by macvtap, which passes nothing between them ({file}:9)"
        )
        assert "desk reaches" in outcome.witness.control
    checks = {(check.subject, check.id): check for check in seen.checks}
    assert checks["a", "in-broadcast-domain"].ok
    assert checks["b", "like-any-nic"].ok
    assert "offers it 10.20.0.1" in checks["b", "like-any-nic"].detail
    assert checks["a", "arp-from-host"].ok is None
    assert "passes nothing between host and guest" in checks["a", "arp-from-host"].detail


def test_two_hosts_may_have_the_same_network_and_their_guests_stay_apart(tmp_path: Path) -> None:
    lab = "virtual_networks: {{lab: {{mode: nat, subnet: 192.168.122.0/24}}}}"
    host = f"{{{{nics: {{{{eno1: {{{{network: wire, address: 10.9.0.{{}}/24}}}}}}}}, {lab}}}}}"
    guest = "{{host: h{0}, nics: [{{network: lab, address: 192.168.122.{0}5/24}}], serves: [tcp/80]}}"
    text = "\n".join(
        [
            "site: twins",
            "networks: {wire: {subnet: 10.9.0.0/24}}",
            f"hosts: {{h1: {host.format(1)}, h2: {host.format(2)}}}",
            f"guests: {{g1: {guest.format(1)}, g2: {guest.format(2)}}}",
            "expect:",
            "  - {from: g1, to: g2, service: tcp/80, verdict: no-reach}",
            "  - {from: g1, to: h2, verdict: reach, seen_as: h1}",
        ]
    )
    file = tmp_path / "site.yaml"
    file.write_text(text)
    seen = rehearse(str(file))
    assert seen.ok, [(x.ok, x.witness.sentence) for x in seen.outcomes]
    assert "exists inside of h2 only" in seen.outcomes[0].witness.sentence


def test_a_dead_guest_behind_nat_is_unproven(tmp_path: Path) -> None:
    """The rules alone must not count as proof."""
    from bascule.twin import Twin

    file = tmp_path / "site.yaml"
    file.write_text(site_of(Mode.NAT, {"lan to guest": None}))
    site = parse(file.read_bytes(), str(file))

    def work() -> tuple[str, bool | None, str]:
        from bascule.apply.engine import execute
        from bascule.apply.prepare import look
        from bascule.plan.make import make_plan
        from bascule.system.run import run
        from bascule.verify.expectations import judge

        with Twin.raise_(site) as twin:
            host = site.hosts["h"]
            execute(make_plan(site, host, look(site, host, twin.host("h")))[0], where=LiveHost(twin.host("h")))
            twin.plug_guests()
            twin.start_guests()
            run(("ip", "link", "set", "eth0", "down"), namespace=twin.host("g1"))
            (outcome,) = judge(site, twin.probe_domain())
            return outcome.observed, outcome.ok, outcome.witness.sentence

    observed, ok, sentence = inside(work)
    assert (observed, ok) == ("unproven", False)
    assert "g1 does not answer its own network either" in sentence


SIX = """
site: v6
networks:
  office: {subnet: "2001:db8:20::/64"}
hosts:
  h1:
    nics:
      eno1: {network: office, address: "2001:db8:20::10/64"}
    virtual_networks:
      lab: {mode: nat, subnet: "fd00:1::/64", forwards: [{host: 2222, to: a, service: tcp/22}]}
      den: {mode: isolated, subnet: "fd00:2::/64"}
      road: {mode: routed, subnet: "2001:db8:40::/64"}
guests:
  a: {host: h1, nics: [{network: lab, address: "fd00:1::5/64"}], serves: [tcp/22]}
  b: {host: h1, nics: [{network: lab, address: "fd00:1::6/64"}], serves: [tcp/80]}
  d: {host: h1, nics: [{network: den, address: "fd00:2::5/64"}], serves: [tcp/80]}
  e: {host: h1, nics: [{network: road, address: "2001:db8:40::5/64"}], serves: [tcp/80]}
machines:
  desk: {nics: [{network: office, address: "2001:db8:20::50/64"}], serves: [tcp/80]}
  sneak:
    nics:
      - network: office
        address: "2001:db8:20::51/64"
        routes:
          - {to: "fd00:1::/64", via: "2001:db8:20::10"}
          - {to: "fd00:2::/64", via: "2001:db8:20::10"}
          - {to: "2001:db8:40::/64", via: "2001:db8:20::10"}
    serves: [tcp/80]
expect:
  - {from: a, to: desk, service: tcp/80, verdict: reach, seen_as: h1}
  - {from: desk, to: a, service: tcp/22, verdict: no-reach}
  - {from: sneak, to: a, service: tcp/22, verdict: no-reach}
  - {from: desk, to: h1, service: tcp/2222, verdict: reach}
  - {from: b, to: h1, service: tcp/2222, verdict: reach}
  - {from: sneak, to: d, service: tcp/80, verdict: no-reach}
  - {from: sneak, to: d, verdict: no-reach}
  - {from: sneak, to: e, verdict: reach}
  - {from: e, to: sneak, service: tcp/80, verdict: reach, seen_as: e}
  - {from: e, to: desk, service: tcp/80, verdict: no-reach}
  - {from: d, to: desk, verdict: no-reach}
"""


def test_ipv6_alone_gives_the_same_verdicts_and_an_isolated_guest_no_router(tmp_path: Path) -> None:
    file = tmp_path / "site.yaml"
    file.write_text(SIX)
    seen = rehearse(str(file))
    assert seen.ok, [(x.ok, x.witness.sentence) for x in seen.outcomes if x.ok is not True]
    said = {(x.expectation.source, x.expectation.target): x.witness.sentence for x in seen.outcomes}
    assert said["d", "desk"].startswith("never left d: no route")
    assert "desk has no route back by h1 to 2001:db8:40::5" in said["e", "desk"]
