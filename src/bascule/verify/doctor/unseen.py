"""What was not looked at: a daemon that hangs or has ended hides what it keeps; another machine is not our host."""

from __future__ import annotations

from collections.abc import Iterator

from bascule.host.identity import compare
from bascule.verify.doctor.finding import DoctorFacts, Finding, Severity


def look(facts: DoctorFacts) -> Iterator[Finding]:
    """A finding for each part of the host that could not be seen, and one where nothing says that this is the host."""
    if facts.site is not None and facts.state is not None and facts.declared is not None:
        other = compare(facts.site, facts.declared, facts.state).words
        if other:
            text = f"{other}; everything below is about this machine"
            yield Finding(id="this-host", severity=Severity.NOTE, subject=facts.host, text=text)
    for fault in facts.unseen:
        name, _, text = fault.partition(": ")
        yield Finding(id="unseen", severity=Severity.PROBLEM, subject=name, text=text)
