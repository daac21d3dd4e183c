"""Bridges that are not the kernel's: what whoever keeps them knows to be wrong with them."""

from __future__ import annotations

from collections.abc import Iterator

from bascule.providers.registry import SWITCH_PROVIDERS
from bascule.verify.doctor.finding import DoctorFacts, Finding, Severity


def look(facts: DoctorFacts) -> Iterator[Finding]:
    """Those of this host, where there are some or the file needs some."""
    if facts.state is None:
        return
    host = facts.declared
    declared = {str(one.name): not one.by_kernel for one in host.bridges.values()} if host is not None else {}
    for provider in SWITCH_PROVIDERS:
        if provider.part(facts.state) is None and any(one.startswith(f"{provider.name}: ") for one in facts.unseen):
            continue  # whether there are any could not be seen, which is said elsewhere
        for one in provider.troubles(facts.state, declared):
            yield Finding(
                id=one.id,
                severity=Severity.PROBLEM if one.is_problem else Severity.WARNING,
                subject=one.subject,
                text=one.text,
                evidence=one.evidence,
                fix=one.fix,
                bridges=one.bridges,
            )
