"""A wireless NIC as an uplink, from what the file says and sysfs shows."""

from __future__ import annotations

from collections.abc import Iterator

from bascule.plan.target.unbridgeable import FIX, WHY, uses
from bascule.verify.doctor.finding import DoctorFacts, Finding, Severity


def look(facts: DoctorFacts) -> Iterator[Finding]:
    """Declared uplinks and macvtap NICs that are wireless."""
    if facts.site is None or facts.declared is None:
        return
    found = [(str(use.nic), use.words) for use in uses(facts.site, facts.declared)]
    for name, words in dict.fromkeys(found):
        if name in facts.wireless:
            yield Finding(
                id="wireless",
                severity=Severity.PROBLEM,
                subject=name,
                text=f"it is wireless and {words}: {WHY}",
                evidence=(f"/sys/class/net/{name}/wireless",),
                fix=FIX,
            )
