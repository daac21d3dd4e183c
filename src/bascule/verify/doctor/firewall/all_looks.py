"""The doctor's findings about others' firewall rules, for the verbs that speak of the bridges they concern."""

from __future__ import annotations

from collections.abc import Iterator

from bascule.model.site import Host, Site
from bascule.topology.trace.network import HostNetwork
from bascule.verify.checks import Check
from bascule.verify.doctor.finding import DoctorFacts, Finding, Severity
from bascule.verify.doctor.firewall import bridge_filter, forward_policy, network_services, own_arp, traps

LOOKS = (bridge_filter.look, forward_policy.look, network_services.look, own_arp.look, traps.translated)
BAD = {Severity.PROBLEM, Severity.WARNING}


def firewall_findings(site: Site, host: Host, network: HostNetwork) -> tuple[Finding, ...]:
    """What others' rules do to the frames of a host's bridges and virtual networks, where that is bad or unproven."""
    facts = DoctorFacts(state=network.state, network=network, site=site, host=host.name)
    return tuple(finding for look in LOOKS for finding in look(facts) if finding.severity in BAD)


def check_firewall(site: Site, host: Host, network: HostNetwork) -> Iterator[Check]:
    """The same as checks: what is lost does not hold, what may be lost is unproven."""
    for finding in firewall_findings(site, host, network):
        lost = finding.severity is Severity.PROBLEM
        yield Check(
            id="firewall", subject=finding.subject, ok=False if lost else None, detail=finding.words, unproven=not lost
        )
