"""What a machine on several networks lets through, and where its ports lead, as tables; pure.

Who may go out is known by its address, as on a real firewall: the set holds the addresses that the file gives and,
once the leases are there, those that DHCP gave. Everything else is dropped on its way through.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from ipaddress import ip_network

from msgspec import Struct

from bascule.model.ruleset.normal_form import match, named_set
from bascule.model.ruleset.rules import (
    Chain,
    Ct,
    Hook,
    Meta,
    NamedSet,
    Nat,
    Payload,
    Range,
    Rule,
    SetReference,
    Statement,
    Table,
)
from bascule.model.site import Machine, Mode, Site
from bascule.model.values import IpNetwork, Service
from bascule.policy.network_rules import ACCEPT, HOOKS, MASQUERADE, prefix

TABLE, REDIRECTS = "bascule_twin", "bascule_services"


Leases = Mapping[str, Iterable[IpNetwork]]  # what DHCP gave each endpoint
RouterLinks = Sequence[tuple[str, str]]  # a machine's links, each with the network that it is on


def _addresses(site: Site, names: Iterable[str], leases: Leases) -> list[IpNetwork]:
    """The addresses of endpoints and networks, on the wires of the building."""
    found: list[IpNetwork] = []
    for name in names:
        if name in site.networks:
            found += site.networks[name].subnets
        found += [ip_network(address) for address in (*declared_addresses(site, name), *_behind(site, name))]
        found += leases.get(name, ())
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
        found += [str(a.ip) for nic in site.machines[name].nics for a in nic.addresses]
    if name in site.hosts:
        host = site.hosts[name]
        found += [str(a.ip) for link in host.links() for a in link.addresses]
    return found


def router_table(site: Site, machine: Machine, links: RouterLinks, leases: Leases | None = None) -> Table | None:
    """What a machine lets through, each with its answers, and whom it masquerades; None where it is everything."""
    leases = leases or {}
    if machine.masquerade is None and any(flow.is_everything for flow in machine.forwards or ()):
        return None
    rules = [Rule((match(Ct("state"), "established", "related", operator="in"), ACCEPT))]
    sets: list[NamedSet] = []
    postrouting: list[Rule] = []
    if machine.masquerade is not None:
        rule = machine.masquerade
        outward = [link for link, network in links if network == rule.to]
        out, inside = match(Meta("oifname"), *outward), match(Meta("iifname"), *outward, operator="!=")
        for one in _ends(site, rule.sources, [], ("saddr", "from"), leases):
            sets += one.sets
            rules.append(Rule((inside, out, *one.known_by, ACCEPT)))
            postrouting.append(Rule((out, *one.known_by, MASQUERADE)))
    for number, flow in enumerate(machine.forwards or ()):
        sides = [
            list(_ends(site, names, links, (side, f"{label}{number}_"), leases))
            for names, side, label in ((flow.sources, "saddr", "from"), (flow.targets, "daddr", "to"))
        ]
        sets += [one for side in sides for end in side for one in end.sets]
        rules += [
            Rule((*one.known_by, *other.known_by, *_what(flow.service), ACCEPT))
            for one in sides[0]
            for other in sides[1]
            if not (one.version and other.version) or one.version == other.version
        ]
    chains = [Chain("forward", tuple(rules), Hook("filter", "forward", 0, "drop"))]
    if postrouting:
        chains.append(Chain("postrouting", tuple(postrouting), HOOKS["postrouting"]))
    return Table("inet", TABLE, tuple(chains), tuple(sets))


class _End(Struct, frozen=True):
    """How the packets of one side are known: by the link of a network, else by an address of one family."""

    known_by: tuple[Statement, ...] = ()
    version: int = 0
    sets: tuple[NamedSet, ...] = ()


def _ends(
    site: Site, names: tuple[str, ...], links: RouterLinks, side: tuple[str, str], leases: Leases
) -> Iterator[_End]:
    """Everything by which one side is known; ``side`` is its field in a packet and what its sets are called."""
    if not names:
        yield _End()
        return
    address, label = side
    near = [link for link, network in links if network in names]
    if near:
        yield _End((match(Meta("iifname" if address == "saddr" else "oifname"), *near),))
    wired = {network for _, network in links}
    found = _addresses(site, [name for name in names if name not in wired], leases)
    for family, version in (("ip", 4), ("ip6", 6)):
        own = (prefix(one) for one in found if one.version == version)
        elements = named_set(f"{label}{version}", f"ipv{version}_addr", ["interval"], own)
        if near and not elements.elements:
            continue
        yield _End((match(Payload(family, address), SetReference(elements.name)),), version, (elements,))


def _what(service: Service | None) -> tuple[Statement, ...]:
    """A service in a rule; an echo is one of either family."""
    if service is None:
        return ()
    if service.protocol == "icmp":
        return (match(Meta("l4proto"), "icmp", "ipv6-icmp"),)
    span = service.first if service.first == service.last else Range(service.first, service.last)
    return (match(Payload(service.protocol, "dport"), span),)


def redirect_table(behind: Mapping[Service, int], others: Iterable[tuple[str, int]]) -> Table:
    """Each range of ports leads to one port, on which a socket is; the ports of ``others`` stay their own."""
    rules = [Rule((match(Payload(protocol, "dport"), port), ACCEPT)) for protocol, port in sorted(others)]
    rules += [
        Rule((match(Payload(one.protocol, "dport"), Range(one.first, one.last)), Nat("redirect", port=port)))
        for one, port in behind.items()
    ]
    return Table("inet", REDIRECTS, (Chain("prerouting", tuple(rules), HOOKS["prerouting"]),))
