"""MACs that must be one NIC's alone: over domains (also shut off), links, bridges and what the wire shows. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from msgspec import Struct

from bascule.errors import BasculeError, Problem
from bascule.model.domain import Domain
from bascule.model.sightings import FdbEntry
from bascule.model.site import GuestNic
from bascule.model.state import HostState, Link
from bascule.model.values import Mac, series
from bascule.plan.change import Note


class MacHolder(Struct, frozen=True, kw_only=True):
    """Who has a MAC."""

    words: str
    domain: str = ""


ANOTHER = "another machine has it, perhaps this guest itself on another host"


def _domain(domain: Domain) -> str:
    return f"domain '{domain.name}'" + ("" if domain.running else " (shut off)")


def _link(link: Link) -> str:
    return f"{'bridge' if link.is_bridge else 'link'} {link.name} of this host"


def identity_notes(
    new: Iterable[GuestNic], domains: Iterable[Domain], state: HostState, learned: Sequence[FdbEntry], host: str
) -> Iterator[Note]:
    """What a plan says of MACs that two have. Raises BasculeError for one that a new NIC cannot have."""
    new, domains = tuple(new), tuple(domains)
    if problems := taken(new, domains, state):
        raise BasculeError(*problems)
    yield from (Note(kind="warning", subject=host, text=one.message) for one in conflicts(domains, state, learned))
    yield from alive_elsewhere(new, learned)


def conflicts(
    domains: Iterable[Domain], state: HostState | None = None, fdb: Iterable[FdbEntry] = ()
) -> tuple[Problem, ...]:
    """One problem for each MAC that two have; two domains that share all of their MACs are a clone and its original."""
    domains = tuple(domains)
    holders: dict[Mac, list[MacHolder]] = {}
    for domain in domains:
        for mac in dict.fromkeys(nic.mac for nic in (*domain.nics, *domain.next_nics) if nic.mac):
            holders.setdefault(mac, []).append(MacHolder(words=_domain(domain), domain=domain.name))
        twice = [nic.mac for nic in domain.nics if nic.mac]
        for mac in sorted({mac for mac in twice if twice.count(mac) > 1}):
            holders[mac].append(MacHolder(words=f"another NIC of '{domain.name}'"))
    for link in state.links.values() if state else ():
        if link.mac in holders and not _is_host_end(link.mac, domains):
            holders[link.mac].append(MacHolder(words=_link(link)))
    problems = list(_clones(domains, holders))
    problems += [_shared(mac, found) for mac, found in holders.items() if len(found) > 1]
    problems += _reserved(domains)
    return (*problems, *_elsewhere(domains, fdb))


def taken(nics: Iterable[GuestNic], domains: Iterable[Domain], state: HostState | None = None) -> tuple[Problem, ...]:
    """One problem for each NIC that is about to be made with a MAC that a domain or a link of this host has."""
    domains = tuple(domains)
    problems = []
    for nic in nics:
        holders = [
            _domain(domain)
            for domain in domains
            if domain.name != nic.guest and any(other.mac == nic.mac for other in (*domain.nics, *domain.next_nics))
        ]
        holders += [
            _link(link)
            for link in (state.links.values() if state else ())
            if link.mac == nic.mac and not _is_host_end(nic.mac, domains)
        ]
        if holders:
            problems.append(
                Problem(
                    code="MAC-TAKEN",
                    message=f"{series(holders)} already has the MAC {nic.mac}; "
                    f"'{nic.guest}', NIC {nic.index}, cannot have it",
                    place=nic.place if nic.place.line else None,
                    hint="give it another `mac:` in the site file, or the other one",
                )
            )
    return tuple(problems)


def alive_elsewhere(nics: Iterable[GuestNic], fdb: Iterable[FdbEntry]) -> tuple[Note, ...]:
    """A word for each NIC that is about to be made with a MAC that a bridge has just heard."""
    wanted = {nic.mac: nic for nic in nics}
    return tuple(
        Note(
            kind="warning",
            subject=wanted[entry.mac].guest,
            text=f"its MAC {entry.mac} is alive on {entry.port} of {entry.bridge}: {ANOTHER}",
        )
        for entry in fdb
        if not entry.static and entry.mac in wanted and entry.port != wanted[entry.mac].tap
    )


def _is_host_end(mac: Mac, domains: tuple[Domain, ...]) -> bool:
    """A macvtap has the guest's own MAC on the host."""
    return any(nic.kind == "direct" and nic.mac == mac for domain in domains for nic in domain.nics)


def _clones(domains: tuple[Domain, ...], holders: dict[Mac, list[MacHolder]]) -> Iterable[Problem]:
    by_macs: dict[frozenset[Mac], list[Domain]] = {}
    for domain in domains:
        macs = frozenset(nic.mac for nic in domain.nics if nic.mac)
        if macs:
            by_macs.setdefault(macs, []).append(domain)
    for macs, alike in by_macs.items():
        if len(alike) < 2:
            continue
        names = [domain.name for domain in alike]
        for mac in macs:
            holders[mac] = [h for h in holders[mac] if h.domain not in names[1:]]
        yield Problem(
            code="CLONE",
            message=f"{series([repr(name) for name in names])} have the same MACs ({', '.join(sorted(macs))}): "
            "one is a clone of the other",
            hint=f"give the clone its own: virt-clone does, or edit it with `virsh edit {names[-1]}`",
        )


def _shared(mac: Mac, found: list[MacHolder]) -> Problem:
    return Problem(
        code="MAC-TWICE",
        message=f"{mac} belongs to {series([holder.words for holder in found])}",
        hint="a switch sends its frames to whoever spoke last; change one of them",
    )


def _reserved(domains: tuple[Domain, ...]) -> list[Problem]:
    return [
        Problem(
            code="MAC-FE",
            message=f"{nic.mac} of '{domain.name}' starts with fe, which is kept for the host's end of a tap",
            hint="libvirt refuses to start it: packets would come back to the tap as its own",
        )
        for domain in domains
        for nic in domain.nics
        if nic.mac and nic.mac.startswith("fe:")
    ]


def _elsewhere(domains: tuple[Domain, ...], fdb: Iterable[FdbEntry]) -> Iterable[Problem]:
    """A guest's MAC that a bridge has learned on another port than the guest's tap: another has it, or a loop."""
    taps = {
        nic.mac: (domain, nic) for domain in domains if domain.running for nic in domain.nics if nic.mac and nic.tap
    }
    shut = {nic.mac: domain for domain in domains if not domain.running for nic in domain.nics if nic.mac}
    for entry in fdb:
        if entry.static:
            continue
        if entry.mac in taps:
            domain, nic = taps[entry.mac]
            if entry.port != nic.tap and entry.bridge == nic.bridge:
                yield Problem(
                    code="MAC-ELSEWHERE",
                    message=f"{entry.mac} of '{domain.name}' ({nic.tap}) was learned on {entry.port} of {entry.bridge}",
                    hint=f"another machine behind {entry.port} has the same MAC, or frames come back in a loop",
                )
        elif entry.mac in shut:
            name = shut[entry.mac].name
            yield Problem(
                code="MAC-ELSEWHERE",
                message=f"{entry.mac} of '{name}' (shut off) is alive on {entry.port} of {entry.bridge}",
                hint=ANOTHER,
            )
