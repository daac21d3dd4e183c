"""Guests of a site file, written into whoever runs them."""

from __future__ import annotations

from collections.abc import Sequence

from bascule.errors import BasculeError, UsageFault
from bascule.guests.checks import check_macs, is_local, unguarded
from bascule.guests.runtimes.detect import detect
from bascule.host.identity import require_here
from bascule.model.site import Host, Site
from bascule.plan.change import Note
from bascule.providers.observe import observe

LOCAL = "qemu:///"  # how the address of this machine's own libvirt begins


def define_guests(
    site: Site,
    host: Host,
    names: Sequence[str] = (),
    *,
    here: bool = False,
    driver: str | None = None,
    uri: str | None = None,
    nic_model: str = "virtio",
    start: bool = False,
) -> tuple[tuple[str, ...], tuple[Note, ...]]:
    """Those of a host, or the named ones of them: which they were, and what is to be known of them.

    ``here`` insists that this machine is the host. Raises UsageFault for a name that the host has not,
    BasculeError for a machine that is another one, for a MAC that somebody else has, and where one shall start without
    its guard.
    """
    guests = {guest.name: guest for guest in site.guests_on(host.name)}
    unknown = [name for name in names if name not in guests]
    if unknown:
        known = ", ".join(guests) or "none"
        message = f"host '{host.name}' has no guest '{unknown[0]}' in the site file"
        raise UsageFault.of("GUEST-UNKNOWN", message, hint=f"it has: {known}")
    if not here and (uri or LOCAL).startswith(LOCAL):
        require_here(site, host, observe)
    meant = tuple(names or guests)
    nics = [nic for name in meant for nic in guests[name].nics]
    runtime = detect(driver, uri=uri, guests=guests)
    there = {domain.name: domain.running for domain in runtime.domains()}
    notes = list(check_macs(runtime, nics))
    if is_local(uri or LOCAL):
        missing = unguarded((nic for nic in nics if not there.get(nic.guest)), observe())
        if start and missing:
            raise BasculeError(*missing)
        notes += (Note(kind="warning", subject=host.name, text=f"{one.message}; {one.hint}") for one in missing)
    for name in meant:
        guest = guests[name]
        notes += runtime.define(guest, nic_model=nic_model)
        if name not in there and not (guest.disks or guest.iso or guest.kernel):
            text = "it has no disk, ISO or kernel in the site file: it would boot from the network"
            notes.append(Note(kind="warning", subject=name, text=text))
        if start:
            runtime.start(name)
    return meant, tuple(notes)
