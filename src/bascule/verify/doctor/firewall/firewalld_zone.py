"""The firewalld zone that a bridge is in: the default one often lets nothing of a guest's through to the host."""

from __future__ import annotations

from collections.abc import Iterator

from bascule.verify.doctor.finding import DoctorFacts, Finding, Severity

_LIBVIRT_ZONES = {"libvirt", "libvirt-routed"}


def look(facts: DoctorFacts) -> Iterator[Finding]:
    """Bridges in no zone of their own, and libvirt's bridges outside of libvirt's zones."""
    if facts.zones is None:
        return
    for network in facts.networks:
        zone = facts.zones.get(network.bridge)
        if network.active and network.bridge and network.mode != "open" and zone not in _LIBVIRT_ZONES:
            yield Finding(
                id="firewalld-zone",
                severity=Severity.PROBLEM,
                subject=f"libvirt network '{network.name}'",
                text="firewalld stands between its guests and the host's DHCP and DNS server",
                evidence=(f"{network.bridge} is in zone {zone or facts.default_zone + ' (the default)'}",),
                fix=f"firewall-cmd --zone=libvirt --change-interface={network.bridge}; systemctl restart libvirtd",
            )
    own = {network.bridge for network in facts.networks}
    loose = [name for name in facts.bridges if name not in facts.zones and name not in own]
    if loose:
        yield Finding(
            id="firewalld-zone",
            severity=Severity.NOTE,
            subject="firewalld",
            text=f"{', '.join(loose)}: in the default zone, which matters where the host itself has an address on it",
            evidence=(f"default zone: {facts.default_zone}",),
            fix=f"firewall-cmd --permanent --zone=ZONE --add-interface={loose[0]}",
        )
