"""Who configures this host's network at boot: nobody, one, or two that will fight."""

from __future__ import annotations

from collections.abc import Iterator

from bascule.model.dialects import persistent
from bascule.verify.doctor.finding import DoctorFacts, Finding, Severity


def look(facts: DoctorFacts) -> Iterator[Finding]:
    """The configuration systems that act at boot and have something to configure."""
    if facts.managers is None:
        return  # in a network namespace of our own nobody does
    found = facts.managers.candidates
    chosen = facts.declared.persist if facts.declared is not None else None
    names = ", ".join(each.dialect for each in found)
    evidence = tuple(map(str, found))
    if len(found) > 1:
        others = [each for each in found if each.dialect != chosen]
        off = "; ".join(f"systemctl disable --now {each.service}" for each in others)
        yield Finding(
            id="managers",
            severity=Severity.WARNING if chosen else Severity.PROBLEM,
            subject="configuration",
            text=f"{len(found)} systems configure this host's network and will conflict at the next boot: {names}"
            + (f"; the site file chooses {chosen}" if chosen else ""),
            evidence=evidence,
            fix=f"write 'persist: NAME' under the host in the site file, and turn the other off ({off})"
            if not chosen
            else off,
        )
    elif found and found[0].dialect not in persistent():
        yield Finding(
            id="managers",
            severity=Severity.NOTE,
            subject="configuration",
            text=f"{found[0].service} configures this host's network, and Bascule does not write its files: "
            "a change will be lost at the next restart",
            evidence=evidence,
            fix="write what 'bascule render SITE --dialect commands' says into its files",
        )
    elif found:
        yield Finding(
            id="managers",
            severity=Severity.OK,
            subject="configuration",
            text=f"{found[0].service} configures this host's network; changes are kept in its files ({names})",
            evidence=evidence,
        )
    else:
        yield Finding(
            id="managers",
            severity=Severity.NOTE,
            subject="configuration",
            text="no configuration system manages this host's network: a change will be lost at the next restart",
            fix="enable systemd-networkd, NetworkManager or ifupdown, or write 'persist: NAME' in the site file",
        )
