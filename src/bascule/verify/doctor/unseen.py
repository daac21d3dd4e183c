"""What does not answer: a daemon that hangs or has ended hides what it keeps, and all looks well without it."""

from __future__ import annotations

from collections.abc import Iterator

from bascule.verify.doctor.finding import DoctorFacts, Finding, Severity


def look(facts: DoctorFacts) -> Iterator[Finding]:
    """A finding for each part of the host that could not be seen."""
    for fault in facts.unseen:
        name, _, text = fault.partition(": ")
        yield Finding(id="unseen", severity=Severity.PROBLEM, subject=name, text=text)
