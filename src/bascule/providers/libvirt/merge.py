"""The way back for libvirt: NICs and definitions that the change altered as they were, networks too.

What other hands did to a domain since the change (more memory, a NIC of theirs) is kept, and named.
"""

from __future__ import annotations

from typing import TypeVar

from msgspec.structs import replace

from bascule.model.domain import DomainText
from bascule.providers.libvirt import domain_xml, edit
from bascule.providers.libvirt.domain_xml import Element
from bascule.providers.libvirt.state import LibvirtState
from bascule.providers.protocol import Merged

T = TypeVar("T")


def merge(
    before: LibvirtState, wanted: LibvirtState, now: LibvirtState, applied: LibvirtState | None, *, rebooted: bool
) -> Merged:
    """Where to go. ``applied`` is what was right after the change, None if it never got so far.

    After a restart of the machine a guest that starts with it is started, where it could not by its changed definition.
    """
    kept: list[str] = []
    domains, networks = dict(now.domains), dict(now.networks)
    for name in {**before.domains, **wanted.domains}:
        old, there = before.domains.get(name), now.domains.get(name)
        if wanted.domains.get(name) == old:
            continue
        made = applied.domains.get(name) if applied is not None else None
        goal = _made_by_us(there, made, kept) if old is None else _domain(old, made, there, kept, rebooted=rebooted)
        _put(domains, name, goal)
    for name in {**before.networks, **wanted.networks}:
        if wanted.networks.get(name) != before.networks.get(name):
            _put(networks, name, before.networks.get(name))
    ordered = {name: domains[name] for name in {**before.domains, **domains} if name in domains}
    return Merged(part=replace(now, domains=ordered, networks=networks), kept=tuple(kept))


def _put(mapping: dict[str, T], name: str, value: T | None) -> None:
    mapping.pop(name, None)
    if value is not None:
        mapping[name] = value


def _made_by_us(now: DomainText | None, made: DomainText | None, kept: list[str]) -> DomainText | None:
    """A guest that the change had defined goes, unless somebody has begun to use it."""
    if now is None:
        return None
    if now.running:
        kept.append(f"guest {now.name} is new and runs; it stays defined")
        return now
    if made is not None and now.next != made.next:
        kept.append(f"guest {now.name} is new and was edited since; it stays defined")
        return now
    return None


def _domain(
    before: DomainText, made: DomainText | None, now: DomainText | None, kept: list[str], *, rebooted: bool
) -> DomainText | None:
    if now is None:
        if made is not None:
            kept.append(f"guest {before.name} is gone")
            return None
        return replace(before, running=False, now=before.next) if before.persistent else None
    later = now.next
    if before.persistent and _is_other(now.next, before.next):
        later = before.next
        if made is not None and now.next != made.next:
            kept.append(f"guest {before.name}: its definition was changed since; only its NICs went back")
            later = merged(now.next, before.next, made.next)
    now = replace(now, autostart=_autostart(before, made, now, kept))
    missed = rebooted and before.autostart and not now.running and _is_other(now.next, before.next)
    if missed:
        words = "starts with the machine, and did not by its changed definition; it is started now"
        kept.append(f"guest {before.name} {words}")
    if now.running and before.running:
        live = _live(before, made, now, kept)
        return replace(now, now=live, next=later if now.persistent else live)
    if now.running:
        return replace(now, next=later)
    return replace(now, running=missed, now=later, next=later)


def _autostart(before: DomainText, made: DomainText | None, now: DomainText, kept: list[str]) -> bool:
    """Whether it starts with the host, as before the change, unless somebody has said so since."""
    if made is not None and now.autostart != made.autostart:
        words = "starts with the host" if now.autostart else "does not start with the host"
        if now.autostart != before.autostart:
            kept.append(f"guest {before.name}: somebody has set since that it {words}")
        return now.autostart
    return before.autostart


def _is_other(one: str, other: str) -> bool:
    return one != other and domain_xml.canonical(domain_xml.parse(one)) != domain_xml.canonical(domain_xml.parse(other))


def _live(before: DomainText, made: DomainText | None, now: DomainText, kept: list[str]) -> str:
    """The running document with its NICs as they were."""
    name, root, wanted = before.name, domain_xml.parse(now.now), domain_xml.parse(before.now)
    ours = domain_xml.parse(made.now) if made is not None else None
    known = set()
    changed = False
    for element in domain_xml.interfaces(wanted):
        mac = domain_xml.mac_of(element)
        known.add(mac)
        there = domain_xml.find(root, mac)
        after = domain_xml.find(ours, mac) if ours is not None else None
        if there is None and after is not None:
            kept.append(f"guest {name}: its NIC {mac} is gone")
        elif there is None:
            edit.add(root, element)
            changed = True
        elif after is not None and domain_xml.same(after, element) and not domain_xml.same(there, element):
            kept.append(f"guest {name}: its NIC {mac} is now on {_where(there)}")
        elif not domain_xml.same(there, element):
            if after is not None and not domain_xml.same(there, after):
                words = f"somebody plugged {mac} into {_where(there)}; it goes back anyway"
                kept.append(f"guest {name}: {words}")
            edit.swap(there, domain_xml.copied(element))
            changed = True
    for element in domain_xml.interfaces(root):
        mac = domain_xml.mac_of(element)
        if mac in known:
            continue
        if ours is not None and domain_xml.find(ours, mac) is None:
            kept.append(f"guest {name}: its NIC {mac} is new")
            continue
        edit.remove(element)
        changed = True
    return domain_xml.text(root) + "\n" if changed else now.now


def _where(element: Element) -> str:
    return " ".join(domain_xml.plug_of(element))


def merged(now: str, before: str, made: str) -> str:
    """A definition that others changed since, with the NICs that we changed as they were before."""
    root, old, ours = domain_xml.parse(now), domain_xml.parse(before), domain_xml.parse(made)
    for element in domain_xml.interfaces(root):
        mac = domain_xml.mac_of(element)
        was, after = domain_xml.find(old, mac), domain_xml.find(ours, mac)
        if after is None or (was is not None and domain_xml.text(was) == domain_xml.text(after)):
            continue  # theirs, or not touched by us
        if was is None:
            edit.remove(element)
        else:
            edit.swap(element, domain_xml.copied(was))
    return domain_xml.text(root) + "\n"


def plugged_anew(state: LibvirtState, names: set[str]) -> LibvirtState:
    """The state with the cable of every NIC of some running domains the other way round.

    A libvirtd that died may remember something else than it told QEMU, and it tells QEMU of changes only; so after
    such a death each NIC is changed once before it is put where it belongs.
    """
    domains = dict(state.domains)
    for name in names & domains.keys():
        domain = domains[name]
        root = domain_xml.parse(domain.now)
        for element in domain_xml.interfaces(root) if domain.running else ():
            edit.swap(element, domain_xml.linked(element, up=not domain_xml.is_up(element)))
        domains[name] = replace(domain, now=domain_xml.text(root) + "\n") if domain.running else domain
    return replace(state, domains=domains)
