"""The trap of macvtap: the guest talks to everybody but its own host."""

from __future__ import annotations

from collections.abc import Iterator

from bascule.plan.target.macvtap import FIX, TRAP
from bascule.verify.doctor.finding import DoctorFacts, Finding, Severity


def look(facts: DoctorFacts) -> Iterator[Finding]:
    """Each guest with a direct NIC."""
    for nic in facts.declared_nics:
        if nic.shared_nic:
            text = f"its NIC {nic.index} is a macvtap: {TRAP}"
            yield Finding(
                id="macvtap",
                severity=Severity.WARNING,
                subject=nic.guest,
                text=text,
                evidence=(f"direct: {nic.into}",),
                fix=FIX,
            )
