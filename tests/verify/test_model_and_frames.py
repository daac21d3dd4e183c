"""The model beside the frames: where the two contradict each other, one of them is wrong, and the rehearsal fails."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from bascule.cli.show import output_style
from bascule.cli.show.verdicts import show_failures, show_outcomes
from bascule.model.site import Expectation, Verdict
from bascule.model.values import Service
from bascule.rehearsal import Rehearsal
from bascule.site import parse
from bascule.topology.trace.answer import Certainty
from bascule.twin import BackendChoice
from bascule.verify.expectations import Outcome
from bascule.verify.reachability.model_verdict import ModelVerdict
from bascule.verify.witness import Hop, Witness

ARRIVED = (Hop("db", "eth0", "in"),)
WISH = Expectation(source="web", target="db", service=Service("tcp", 5432, 5432), verdict=Verdict.REACH)


def outcome(observed: str, result: Certainty, hops: tuple[Hop, ...] = ()) -> Outcome:
    witness = Witness(sentence="left web", hops=hops)
    said = ModelVerdict(result=result, words="policy DROP of ip filter FORWARD (Docker)")
    expected = WISH if observed == "reach" else replace(WISH, verdict=Verdict.NO_REACH)
    return Outcome(expectation=expected, observed=observed, ok=True, witness=witness, model=said)


@pytest.mark.parametrize(
    ("observed", "result", "hops", "apart"),
    [
        ("reach", Certainty.NO, (), True),
        ("no-reach", Certainty.YES, (), True),
        ("no-reach", Certainty.YES, ARRIVED, False),  # it arrives, and nobody listens: no model of ways knows that
        ("reach", Certainty.YES, (), False),
        ("no-reach", Certainty.NO, (), False),
        ("reach", Certainty.PERHAPS, (), False),
        ("no-reach", Certainty.UNKNOWN, (), False),
        ("unproven", Certainty.YES, (), False),
    ],
)
def test_a_contradiction_fails_the_rehearsal(
    observed: str, result: Certainty, hops: tuple[Hop, ...], apart: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = outcome(observed, result, hops)
    assert one.disagrees is apart
    told = one.as_json()["model"]
    assert told == {"result": result.value, "words": "policy DROP of ip filter FORWARD (Docker)", "agrees": not apart}
    seen = Rehearsal(
        site=parse(b"site: t\nhosts: {h: {}}\n", "t.yaml"),
        backend=BackendChoice.of("namespace"),
        privilege="root",
        plans={},
        checks=(),
        outcomes=(one,),
        notes=(),
        timings={},
    )
    assert seen.ok is not apart
    monkeypatch.setattr(output_style, "_style", output_style.OutputStyle(detail=1))
    shown = show_failures([], [one], columns=200) + show_outcomes([one], columns=200, model=True)
    assert shown.count(f"model said {result.value}") == shown.count(f"frames said {observed}") == 1
    assert ("DISAGREE" in shown) is apart
