"""What a machine on several networks lets through, and where its ports lead, as tables; pure.

Who may go out is known by its address, as on a real firewall: the set holds the addresses that the file gives and,
once the leases are there, those that DHCP gave. Everything else is dropped on its way through.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from ipaddress import ip_network

from bascule.model.ruleset.rules import (
    Chain,
    Ct,
    Hook,
    Meta,
    Nat,
    Payload,
    Range,
    Rule,
    SetReference,
    Table,
    match,
    named_set,
)
from bascule.model.site import Machine, Mode, Service, Site
from bascule.model.values import IpNetwork
from bascule.policy.network_rules import ACCEPT, HOOKS, MASQUERADE, prefix

TABLE, REDIRECTS = "bascule_twin", "bascule_services"
FROM4, FROM6 = "from4", "from6"  # sets of those who may go out


def sources(site: Site, machine: Machine, leases: Mapping[str, Iterable[IpNetwork]] | None = None) -> list[IpNetwork]:
    """The addresses behind ``masquerade: from``; ``leases`` maps an endpoint to what DHCP gave it."""
    if machine.masquerade is None:
        return []
    found: list[IpNetwork] = []
    for name in machine.masquerade.sources:
        if name in site.networks:
            found += site.networks[name].subnets
        found += [ip_network(address) for address in (*declared_addresses(site, name), *_behind(site, name))]
        found += (leases or {}).get(name, ())
    return found


def _behind(site: Site, name: str) -> list[str]:
    """The addresses under which a guest in a NAT network is seen: its host's."""
    guest = site.guests.get(name)
    own = site.hosts[guest.host].virtual_networks if guest else {}
    nics = guest.nics if guest else ()
    is_hidden = any(nic.virtual_network and own[nic.virtual_network].mode is Mode.NAT for nic in nics)
    return declared_addresses(site, guest.host) if guest and is_hidden else []


def declared_addresses(site: Site, name: str) -> list[str]:
    """The addresses that the file gives an endpoint, without prefix length."""
    found: list[str] = []
    if name in site.guests:
        found += [str(a.ip) for nic in site.guests[name].nics for a in nic.addresses]
    if name in site.machines:
        found += [str(a.ip) for foot in site.machines[name].nics for a in foot.addresses]
    if name in site.hosts:
        host = site.hosts[name]
        found += [str(a.ip) for link in host.links() for a in link.addresses]
    return found


def router_table(outward: Iterable[str], allowed: Iterable[IpNetwork]) -> Table:
    """Forward only what comes from ``allowed`` and leaves by a link of ``outward``, and that under its address."""
    allowed, outward = tuple(allowed), tuple(outward)
    out, inside = match(Meta("oifname"), *outward), match(Meta("iifname"), *outward, operator="!=")
    sources = [match(Payload(family, "saddr"), SetReference(name)) for family, name in (("ip", FROM4), ("ip6", FROM6))]
    answers = match(Ct("state"), "established", "related", operator="in")
    forward = (Rule((answers, ACCEPT)), *(Rule((inside, out, source, ACCEPT)) for source in sources))
    postrouting = tuple(Rule((out, source, MASQUERADE)) for source in sources)
    return Table(
        "inet",
        TABLE,
        (
            Chain("forward", forward, Hook("filter", "forward", 0, "drop")),
            Chain("postrouting", postrouting, HOOKS["postrouting"]),
        ),
        tuple(
            named_set(
                name, f"ipv{version}_addr", ["interval"], (prefix(one) for one in allowed if one.version == version)
            )
            for version, name in ((4, FROM4), (6, FROM6))
        ),
    )


def redirect_table(behind: Mapping[Service, int], others: Iterable[tuple[str, int]]) -> Table:
    """Each range of ports leads to one port, on which a socket is; the ports of ``others`` stay their own."""
    rules = [Rule((match(Payload(protocol, "dport"), port), ACCEPT)) for protocol, port in sorted(others)]
    rules += [
        Rule((match(Payload(one.protocol, "dport"), Range(one.first, one.last)), Nat("redirect", port=port)))
        for one, port in behind.items()
    ]
    return Table("inet", REDIRECTS, (Chain("prerouting", tuple(rules), HOOKS["prerouting"]),))
