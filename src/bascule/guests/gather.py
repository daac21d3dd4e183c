"""Who is who on this host, from everybody who knows: hypervisors, agents, leases, neighbours and the wire."""

from __future__ import annotations

import time
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING

from msgspec.structs import replace

from bascule.errors import BasculeError, NotPermitted
from bascule.guests.inventory import Inventory, agent_sightings, join, lease_sightings
from bascule.guests.paths import closed, qemu_folder, unread_guests
from bascule.host.live import HERE
from bascule.model.site import Site
from bascule.observe.bridge_tables import read_fdb
from bascule.observe.neighbours import sightings
from bascule.providers.dnsmasq.observe import leases_in
from bascule.providers.libvirt.effects import may_be_here
from bascule.providers.qemu.effects import observe as bare_guests
from bascule.system.disk.files import is_closed
from bascule.system.libvirt import Hypervisor, connect

if TYPE_CHECKING:
    from bascule.model.domain import Domain, Lease
    from bascule.model.sightings import Sighting
    from bascule.model.state import HostState


def gather(
    networks: Path,
    site: Site | None = None,
    *,
    driver: str | None = None,
    uri: str | None = None,
    listen_s: float | None = None,
    state: HostState | None = None,
) -> Inventory:
    """Who is who on this host: the domains of every driver, joined with what the kernel and libvirt know.

    ``networks`` is the folder of our own networks' servers.
    With ``listen_s`` also with what guests and DHCP servers say meanwhile on the bridges. ``state`` is the host as it
    was just observed, which is not observed again.
    """
    named = driver == "libvirt" or uri is not None
    is_asked = named or (driver != "qemu" and may_be_here())  # its binding takes longer to load than all else
    hypervisor, refused = libvirt_if_here(uri, needed=named) if is_asked else (None, ())
    domains, given = _everything(hypervisor) if hypervisor else ((), ())
    bare = bare_guests(qemu_folder(), HERE).seen_domains if driver != "libvirt" and uri is None else ()
    running = [domain.name for domain in domains if domain.running] if hypervisor else []
    agents = [agent_sightings(hypervisor.agent_addresses(name)) for name in running] if hypervisor else []
    if state is None:
        from bascule.providers.observe import observe as observe_host

        state = observe_host()
    said: tuple[Sighting, ...] = ()
    if listen_s is not None:
        from bascule.probe.sniff import sniff

        said = sniff([name for name, link in state.links.items() if link.is_bridge and link.up], listen_s)
    files = [] if is_closed(networks) else sorted(networks.glob("*.leases"))
    own = chain.from_iterable(leases_in(file, file.stem) for file in files)
    known = (
        *sightings(),
        *said,
        *lease_sightings(own, now=time.time()),
        *lease_sightings(given, now=time.time()),
        *chain.from_iterable(agents),
    )
    found = join((*domains, *bare), state=state, sightings=known, fdb=read_fdb(), site=site)
    return replace(found, unread=(*refused, *unread_state(networks)))


def unread_state(networks: Path) -> tuple[str, ...]:
    """What of Bascule's own state this user may not look at: guests of bare QEMU, and leases of its own networks."""
    return (*unread_guests(), *closed(networks, "which leases Bascule's own networks gave"))


def _everything(hypervisor: Hypervisor) -> tuple[tuple[Domain, ...], tuple[Lease, ...]]:
    from bascule.providers.libvirt.observe import leases, observe

    seen = observe(hypervisor)
    return seen.seen_domains, leases(hypervisor, seen.seen_networks)


def libvirt_if_here(uri: str | None, *, needed: bool) -> tuple[Hypervisor | None, tuple[str, ...]]:
    """Libvirt's connection, None where it does not answer and is not needed; and that it does not let this user look.

    Raises BasculeError.
    """
    try:
        return connect(uri), ()
    except BasculeError as error:
        if needed:
            raise
        words = "libvirt does not let this user look: which guests it has is not known"
        return None, (words,) if isinstance(error, NotPermitted) else ()
