"""The verbs about guests and the host that runs them, as straight lines: capacity, doctor, guest list.

Beside :mod:`bascule.workflow`, so that verbs that never ask libvirt do not import what speaks to it.
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from itertools import chain
from typing import TYPE_CHECKING

from bascule.apply.place import here
from bascule.errors import BasculeError, Problem, UsageFault
from bascule.host.identity import choose_host, is_here
from bascule.model.site import GuestNic, Site
from bascule.observe.memory import measured_overheads, nic_speeds, observe_memory
from bascule.observe.neighbours import sightings
from bascule.plan.capacity import Capacity, Memory, merged, needs_of_domains, needs_of_site, uplink_loads
from bascule.plan.capacity import capacity as account
from bascule.providers.observe import observe as observe_host
from bascule.system.libvirt import Hypervisor, connect
from bascule.system.net.fdb import read_fdb
from bascule.system.net.links import link_names

if TYPE_CHECKING:
    from bascule.guests.inventory import Inventory
    from bascule.guests.runtime import GuestRuntime
    from bascule.model.domain import Domain, Lease
    from bascule.model.sightings import Sighting
    from bascule.plan.change import Note
    from bascule.verify.doctor import Finding


def capacity(site_file: str, *, host: str | None = None, uri: str | None = None) -> Capacity:
    """The account of a host's memory: the file's guests, and on the host itself what it has and what runs there."""
    from bascule.workflow import load

    site = load(site_file)
    chosen = choose_host(site, host)
    declared = needs_of_site(site, chosen)
    if is_here(chosen):
        found = needs_of_domains(_domains(uri), measured_overheads(), declared=[need.name for need in declared])
        loads = uplink_loads(site, chosen, nic_speeds())
        return account(chosen.name, observe_memory(), merged(declared, found), loads)
    if not chosen.memory:
        message = f"host '{chosen.name}' has no 'memory:' in the site file, and this is not that host"
        hint = "add it, as in memory: 64GiB, or run this on the host"
        raise UsageFault(Problem(code="MEMORY-UNKNOWN", message=message, hint=hint))
    memory = Memory(total=chosen.memory, hugepages={}, source="the site file")
    return account(chosen.name, memory, declared, uplink_loads(site, chosen))


def doctor(site_file: str | None, *, host: str | None = None, uri: str | None = None) -> tuple[Finding, ...]:
    """What on this host will bite."""
    from bascule.verify.doctor import examine
    from bascule.verify.doctor.gather import gather
    from bascule.workflow import load

    site = load(site_file) if site_file else None
    return examine(gather(site, choose_host(site, host).name if site else "", uri=uri))


def inventory(
    site_file: str | None = None, *, driver: str | None = None, uri: str | None = None, listen_s: float | None = None
) -> Inventory:
    """Who is who on this host: the domains of every driver, joined with what the kernel and libvirt know.

    With ``listen_s`` also with what guests and DHCP servers say meanwhile on the bridges.
    """
    from bascule.guests.inventory import agent_sightings, join, lease_sightings
    from bascule.guests.paths import qemu_folder
    from bascule.host.live import HERE
    from bascule.providers.dnsmasq.observe import leases_in
    from bascule.providers.qemu.effects import observe as bare_guests

    site = _load(site_file) if site_file else None
    hypervisor = None if driver == "qemu" else _connect(uri, needed=driver == "libvirt" or uri is not None)
    domains, given = _everything(hypervisor) if hypervisor else ((), ())
    bare = bare_guests(qemu_folder(), HERE).seen_domains if driver != "libvirt" and uri is None else ()
    running = [domain.name for domain in domains if domain.running] if hypervisor else []
    agents = [agent_sightings(hypervisor.agent_addresses(name)) for name in running] if hypervisor else []
    state = observe_host()
    said: tuple[Sighting, ...] = ()
    if listen_s is not None:
        from bascule.probe.sniff import sniff

        said = sniff([name for name, link in state.links.items() if link.is_bridge and link.up], listen_s)
    own = chain.from_iterable(
        leases_in(file, file.stem) for file in sorted((here().state / "networks").glob("*.leases"))
    )
    known = (
        *sightings(),
        *said,
        *lease_sightings(own, now=time.time()),
        *lease_sightings(given, now=time.time()),
        *chain.from_iterable(agents),
    )
    return join((*domains, *bare), state=state, sightings=known, fdb=read_fdb(), site=site)


def _everything(hypervisor: Hypervisor) -> tuple[tuple[Domain, ...], tuple[Lease, ...]]:
    from bascule.providers.libvirt.observe import leases, observe

    seen = observe(hypervisor)
    return seen.seen_domains, leases(hypervisor, seen.seen_networks)


def refuse_unknown(runtime: GuestRuntime, kind: str, into: str) -> None:
    """Raise a problem for a bridge or NIC that this host does not have: a definition takes any name.

    Only where libvirt is this machine's own; another one's links are not seen from here.
    """
    uri = runtime.uri
    if kind not in {"bridge", "direct"} or ("//" in uri and not uri.partition("//")[2].startswith("/")):
        return
    if uri.startswith("test:") or into in link_names():
        return
    what = "bridge" if kind == "bridge" else "NIC"
    raise BasculeError.of(
        "NO-BRIDGE" if kind == "bridge" else "NO-LINK",
        f"there is no {what} '{into}' on this host",
        hint="make the bridge first: `bascule plan` says what is missing, `bascule apply` makes it"
        if kind == "bridge"
        else "`ip -br link` shows the NICs",
    )


def check_macs(runtime: GuestRuntime, nics: Iterable[GuestNic]) -> tuple[Note, ...]:
    """Whether these NICs, about to be written, have their MACs for themselves; what the wire shows of them.

    Raises BasculeError with one problem for each MAC that a domain or a link of this host has.
    """
    from bascule.providers.guest_identity import alive_elsewhere, taken

    wanted, domains = tuple(nics), runtime.domains()
    if problems := taken(wanted, domains, observe_host()):
        raise BasculeError(*problems)
    return alive_elsewhere(wanted, read_fdb())


def _load(site_file: str) -> Site:
    from bascule.workflow import load  # the twin and the engine come with it, which a mere list does not need

    return load(site_file)


def _connect(uri: str | None, *, needed: bool) -> Hypervisor | None:
    try:
        return connect(uri)
    except BasculeError:
        if needed:
            raise
        return None


def _domains(uri: str | None) -> tuple[Domain, ...]:
    """Every domain, if libvirt is there."""
    hypervisor = _connect(uri, needed=uri is not None)
    if hypervisor is None:
        return ()
    from bascule.providers.libvirt.observe import observe

    return observe(hypervisor).seen_domains
