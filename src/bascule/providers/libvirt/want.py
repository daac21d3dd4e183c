"""libvirt's networks and domains as the site file wants them, over what is there.

Networks, domains and NICs that the file does not know are left alone.
"""

from __future__ import annotations

from collections.abc import Iterable

from msgspec import Struct, field
from msgspec.structs import replace

from bascule.model.domain import Domain, DomainNic, DomainText, NetworkText
from bascule.model.sightings import FdbEntry
from bascule.model.site import Guest, GuestNic, Host, PlugKind, Site
from bascule.model.state import HostState
from bascule.plan.virtual_network import ResolvedNetwork, resolved_networks
from bascule.policy.guards.ports import is_guarded
from bascule.providers.guest_identity import identity_notes
from bascule.providers.guest_nics import find_nic, is_at, restart_reason, waiting
from bascule.providers.libvirt import domain_xml, edit, network_xml
from bascule.providers.libvirt.diff import nic_subject
from bascule.providers.libvirt.guard_notes import with_guards
from bascule.providers.libvirt.state import LibvirtState
from bascule.providers.protocol import Wanted


class _Target(Struct, kw_only=True):
    """What is wanted, as it is put together."""

    domains: dict[str, DomainText]
    networks: dict[str, NetworkText]
    reasons: dict[str, str] = field(default_factory=dict)
    guests: dict[str, tuple[str, ...]] = field(default_factory=dict)
    new: list[GuestNic] = field(default_factory=list)


def want(site: Site, host: Host, observed: HostState, state: LibvirtState, learned: Iterable[FdbEntry]) -> Wanted:
    """The part of the site file. Raises BasculeError for a MAC that a new NIC would share with another."""
    target = _Target(domains=dict(state.domains), networks=dict(state.networks))
    seen = {network.name: network for network in state.seen_networks}
    for one in resolved_networks(site, host):
        there = state.networks.get(one.name)
        if there is None:
            _set_network(target, one, network_xml.text_of(one), "")
            continue
        why = network_xml.restart_reasons(seen[one.name], one)
        shall = network_text(there, one, restarts=bool(why))
        if shall != replace(there, persistent=True):
            updates = network_xml.updates(there.now, shall.now) or ()
            _set_network(target, one, shall, "; ".join(why or map(str, updates)))
            on_it = [d.name for d in state.seen_domains if d.running and _is_on(d.nics, one.name)]
            if why and there.active:
                target.guests[f"network {one.name}"] = tuple(on_it)
    domains = {domain.name: domain for domain in state.seen_domains}
    for guest in site.guests_on(host.name):
        _guest(target, guest, domains.get(guest.name), state.accel)
    part = replace(state, domains=target.domains, networks=target.networks)
    notes = (*identity_notes(target.new, state.seen_domains, observed, tuple(learned), host.name),
             *waiting(state.seen_domains, site, host.name))  # fmt: skip
    return Wanted(part=part, reasons=target.reasons, guests=target.guests, notes=notes)


def _is_on(nics: Iterable[DomainNic], network: str) -> bool:
    return any((nic.kind, nic.into) == ("network", network) for nic in nics)


def network_text(there: NetworkText, one: ResolvedNetwork, *, restarts: bool) -> NetworkText:
    """A network that is there, as it shall be, after a restart or without one."""
    if restarts:
        now = later = network_xml.edited(there.next, one)
    else:
        now, later = (network_xml.with_dhcp(xml, one) for xml in (there.now, there.next))
    return replace(there, active=True, persistent=True, autostart=True, now=now, next=later)


def _set_network(target: _Target, one: ResolvedNetwork, text: NetworkText, reason: str) -> None:
    target.networks[one.name] = text
    target.reasons[f"network {one.name}"] = reason or f"the site file declares virtual network '{one.name}'"


def _guest(target: _Target, guest: Guest, domain: Domain | None, accel: str) -> None:
    name = guest.name
    if domain is None:
        made = domain_xml.text_of(name, with_guards(domain_xml.build(guest, accel=accel), guest))
        target.domains[name] = replace(made, autostart=bool(guest.autostart))
        target.reasons[name] = f"the site file declares guest {name} and no domain has this name"
        target.guests[name] = (name,)
        target.new += guest.nics
        return
    for nic in guest.nics:
        before = target.domains[name]
        after, mac = _plugged(before, domain, nic)
        if after == before:
            continue
        target.domains[name] = after
        subject = nic_subject(before, after, mac)
        target.reasons[subject] = f"{name} is declared on {nic.attachment}{nic.place.bracketed}"
        target.guests[subject] = (name,)
        if find_nic((*domain.nics, *domain.next_nics), nic) is None:
            target.new.append(nic)
    there = target.domains[name]
    if there.persistent and (noted := with_guards(there.next, guest)) != there.next:
        there = target.domains[name] = replace(there, next=noted, now=there.now if there.running else noted)
        target.reasons.setdefault(name, f"its definition says the guards of the site file{guest.place.bracketed}")
        target.guests.setdefault(name, (name,))
    if there.persistent and guest.autostart not in {None, there.autostart}:
        target.domains[name] = replace(there, autostart=bool(guest.autostart))
        target.guests.setdefault(name, (name,))
        words = "true" if guest.autostart else "false"
        target.reasons.setdefault(name, f"{name} is declared with 'autostart: {words}'{guest.place.bracketed}")


def goes_by_name(nic: GuestNic) -> bool:
    """Whether rules or limits of the NIC go by the name of its tap, which must then be the same at each start."""
    return nic.plug is not PlugKind.DIRECT and (is_guarded(nic) or bool(nic.bandwidth))


def _plugged(text: DomainText, domain: Domain, nic: GuestNic) -> tuple[DomainText, str]:
    """The domain with this NIC where the file says, and the MAC that it has there."""
    now, later = find_nic(domain.nics, nic), find_nic(domain.next_nics, nic)
    found = now or later
    if found is None:
        return edit.attach(text, domain_xml.interface(nic)), nic.mac
    if found.mac is None:
        return text, nic.mac
    if domain.running and now is not None and not is_at(now, nic):
        if restart_reason(now, nic) and later is not None and is_at(later, nic):
            return text, found.mac  # all that can be done is done; ``waiting`` says so
        return edit.replug(text, found.mac, nic.attachment, tap=nic.tap, declared=nic), found.mac
    if later is not None and not is_at(later, nic):
        return edit.replug(text, found.mac, nic.attachment, tap=nic.tap, declared=nic), found.mac
    if later is not None and not later.tap and goes_by_name(nic):
        return edit.name_tap(text, found.mac, nic.next_tap or nic.tap), found.mac
    return text, found.mac
