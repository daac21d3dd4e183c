"""A DNS or DHCP server on all addresses: the one of a virtual network cannot start beside it."""

from __future__ import annotations

from collections.abc import Iterator

from bascule.verify.doctor.finding import DoctorFacts, Finding, Severity

_EVERYWHERE = ("0.0.0.0:", "*:", "[::]:")


def look(facts: DoctorFacts) -> Iterator[Finding]:
    """Sockets on port 53 or 67 that are bound to every address and have no link of their own."""
    taken = [(address, owner) for address, owner in facts.dns_sockets if address.startswith(_EVERYWHERE)]
    if not taken:
        return
    wanted = [network.name for network in facts.networks if network.mode != "open"]
    if facts.declared is not None:
        wanted += facts.declared.virtual_networks
    names = ", ".join(f"'{name}'" for name in dict.fromkeys(wanted))
    owners = ", ".join(dict.fromkeys(owner for _, owner in taken))
    yield Finding(
        id="name-servers",
        severity=Severity.PROBLEM if names else Severity.NOTE,
        subject=owners,
        text="it answers DNS or DHCP on every address"
        + (f", so the dnsmasq of virtual network {names} cannot start" if names else ""),
        evidence=tuple(f"{address} ({owner})" for address, owner in taken),
        fix="dnsmasq: bind-interfaces and interface=… in /etc/dnsmasq.conf; named: listen-on { 127.0.0.1; }",
    )
