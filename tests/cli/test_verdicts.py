"""What is printed of checks and expectations that could not be proven."""

from __future__ import annotations

from bascule.cli.show.verdicts import show_checks, show_outcomes
from bascule.model.site import Expectation, Verdict
from bascule.model.values import Service
from bascule.verify.checks import Check
from bascule.verify.expectations import UNPROVEN, Outcome
from bascule.verify.witness import Witness


def unproven(source: str, target: str, off: str) -> Outcome:
    expected = Expectation(source=source, target=target, service=Service(protocol="icmp"), verdict=Verdict.REACH)
    return Outcome(
        expectation=expected, observed=UNPROVEN, ok=None, witness=Witness(sentence=f"unproven, because {off} is off")
    )


def test_three_hundred_names_without_order_are_some_and_a_number() -> None:
    """They were 190 lines."""
    names = [f"{a}{b}{c}" for a in "abcdef" for b in "ghijkl" for c in "mnopqrst"]
    checks = [Check(id="running", subject=name, ok=None, detail="is off: nothing of it can be asked") for name in names]
    outcomes = [unproven("desk", name, name) for name in names]
    shown = f"{show_checks(checks, columns=80)}\n{show_outcomes(outcomes, columns=80)}"
    assert len(shown.splitlines()) <= 6
    assert " ".join(shown.split()).count("agm, agn, ago, agp, agq and 283 more") == 3
