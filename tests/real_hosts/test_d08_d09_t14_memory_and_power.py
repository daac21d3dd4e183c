"""D8, D9 and T14: memory that is short is a warning, a guest that is off is no fault, and counts are told truly."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from bascule.apply.host_status import HostStatus
from bascule.cli.show.metrics import metrics
from bascule.cli.show.verdicts import not_proven, show_outcomes, tally
from bascule.draw.report.page import CheckRow, Report, report
from bascule.model.site import Verdict
from bascule.rehearsal import Rehearsal
from bascule.verify.checks import Check
from bascule.verify.expectations import UNPROVEN, Outcome
from bascule.verify.live import Verified
from bascule.verify.witness import Witness
from bascule.workflow import load
from tests.real_hosts.field import BASE, Field

PRODUCTION = str(Path(__file__).parents[2] / "examples/production.yaml")
DARK = """\
  dark: {host: kvm, nics: [{bridge: br0, address: 192.168.1.22/24}]}
machines:
"""
GATEWAY = """\
site: firewall
networks:
  office: {subnet: 192.168.1.0/24, gateway: 192.168.1.1}
  back: {subnet: 10.9.0.0/24, gateway: 10.9.0.1}
hosts:
  kvm:
    nics:
      eth0: {network: office, address: 192.168.1.10/24, routes: [{to: 10.9.0.0/24, via: 192.168.1.20}]}
    bridges: {br0: {uplink: eth1}, lan: {uplink: none}}
guests:
  fw: {host: kvm, nics: [{bridge: br0, address: 192.168.1.20/24}, {bridge: lan, address: 10.9.0.1/24}]}
  app: {host: kvm, nics: [{bridge: lan, address: 10.9.0.2/24}]}
expect:
  - {from: kvm, to: app, verdict: reach}
  - {from: app, to: fw, verdict: reach}
"""
EXPECT = """\
expect:
  - {from: kvm, to: dark, verdict: reach}
  - {from: kvm, to: web, service: tcp/80, verdict: reach}
