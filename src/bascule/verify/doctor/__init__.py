"""The doctor: what causes trouble on this host, with evidence and a fix. A new look is one file and one line here."""

from __future__ import annotations

from bascule.verify.doctor import (
    guards,
    kvm,
    libvirt_reach,
    macvtap,
    managers,
    modules,
    name_servers,
    network_collision,
    nics,
    packages,
    switches,
    unseen,
    wireless,
)
from bascule.verify.doctor.finding import DoctorFacts, Finding, Severity
from bascule.verify.doctor.firewall import (
    bridge_filter,
    firewalld_zone,
    forward_policy,
    network_services,
    own_arp,
    traps,
)

__all__ = ["LOOKS", "DoctorFacts", "Finding", "Severity", "examine"]

LOOKS = (
    packages.look,
    kvm.look,
    modules.look,
    managers.look,
    nics.look,
    libvirt_reach.look,
    network_collision.look,
    bridge_filter.look,
    forward_policy.look,
    network_services.look,
    own_arp.look,
    traps.look,
    firewalld_zone.look,
    name_servers.look,
    wireless.look,
    macvtap.look,
    guards.look,
    switches.look,
    unseen.look,
)

_ORDER = (Severity.PROBLEM, Severity.WARNING, Severity.NOTE, Severity.OK)


def examine(facts: DoctorFacts) -> tuple[Finding, ...]:
    """All findings, the worst first."""
    found = [finding for look in LOOKS for finding in look(facts)]
    return tuple(sorted(found, key=lambda finding: _ORDER.index(finding.severity)))
