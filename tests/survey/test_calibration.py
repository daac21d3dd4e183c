"""A claim of 0.9 and more is right in at least 98 of 100 cases, and the documentation shows the table."""

from __future__ import annotations

import os
from pathlib import Path

from tests.survey.calibration import of_chance, of_the_corpus, table

PAGE = Path(__file__).parents[2] / "docs/explanation/what-a-frame-proves.md"
BEGIN, END = "<!-- calibration: written by its test with UPDATE=1 -->\n", "<!-- end of calibration -->\n"
SURE, SHARE = 0.9, 0.98


def test_a_sure_claim_is_right_and_the_documentation_shows_how_often() -> None:
    corpus, chance = list(of_the_corpus()), list(of_chance())
    for claims, least in ((corpus, 8), (chance, 300)):
        sure = [claim for claim in claims if claim.confidence >= SURE]
        assert len(sure) >= least, "too few claims to judge by"
        wrong = [claim for claim in sure if not claim.right]
        assert len(wrong) <= (1 - SHARE) * len(sure), wrong
    every = [*corpus, *chance]
    shares = []
    for low, high in ((0.9, 1.0), (0.75, 0.9), (0.6, 0.75)):
        inside = [claim.right for claim in every if low <= claim.confidence < high]
        shares.append(sum(inside) / len(inside))
    assert shares == sorted(shares, reverse=True), "more confidence is more often right"
    rows = table(every)
    before, _, rest = PAGE.read_text().partition(BEGIN)
    shown, _, after = rest.partition(END)
    if os.environ.get("UPDATE"):
        PAGE.write_text(f"{before}{BEGIN}\n{rows}\n{END}{after}")
    else:
        assert shown.strip() == rows.strip()
