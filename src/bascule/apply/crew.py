"""Who runs the guests of this host, and what he knows of them and of their networks."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from msgspec import Struct

from bascule.errors import BasculeError, NotPermitted
from bascule.guests.paths import qemu_folder
from bascule.model.site import Host, Site
from bascule.plan.change import Note
from bascule.system.boot import has_systemd
from bascule.system.net.netns import is_machines_own

if TYPE_CHECKING:  # a host without guests loads neither libvirt's binding nor an XML parser
    from bascule.guests.choice import Driver
    from bascule.guests.part import Seen

SOCKETS = ("libvirt-sock", "virtqemud-sock")  # below /run/libvirt: the one daemon, or the one for QEMU alone


class Asked(Struct, frozen=True, kw_only=True):
    """Whom the administrator means: a driver's name, ``none``, or "" for whoever is there; libvirt's connection."""

    driver: str = "none"
    uri: str | None = None
    lasting: bool = True  # what is made may be written where the machine starts it again


NOBODY, ANYBODY = Asked(), Asked(driver="")


class Crew(Struct, frozen=True, kw_only=True):
    """Who runs the guests and what he knows, None where nobody does; ``notes`` say why libvirt could not be asked.

    ``site`` is the file with the taps that its running guests have now. ``servers`` is where the dnsmasq of networks
    of our own keep their things, None where they are nobody's business; ``lasting``: systemd starts them again.
    """

    site: Site
    seen: Seen | None = None
    notes: tuple[Note, ...] = ()
    servers: Path | None = None
    lasting: bool = False
    networks_by_libvirt: bool = False  # though it was not asked: the file is made of what its own files say

    @property
    def by_libvirt(self) -> bool:
        """Whether bridge and rules of the virtual networks are libvirt's."""
        return self.networks_by_libvirt or (self.seen is not None and self.seen.is_libvirt)


def muster(asked: Asked, site: Site, host: Host, *, servers: Path | None = None) -> Crew:
    """Ask who is there. Raises what a driver raises that was asked for by name."""
    seen, notes = _seen(asked, site, host)
    lasting = asked.lasting and host.persist != "none" and is_machines_own() and has_systemd()
    ours = seen is None or not seen.is_libvirt or any(one.forwards for one in host.virtual_networks.values())
    if host.virtual_networks and ours and asked.lasting and is_machines_own() and not lasting:
        why = "the file says 'persist: none'" if host.persist == "none" else "systemd does not run here"
        text = f"what Bascule makes of them (bridges, rules, dnsmasq) ends with the machine: {why}"
        notes = (*notes, Note(kind="warning", subject="virtual networks", text=text))
    if seen is None:
        return Crew(site=site, notes=notes, servers=servers, lasting=lasting)
    from bascule.providers.guest_nics import with_live_taps

    as_it_runs = with_live_taps(site, host, seen.domains)
    return Crew(site=as_it_runs, seen=seen, notes=notes, servers=servers, lasting=lasting)


def _seen(asked: Asked, site: Site, host: Host) -> tuple[Seen | None, tuple[Note, ...]]:
    """Without a name libvirt is meant where it answers, else bare QEMU where it has been given guests."""
    concerned = bool(host.virtual_networks) or any(True for _ in site.guests_on(host.name))
    if asked.driver == "none" or not (concerned or asked.driver):
        return None, ()
    if asked.driver or asked.uri is not None:
        from bascule.guests import choice

        return see(choice.choose(asked.driver or "libvirt", uri=asked.uri)), ()
    return _whoever_is_there()


def _whoever_is_there() -> tuple[Seen | None, tuple[Note, ...]]:
    notes: tuple[Note, ...] = ()
    if libvirt_may_be_here():
        from bascule.guests import choice

        try:
            return see(choice.choose("libvirt")), ()
        except BasculeError as error:
            why = "; ".join(problem.message for problem in error.problems)
            if isinstance(error, NotPermitted):
                text = f"could not be asked, so its guests and networks are not in this plan: {why}"
                notes = (Note(kind="warning", subject="libvirt", text=text),)
    if any(qemu_folder().glob("*/guest.json")):
        from bascule.guests import choice

        return see(choice.choose("qemu")), notes
    return None, notes


def libvirt_may_be_here() -> bool:
    """Whether it is worth a try: it was named, or this is the machine's own network and libvirt's socket is there.

    In another network namespace the machine's libvirt is not meant: its taps are not there.
    """
    if os.environ.get("LIBVIRT_DEFAULT_URI"):
        return True
    return is_machines_own() and any(Path("/run/libvirt", name).exists() for name in SOCKETS)


def see(driver: Driver) -> Seen:
    """Ask a driver for everything."""
    from bascule.guests.libvirt import LibvirtDriver
    from bascule.guests.part import Seen
    from bascule.providers.libvirt.observe import observe

    if isinstance(driver, LibvirtDriver):
        seen = observe(driver.hypervisor)
        return Seen(driver=driver, domains=seen.seen_domains, networks=seen.seen_networks)
    return Seen(driver=driver, domains=driver.domains())
