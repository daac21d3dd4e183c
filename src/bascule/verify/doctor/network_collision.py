"""A libvirt network whose subnet is in use elsewhere: libvirt itself compares equal prefixes of IPv4 only."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator

from bascule.model.values import IpNetwork, overlap
from bascule.verify.doctor.finding import DoctorFacts, Finding, Severity


def look(facts: DoctorFacts) -> Iterator[Finding]:
    """Each overlap of a libvirt network with the building's networks or the host's routes."""
    for network in facts.networks:
        for address in network.addresses:
            evidence = [*_building(facts, address.network), *_routes(facts, address.network, network.bridge)]
            if not evidence:
                continue
            autostart = " and starts with the host" if network.autostart else ""
            state = "is active" if network.active else "is defined"
            yield Finding(
                id="network-collision",
                severity=Severity.PROBLEM if network.active or network.autostart else Severity.WARNING,
                subject=f"libvirt network '{network.name}'",
                text=f"{address.network} {state}{autostart}, and the same addresses are in use elsewhere",
                evidence=tuple(evidence),
                fix=f"virsh net-edit {network.name} and take another subnet, or: virsh net-destroy {network.name}; "
                f"virsh net-autostart --disable {network.name}",
            )


def _building(facts: DoctorFacts, subnet: IpNetwork) -> Iterator[str]:
    for network in facts.site.networks.values() if facts.site else ():
        for other in network.subnets:
            if overlap(other, subnet):
                yield f"network '{network.name}' of the site file is {other}"


def _routes(facts: DoctorFacts, subnet: IpNetwork, bridge: str) -> Iterator[str]:
    if facts.state is None:
        return
    for link in facts.state.links.values():
        for address in link.addresses:
            own = ipaddress.ip_interface(address.ip).network
            if link.name != bridge and overlap(own, subnet):
                yield f"{link.name} has {address.ip}"
    for route in facts.state.routes:
        is_elsewhere = not route.is_default and route.dev != bridge
        if is_elsewhere and overlap(ipaddress.ip_network(route.dst, strict=False), subnet):
            yield f"route {route.dst} dev {route.dev}"
