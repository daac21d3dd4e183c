"""Host and guests as one plan: the kernel's changes, and behind them those of whoever runs the guests."""

from __future__ import annotations

from collections.abc import Container
from typing import TYPE_CHECKING

from msgspec import Struct

from bascule.apply.crew import Crew
from bascule.errors import BasculeError
from bascule.model.site import Host, Site
from bascule.model.state import HostState
from bascule.plan.change import Note, Plan
from bascule.plan.make import NOWHERE, make_plan
from bascule.plan.step import Phase
from bascule.plan.virtual_network import resolved_networks
from bascule.providers.protocol import Surroundings

if TYPE_CHECKING:
    from bascule.apply.beside import Beside
    from bascule.guests.part import Seen
    from bascule.guests.servers import ServerPart

MOVES = {Phase.DETACH, Phase.ENSLAVE, Phase.PORT}  # what a driver does to a tap itself, or drops by doing it


class Joint(Struct, frozen=True, kw_only=True):
    """The whole plan of a host, the kernel's state that it leads to, and the parts beside it."""

    plan: Plan
    wanted: HostState
    besides: tuple[Beside, ...] = ()  # in the order in which they are made


def plan_jointly(
    site: Site, host: Host, observed: HostState, crew: Crew, surroundings: Surroundings = NOWHERE
) -> Joint:
    """The plan for this host with everything that is asked of libvirt or bare QEMU.

    Where nobody runs guests it is the kernel's plan. Raises BasculeError for what the kernel's plan refuses, for a MAC
    that a new NIC would share with another, and for a loop that it would close.
    """
    plan, wanted = make_plan(crew.site, host, observed, surroundings, by_libvirt=crew.by_libvirt)
    servers = _servers(site, host, crew, wanted)
    if crew.seen is None:
        behind = tuple(change for one in servers for change in one.changes)
        notes = (*plan.notes, *crew.notes)
        return Joint(plan=Plan(changes=(*plan.changes, *behind), notes=notes), wanted=wanted, besides=servers)
    return _with_guests(site, host, observed, crew, crew.seen, Joint(plan=plan, wanted=wanted, besides=servers))


def _with_guests(site: Site, host: Host, observed: HostState, crew: Crew, seen: Seen, alone: Joint) -> Joint:
    """The kernel's plan and the servers together with what whoever runs the guests does."""
    from bascule.guests import changes
    from bascule.guests.libvirt_networks import plan_networks
    from bascule.guests.part import GuestPart
    from bascule.providers.guest_identity import alive_elsewhere, conflicts, taken
    from bascule.providers.guest_nics import waiting
    from bascule.system.net.fdb import read_fdb

    plan = alone.plan
    part = GuestPart(
        seen=seen,
        networks=plan_networks(seen.networks, seen.domains, resolved_networks(site, host)) if seen.is_libvirt else (),
        guests=changes.plan_guests(seen.domains, site, host.name),
    )
    learned = read_fdb()
    new = changes.new_nics(part.guests)
    if problems := taken(new, seen.domains, observed):
        raise BasculeError(*problems)
    said = [Note(kind="warning", subject=host.name, text=p.message) for p in conflicts(seen.domains, observed, learned)]
    said += alive_elsewhere(new, learned)
    said += waiting(seen.domains, site, host.name)
    early = without_moves(plan, part.moved_taps)
    late = tuple(x for x in plan.changes if x not in early.changes and x.stage not in {Phase.DETACH, Phase.ENSLAVE})
    # libvirt's own dnsmasq wants the ports of ours
    order: tuple[Beside, ...] = (*alone.besides, part) if seen.is_libvirt else (part, *alone.besides)
    besides = tuple(one for one in order if one.changes)
    told = [change for one in besides for change in one.changes]
    whole = Plan(changes=(*early.changes, *told, *late), notes=(*plan.notes, *crew.notes, *said))
    return Joint(plan=whole, wanted=alone.wanted, besides=besides)


def _servers(site: Site, host: Host, crew: Crew, wanted: HostState) -> tuple[ServerPart, ...]:
    """The servers of virtual networks of our own; those that are left of them where libvirt makes the networks now."""
    if crew.servers is None or not (host.virtual_networks or crew.servers.is_dir()):
        return ()
    from bascule.guests.servers import ServerPart, plan_servers

    networks = resolved_networks(site, host)
    changes = plan_servers(networks, crew.servers, wanted, lasting=crew.lasting, by_libvirt=crew.by_libvirt)
    return (ServerPart(folder=crew.servers, servers=changes, lasting=crew.lasting),) if changes else ()


def without_moves(plan: Plan, taps: Container[str]) -> Plan:
    """The changes that come before the hypervisor's part: all but what is about the bridge of a tap that it moves."""
    return Plan(changes=tuple(x for x in plan.changes if not (x.subject in taps and x.stage in MOVES)))
