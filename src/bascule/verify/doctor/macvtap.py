"""The trap of macvtap: the guest talks to everybody but its own host."""

from __future__ import annotations

from collections.abc import Iterator

from bascule.model.site import PlugKind, Site
from bascule.plan.change import Note
from bascule.verify.doctor.finding import Facts, Finding, Severity

_TEXT = "host and guest cannot talk to each other there, for the NIC never turns a frame around"
_FIX = "plug it into a bridge, or give guest and host a second NIC on an isolated virtual network"


def notes(site: Site, host: str) -> tuple[Note, ...]:
    """What the plan says about each direct NIC."""
    return tuple(
        Note(kind="warning", subject=nic.guest, text=f"is plugged into {nic.into} directly (macvtap): {_TEXT}; {_FIX}")
        for nic in site.guest_nics(host)
        if nic.plug is PlugKind.DIRECT
    )


def look(facts: Facts) -> Iterator[Finding]:
    """Each guest with a direct NIC."""
    for nic in facts.site.guest_nics(facts.host) if facts.site and facts.host else ():
        if nic.plug is PlugKind.DIRECT:
            text = f"its NIC {nic.index} is a macvtap: {_TEXT}"
            yield Finding(
                id="macvtap",
                severity=Severity.WARNING,
                subject=nic.guest,
                text=text,
                evidence=(f"direct: {nic.into}",),
                fix=_FIX,
            )
