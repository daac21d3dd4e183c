"""A rehearsal in the words of its report page."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

from bascule import __version__
from bascule.cli.show.plan import NOTE_WORDS, file_rows, headline, note_rows, outages_of, rows_of
from bascule.cli.show.verdicts import tally
from bascule.draw.answers import answers
from bascule.draw.report.page import CheckRow, PlanPart, PlanRow, Report, report
from bascule.model.values import duration
from bascule.rehearsal import CHANGED
from bascule.verify.words import WORDS

if TYPE_CHECKING:
    from bascule.plan.change import Plan
    from bascule.rehearsal import Rehearsal


def show_report(seen: Rehearsal, site_file: str, *, now: datetime, chosen: int | None = None) -> str:
    """The page; ``chosen`` is the place of the expectation whose way it shows first."""
    facts = (
        ("site file", site_file),
        ("rehearsed", now.strftime("%Y-%m-%d %H:%M %Z").strip()),
        ("took", duration(seen.timings["total"])),
        ("start", seen.start),
        ("rights", seen.privilege),
        ("guests", seen.backend.words),
        ("bascule", __version__),
        ("sha256", seen.site.source.digest),
    )
    page = Report(
        site=seen.site,
        ok=seen.ok,
        result=tally(seen.checks, seen.outcomes),
        facts=facts,
        warnings=(f"{site_file} {CHANGED}",) if seen.changed else (),
        plans=tuple(_plan(name, plan) for name, plan in seen.plans.items()),
        checks=tuple(
            CheckRow(subject=c.subject, what=WORDS.get(c.id, c.id), ok=c.ok, detail=c.detail, unproven=c.unproven)
            for c in seen.checks
        ),
        answers=answers(seen.outcomes),
        notes=tuple((note.subject, note.text) for note in seen.notes),
        timings=tuple((name, value) for name, value in seen.timings.items() if name != "total"),
        reach=seen.reach,
        chosen=chosen,
    )
    return report(page)


def _plan(host: str, plan: Plan) -> PlanPart:
    reasons: set[str] = set()
    rows = []
    for row in rows_of(plan.changes):
        reason = "" if row.why in reasons else row.why
        reasons.add(row.why)
        rows.append(PlanRow(subject=row.subject, action=row.action, risk=row.risk, reason=reason))
    return PlanPart(
        headline=headline(host, plan),
        rows=tuple(rows),
        outages=tuple(outages_of(plan.changes)),
        files=tuple(file_rows(plan.files)),
        notes=tuple(
            (subject, words, text) for kind, words in NOTE_WORDS.items() for subject, text in note_rows(plan, kind)
        ),
        commands=tuple(str(command) for command in plan.commands),
    )
