"""Bare QEMU guests as the site file wants them, over what is there."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from msgspec.structs import replace

from bascule.errors import BasculeError, CommandFailed, Problem
from bascule.model.domain import Domain
from bascule.model.sightings import FdbEntry
from bascule.model.site import Guest, GuestNic, Host, Site
from bascule.model.state import HostState
from bascule.plan.change import Note
from bascule.providers.guest_identity import identity_notes
from bascule.providers.guest_nics import find_nic, is_at, waiting
from bascule.providers.protocol import Wanted
from bascule.providers.qemu.state import OF_PORT, QemuGuest, QemuState, definition, nic_of, port_facts, row


def want(site: Site, host: Host, observed: HostState, state: QemuState, learned: Iterable[FdbEntry]) -> Wanted:
    """The part of the site file. Raises BasculeError for a NIC that bare QEMU cannot plug, or a MAC that is taken."""
    guests = dict(state.guests)
    reasons: dict[str, str] = {}
    concerned: dict[str, tuple[str, ...]] = {}
    new: list[GuestNic] = []
    domains = {one.name: one for one in state.seen_domains}
    for guest in site.guests_on(host.name):
        there = state.guests.get(guest.name)
        concerned[guest.name] = (guest.name,)
        if there is None:
            guests[guest.name] = QemuGuest(definition=definition(guest))
            reasons[guest.name] = f"the site file declares guest {guest.name} and no domain has this name"
            new += guest.nics
            continue
        for nic in guest.nics:
            before = guests[guest.name]
            after = _plugged(before, domains[guest.name], nic)
            if after == before:
                continue
            refuse_macvtap(nic)
            guests[guest.name] = after
            subject = f"{guest.name}, NIC {nic.index}"
            reasons[subject] = f"{guest.name} is declared on {nic.attachment}{nic.place.bracketed}"
            concerned[subject] = (guest.name,)
            if find_nic(domains[guest.name].nics, nic) is None:
                new.append(nic)
    notes = [
        *identity_notes(new, state.seen_domains, observed, tuple(learned), host.name),
        *waiting(state.seen_domains, site, host.name),
        *without_autostart(site.guests_on(host.name)),
    ]
    return Wanted(part=replace(state, guests=guests), reasons=reasons, guests=concerned, notes=tuple(notes))


def without_autostart(guests: Iterable[Guest]) -> Iterator[Note]:
    """Guests that the file wants to be started with the host: bare QEMU starts none."""
    for guest in guests:
        if guest.autostart:
            text = "'autostart: true': bare QEMU starts no guest with the host; libvirt would (--driver libvirt)"
            yield Note(kind="warning", subject=guest.name, text=text)


def refuse_macvtap(nic: GuestNic) -> None:
    """Raise a problem for a NIC that only libvirt can plug, into one of the host's."""
    if nic.shared_nic:
        raise BasculeError.of(
            "PLUG-UNSUPPORTED",
            f"'{nic.guest}', NIC {nic.index}: bare QEMU cannot be plugged into macvtap on {nic.into}",
            place=nic.place if nic.place.line else None,
            hint="let libvirt run it (--driver libvirt), or use a bridge",
        )


def _plugged(guest: QemuGuest, seen: Domain, nic: GuestNic) -> QemuGuest:
    now, later = find_nic(seen.nics, nic), find_nic(seen.next_nics, nic)
    if now is None or later is None:
        return attach(guest, nic)
    if guest.running and now.bridge and not is_at(now, nic):
        return replug(guest, now.index, nic)
    kept = next(nic_of(nic.guest, one) for one in guest.rows if one["index"] == now.index)
    if not is_at(later, nic) or port_facts(kept) != port_facts(nic):
        return replug(guest, now.index, nic, live=False)
    return guest


def attach(guest: QemuGuest, nic: GuestNic) -> QemuGuest:
    """The guest with one more NIC."""
    facts = {**guest.definition, "nics": [*guest.rows, row(nic)]}
    bridges = {**guest.bridges, str(nic.tap): str(nic.master or "")} if guest.running else guest.bridges
    return replace(guest, definition=facts, bridges=bridges)


def detach(guest: QemuGuest, index: int) -> QemuGuest:
    """The guest without a NIC."""
    gone = {one["tap"] for one in guest.rows if one["index"] == index}
    facts = {**guest.definition, "nics": [one for one in guest.rows if one["index"] != index]}
    return replace(guest, definition=facts, bridges={tap: on for tap, on in guest.bridges.items() if tap not in gone})


def replug(guest: QemuGuest, index: int, to: GuestNic, *, live: bool = True) -> QemuGuest:
    """The NIC of this number plugged where another one is; it keeps its MAC and its tap.

    Raises CommandFailed where it shall move while its guest runs, and its tap is gone.
    """

    def other(one: Mapping[str, Any]) -> Mapping[str, Any]:
        if one["index"] != index:
            return one
        kept = {key: value for key, value in one.items() if key not in OF_PORT}
        return {**kept, "plug": to.plug.value, "into": to.into, **port_facts(to)}

    taps = [one["tap"] for one in guest.rows if one["index"] == index] if live and guest.running else []
    if gone := [tap for tap in taps if tap not in guest.bridges]:
        raise CommandFailed(*(_tap_missing(tap) for tap in gone))
    bridges = {**guest.bridges, **{tap: str(to.master or "") for tap in taps}}
    facts = {**guest.definition, "nics": [other(one) for one in guest.rows]}
    return replace(guest, definition=facts, bridges=bridges)


def _tap_missing(tap: str) -> Problem:
    return Problem(
        code="TAP-MISSING",
        message=f"there is no tap '{tap}': it was taken away while its guest runs",
        hint="`bascule guest stop` and `bascule guest start` make it again",
    )
