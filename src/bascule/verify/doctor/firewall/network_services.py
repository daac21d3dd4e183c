"""The host's own INPUT rules before the DHCP and DNS server of a virtual network: a guest then gets no lease."""

from __future__ import annotations

from collections.abc import Iterator

from bascule.plan.virtual_network import needs_server
from bascule.topology.trace.any_frame.passages import Possibility, from_host, into_host
from bascule.topology.trace.any_frame.ways import FAMILY_OF
from bascule.verify.doctor.finding import DoctorFacts, Finding, Severity
from bascule.verify.doctor.firewall.fixes import LostService, input_fix

SERVICES = (("DHCP", 4, "udp", 67), ("DHCP", 6, "udp", 547), ("DNS", 4, "udp", 53), ("DNS", 6, "udp", 53))


def look(facts: DoctorFacts) -> Iterator[Finding]:
    """Each virtual network with a server of its own, whose guests cannot ask it."""
    for one, bridge in facts.virtual_networks():
        if facts.network is None or not needs_server(one):
            continue
        versions = {address.version for address in one.addresses}
        lost: list[LostService] = []
        for name, version, protocol, port in SERVICES:
            serves = name != "DHCP" or any(first.version == version for first, _ in one.ranges)
            if version in versions and serves:
                family = FAMILY_OF[version]
                asked = into_host(facts.network, bridge, family, protocol, port)
                answered = from_host(facts.network, bridge, family, protocol, port)
                for passage, is_answer in ((asked, False), (answered, True)):
                    if passage.stops or passage.result is Possibility.NO:
                        lost.append(LostService(name, passage, protocol, port, is_answer))
        if not lost:
            continue
        stops = dict.fromkeys(str(stop) for service in lost for stop in service.passage.losing)
        means = (
            "its guests get no lease" if any(service.name == "DHCP" for service in lost) else "its guests get no names"
        )
        words = [
            f"what {whom} on {bridge}: {', '.join(ports)}"
            for whom, is_answer in (("guests ask the network's server", False), ("the network's server answers", True))
            if (ports := [str(service) for service in lost if service.is_answer is is_answer])
        ]
        yield Finding(
            id="network-services",
            severity=Severity.PROBLEM,
            subject=one.name,
            text=f"the host's own firewall drops {'; and '.join(words)}; {means}",
            evidence=tuple(stops),
            fix=input_fix(facts, facts.network, bridge, lost),
            bridges=(bridge,),
        )
