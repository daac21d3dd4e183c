"""Who is who: domain, NIC, MAC, tap, bridge, network, PCI address and IP in one row each. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from msgspec import Struct
from msgspec.structs import replace

from bascule.errors import Problem
from bascule.model.domain import Domain, DomainNic, Lease
from bascule.model.guarding import GuardLevel
from bascule.model.sightings import SOURCES, FdbEntry, Sighting
from bascule.model.site import Site
from bascule.model.state import HostState
from bascule.model.values import IfName, IpAddress, Mac, parse_mac
from bascule.policy.guards.ports import is_guarded
from bascule.providers.guest_identity import conflicts
from bascule.providers.guest_nics import find_nic
from bascule.providers.loaded_guards import guards_of


class GuestRow(Struct, frozen=True, kw_only=True):
    """One NIC of one domain. ``addresses`` are the best known first; ``remarks`` say what is not as it should be."""

    domain: Domain
    nic: DomainNic | None
    bridge: str = ""
    network: str = ""
    addresses: tuple[Sighting, ...] = ()
    heard_s: float | None = None  # since the bridge heard its MAC on its own tap (FDB)
    guard: str = ""  # that stands at its tap
    remarks: tuple[str, ...] = ()


class Inventory(Struct, frozen=True, kw_only=True):
    """All rows, and the MACs that are not one NIC's alone; ``unread`` is what this user may not look at."""

    rows: tuple[GuestRow, ...] = ()
    problems: tuple[Problem, ...] = ()
    unread: tuple[str, ...] = ()


LEASE_S = 3600.0  # libvirt gives an hour


def lease_sightings(leases: Iterable[Lease], *, now: float) -> tuple[Sighting, ...]:
    """Leases as sightings: one that ends in an hour was given just now."""
    return tuple(
        Sighting(
            mac=lease.mac,
            address=lease.address,
            source="lease",
            age_s=max(0.0, LEASE_S - (lease.expires - now)) if lease.expires else None,
        )
        for lease in leases
        if not lease.expires or lease.expires > now
    )


def agent_sightings(found: Mapping[str, tuple[str, ...]]) -> tuple[Sighting, ...]:
    """What a guest's own agent says: ``ip/prefix`` by MAC; loopback and link-local addresses say nothing."""
    import ipaddress

    seen = []
    for text, addresses in found.items():
        try:
            mac = parse_mac(text)
        except ValueError:
            continue
        for words in addresses:
            address = ipaddress.ip_interface(words).ip
            if not address.is_loopback and not address.is_link_local:
                seen.append(Sighting(mac=mac, address=address, source="agent", age_s=0.0))
    return tuple(seen)


def join(
    domains: Sequence[Domain],
    *,
    state: HostState | None = None,
    sightings: Iterable[Sighting] = (),
    fdb: Iterable[FdbEntry] = (),
    site: Site | None = None,
) -> Inventory:
    """Put together what each source knows. ``state`` is the host's links, ``site`` names the networks."""
    fdb = tuple(fdb)
    by_mac: dict[Mac, list[Sighting]] = {}
    for sighting in (*sightings, *(one for domain in domains for one in _declared(site, domain))):
        by_mac.setdefault(sighting.mac, []).append(sighting)
    networks = _networks(site, domains)
    guests = site.guests.values() if site else ()
    wanted = {str(nic.tap): nic.guarding.level for guest in guests for nic in guest.nics if is_guarded(nic)}
    heard = {(entry.mac, str(entry.port)): entry.age_s for entry in fdb if not entry.static}
    rows: list[GuestRow] = []
    for domain in domains:
        found = [_row(domain, nic, state, by_mac, networks, wanted) for nic in domain.nics]
        rows += [
            replace(row, heard_s=heard.get((row.nic.mac, row.nic.tap))) if row.nic and row.nic.mac else row
            for row in found or [GuestRow(domain=domain, nic=None)]
        ]
    return Inventory(rows=tuple(rows), problems=conflicts(domains, state, fdb))


def _row(
    domain: Domain,
    nic: DomainNic,
    state: HostState | None,
    by_mac: Mapping[Mac, list[Sighting]],
    networks: Mapping[tuple[str, str], str],
    wanted: Mapping[str, GuardLevel],
) -> GuestRow:
    link = state.links.get(IfName(nic.tap)) if state and nic.tap else None
    guards = guards_of(state) if state else {}
    said = nic.bridge or (nic.into if nic.kind == "bridge" else "")
    bridge = (link.master or "") if link is not None else said
    remarks = []
    if domain.running and link is not None and said and bridge != said:
        remarks.append(f"{domain.driver} says {said}, but its tap is on " + (bridge or "no bridge"))
    if domain.running and state is not None and nic.tap and link is None:
        remarks.append(f"its tap {nic.tap} is not on this host (another network namespace?)")
    if link is not None and not link.up:
        remarks.append(f"its tap {nic.tap} is down")
    if not nic.link_up:
        remarks.append("unplugged")
    later = next((other for other in domain.next_nics if other.mac == nic.mac), None)
    if domain.running and later is not None and (later.kind, later.into) != (nic.kind, nic.into):
        remarks.append(f"at its next start: {later.where}")
    guard = guards.get(nic.tap)
    if domain.running and link is not None and (said_of := wanted.get(nic.tap)) is not None and said_of != guard:
        remarks.append(f"the site file says guard: {said_of}, and {guard or 'none'} stands at its tap (bascule apply)")
    found = sorted(by_mac.get(nic.mac, ()) if nic.mac else (), key=_trust)
    best: dict[IpAddress, Sighting] = {}
    for sighting in found:
        best.setdefault(sighting.address, sighting)
    return GuestRow(
        domain=domain,
        nic=nic,
        bridge=bridge,
        network=nic.into if nic.kind == "network" else networks.get((domain.name, bridge or nic.into), ""),
        addresses=tuple(s for s in best.values() if not s.address.is_link_local),
        guard=guard or "",
        remarks=tuple(remarks),
    )


def _trust(sighting: Sighting) -> tuple[int, float]:
    return SOURCES.index(sighting.source), sighting.age_s if sighting.age_s is not None else 1e9


def _declared(site: Site | None, domain: Domain) -> Iterable[Sighting]:
    """What the file says of a guest's NICs, by the MACs that they really have."""
    guest = site.guests.get(domain.name) if site else None
    for nic in guest.nics if guest else ():
        there = find_nic(domain.nics, nic)
        mac = there.mac if there is not None else None
        for address in nic.addresses if mac else ():
            yield Sighting(mac=mac or nic.mac, address=address.ip, source="declared")


def _networks(site: Site | None, domains: Iterable[Domain]) -> dict[tuple[str, str], str]:
    """The building's network behind a link of a guest's host; of a guest that no file has, if all hosts agree on it."""
    if site is None:
        return {}
    behind: dict[str, dict[str, str | None]] = {}
    for host in site.hosts.values():
        found = {str(link.name): site.network_of_link(host, link.name) for link in host.links()}
        behind[host.name] = {link: network.name if network is not None else None for link, network in found.items()}
    networks: dict[tuple[str, str], str] = {}
    for name in dict.fromkeys(domain.name for domain in domains):
        hosts = [site.guests[name].host] if name in site.guests else list(behind)
        for link in dict.fromkeys(link for host in hosts for link in behind[host]):
            names = {behind[host][link] for host in hosts if link in behind[host]}
            if len(names) == 1 and (network := names.pop()) is not None:
                networks[name, link] = network
    return networks