"""


def test_t14_counts_name_what_did_not_hold_and_of_how_many() -> None:
    wishes = load(PRODUCTION).expectations
    checks = [Check(id="x", subject="y", ok=True, detail="")] * 38
    outcomes = [
        Outcome(expectation=wish, observed=Verdict.REACH, ok=place > 1, witness=Witness(sentence=""))
        for place, wish in enumerate(wishes[:6])
    ]
    assert tally(checks, outcomes) == "2 of 6 expectations and 0 of 38 checks did not hold"
    off = [Outcome(expectation=wishes[0], observed=UNPROVEN, ok=None, witness=Witness(sentence=""))]
    unasked = [Check(id="x", subject="y", ok=None, detail="")]
    assert tally(checks + unasked, off) == "38 checks hold; 1 unproven; 1 could not be asked from here"
    failed = [Check(id="x", subject="y", ok=False, detail="")]
    assert tally(checks + failed, off) == "1 of 39 checks did not hold; 1 unproven"
    assert tally([], outcomes[:1]) == "1 of 1 expectation did not hold"
    assert tally([], outcomes[2:3]) == "1 expectation holds"
    assert tally([], off) == "nothing was checked; 1 unproven"
    assert show_outcomes(outcomes[2:3], columns=80).startswith("expectations: 1 holds\n")
    assert show_outcomes(outcomes[2:4], columns=80).startswith("expectations: 2 hold\n")


def test_t14_a_check_that_is_unproven_is_told_apart_from_one_that_was_not_asked() -> None:
    asked = Check(id="firewall", subject="br0", ok=None, detail="perhaps", unproven=True)
    assert asked.as_json()["unproven"] is True
    assert "unproven" not in Check(id="running", subject="web", ok=None, detail="is off").as_json()
    assert not_proven([asked], [], {"db": "off", "web": "off", "vpn": "paused"}, columns=80) == (
        "not proven (--strict): db, web are off; vpn is paused; br0, firewall"
    )
    seen = Verified(host=load(PRODUCTION).hosts["vmserver"], checks=(asked,), outcomes=())
    assert (seen.ok, seen.proven) == (True, False)
    fields: dict[str, Any] = {**dict.fromkeys(Rehearsal.__struct_fields__, ()), "checks": (asked,)}
    rehearsed = Rehearsal(**fields)
    assert (rehearsed.ok, rehearsed.proven) == (True, False)


def test_t14_what_is_not_known_has_no_number() -> None:
    """Drift that could not be looked for is not 0."""
    assert "\nbascule_drift 0\n" in metrics(HostStatus(words=""))
    assert "\nbascule_drift " not in metrics(HostStatus(words="", unseen=("libvirt: does not answer",)))


def test_t14_the_page_of_a_rehearsal_tells_unproven_from_not_asked() -> None:
    rows = [CheckRow(subject="br0", what="x", ok=None, detail="", unproven=unproven) for unproven in (True, False)]
    page = report(Report(site=load(PRODUCTION), ok=True, result="", checks=tuple(rows)))
    assert page.count('aria-label="unproven"') == page.count('aria-label="could not be asked"') == 1


def test_t14_questions_without_an_answer_are_told_together_where_that_is_true() -> None:
    """Of a guest that is off it was said that the host that it was to ask is off."""
    first = load(PRODUCTION).expectations[0]

    def unproven(source: str, target: str, words: str) -> Outcome:
        wish = replace(first, source=source, target=target)
        return Outcome(expectation=wish, observed=UNPROVEN, ok=None, witness=Witness(sentence=words))

    off = "unproven, because web is off"
    same = show_outcomes([unproven("router", "web", off), unproven("web", "kvm", off)], columns=200)
    assert f"2 questions: {off}\n" in same
    other = off.replace("web", "db")
    alike = show_outcomes([unproven("router", "web", off), unproven("router", "db", other)], columns=200)
    assert "tcp/80: unproven, because db, web are off" in alike
    apart = show_outcomes([unproven("web", "kvm", off), unproven("db", "kvm", other)], columns=200)
    assert "web, db → kvm tcp/80: unproven, because db, web are off" in apart


@pytest.mark.kernel
def test_d08_more_memory_than_the_host_has_is_a_warning(real_host: Field) -> None:
    path = real_host.site(BASE.replace("    host: kvm\n", "    host: kvm\n    memory: 68000GiB\n"))
    assert load(path).guests["web"].memory == 68000 << 30
    planned = real_host.document("plan", path)
    (note,) = [one for one in planned["notes"] if "cannot all run at once" in one["text"]]
    assert (note["kind"], note["subject"]) == ("warning", "kvm")
    done = real_host.bascule("apply", path, "--yes", "--no-confirm")
    assert done.returncode == 0, done.stderr
    assert "cannot all run at once" in " ".join(done.stdout.split())
    assert not real_host.document("capacity", path)["ok"]


@pytest.mark.kernel
def test_d09_a_guest_that_is_off_is_no_fault(real_host: Field) -> None:
    web = real_host.guest("web", "web.0", "192.168.1.21/24")
    real_host.listen(web, 80)
    path = real_host.site(BASE.replace("machines:\n", DARK).partition("expect:")[0] + EXPECT)
    assert real_host.bascule("apply", path, "--yes", "--no-confirm").returncode == 0
    said = real_host.document("verify", path)
    assert said["ok"], said
    dark = {one["id"]: one for one in said["checks"] if one["subject"] in {"dark", "dark.0"}}
    assert {one["ok"] for one in dark.values()} == {None}
    assert dark["tap-on-bridge"]["detail"] == "is not there, since its guest is off"
    outcomes = {one["to"]: one for one in said["expectations"]}
    assert (outcomes["dark"]["observed"], outcomes["dark"]["ok"]) == ("unproven", None)
    assert outcomes["dark"]["witness"]["sentence"] == "unproven, because dark is off"
    assert outcomes["web"]["ok"] is True
    done = real_host.bascule("verify", path)
    assert done.returncode == 0
    assert "1 unproven" in done.stdout
    for quiet in ((), ("-q",)):  # what makes it fail is said however little is
        strict = real_host.bascule(*quiet, "verify", path, "--strict")
        assert strict.returncode == 1
        assert "not proven (--strict): dark is off; kvm → dark icmp" in strict.stdout


@pytest.mark.kernel
@pytest.mark.parametrize("verdict", ["reach", "no-reach"])
def test_d09_what_goes_by_a_guest_that_is_off_is_unproven(real_host: Field, verdict: str) -> None:
    """The host looks for fw, by which its route to app leads: that nobody is there shows nothing of the firewall."""
    text = GATEWAY.replace("to: app, verdict: reach", f"to: app, verdict: {verdict}")
    text = text.replace("      eth0:", "      eth1: {network: office}\n      eth0:")
    path = real_host.site(text)
    assert real_host.bascule("apply", path, "--yes", "--no-confirm").returncode == 0
    app = real_host.guest("app", "app.0", "10.9.0.2/24", bridge="lan", site=text)
    real_host.ip("route add default via 10.9.0.1", app)
    said = {one["from"]: one for one in real_host.document("verify", path)["expectations"]}
    assert (said["kvm"]["observed"], said["kvm"]["ok"]) == ("unproven", None)
    assert "fw, which has 192.168.1.20 and is to forward it, is off" in said["kvm"]["witness"]["sentence"]
    assert said["app"]["witness"]["sentence"] == "unproven, because fw is off"


@pytest.mark.kernel
def test_d09_two_guests_that_are_off_are_named_in_english(real_host: Field) -> None:
    text = BASE.replace("machines:\n", DARK).partition("expect:")[0]
    path = real_host.site(f"{text}expect:\n  - {{from: web, to: dark, verdict: reach}}\n")
    assert real_host.bascule("apply", path, "--yes", "--no-confirm").returncode == 0
    (said,) = real_host.document("verify", path)["expectations"]
    assert said["witness"]["sentence"] == "unproven, because web and dark are off"
