"""Whether libvirt answers, and whose MACs are not one NIC's alone."""

from __future__ import annotations

from collections.abc import Iterator

from bascule.providers.guest_identity import conflicts
from bascule.verify.doctor.finding import DoctorFacts, Finding, Severity


def look(facts: DoctorFacts) -> Iterator[Finding]:
    """The connection, clones and duplicate MACs."""
    if facts.libvirt_fault is not None:
        yield Finding(
            id="libvirt",
            severity=Severity.NOTE,
            subject="libvirt",
            text=facts.libvirt_fault.message,
            fix=f"where guests are to run through libvirt: {facts.libvirt_fault.hint or 'journalctl -u libvirtd'}",
        )
    for problem in conflicts(facts.domains, facts.state):
        yield Finding(
            id="mac-twice",
            severity=Severity.PROBLEM,
            subject="MAC addresses",
            text=problem.message,
            evidence=("libvirt's domains, links of this host",),
            fix=problem.hint or "",
        )
