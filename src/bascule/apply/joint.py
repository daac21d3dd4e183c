"""Host and guests as one plan: the kernel's changes, and behind them those of whoever runs the guests."""

from __future__ import annotations

from collections.abc import Container, Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING

from msgspec import Struct

from bascule.apply.crew import Crew
from bascule.errors import BasculeError, Problem
from bascule.model.site import Host, Site
from bascule.model.state import HostState
from bascule.plan.change import Note, Plan
from bascule.plan.make import make_plan
from bascule.plan.step import Phase
from bascule.plan.virtual_network import realms

if TYPE_CHECKING:
    from bascule.apply.beside import Beside
    from bascule.guests.servers import ServerPart

MOVES = {Phase.DETACH, Phase.ENSLAVE, Phase.PORT}  # what a driver does to a tap itself, or drops by doing it


class Joint(Struct, frozen=True, kw_only=True):
    """The whole plan of a host, the kernel's state that it leads to, and the parts beside it."""

    plan: Plan
    wanted: HostState
    besides: tuple[Beside, ...] = ()  # in the order in which they are made


def plan_jointly(
    site: Site,
    host: Host,
    observed: HostState,
    crew: Crew,
    *,
    added: Mapping[str, frozenset[str]] = MappingProxyType({}),
    management: frozenset[str] = frozenset(),
) -> Joint:
    """The plan for this host with everything that is asked of libvirt or bare QEMU.

    Where nobody runs guests it is the kernel's plan. Raises BasculeError for what the kernel's plan refuses, and for a
    MAC that a new NIC would share with another.
    """
    seen = crew.seen
    if seen is None:
        plan, wanted = make_plan(site, host, observed, added=added, management=management)
        refuse_shared(observed, wanted)
        parts = _servers(site, host, crew, wanted, by_libvirt=False)
        behind = tuple(change for one in parts for change in one.changes)
        return Joint(
            plan=Plan(changes=(*plan.changes, *behind), notes=(*plan.notes, *crew.notes)), wanted=wanted, besides=parts
        )
    from bascule.guests import changes
    from bascule.guests.identity import alive_elsewhere, conflicts, taken
    from bascule.guests.libvirt_networks import plan_networks
    from bascule.guests.part import GuestPart
    from bascule.observe.neighbours import fdb

    plan, wanted = make_plan(crew.site, host, observed, added=added, management=management, by_libvirt=seen.is_libvirt)
    refuse_shared(observed, wanted)
    part = GuestPart(
        seen=seen,
        networks=plan_networks(seen.networks, seen.domains, realms(site, host)) if seen.is_libvirt else (),
        guests=changes.plan_guests(seen.domains, site, host.name),
    )
    learned = fdb()
    new = changes.new_nics(part.guests)
    if problems := taken(new, seen.domains, observed):
        raise BasculeError(*problems)
    said = [Note(kind="warning", subject=host.name, text=p.message) for p in conflicts(seen.domains, observed, learned)]
    said += alive_elsewhere(new, learned)
    said += changes.waiting(seen.domains, site, host.name)
    early = without_moves(plan, part.moved_taps)
    late = tuple(x for x in plan.changes if x not in early.changes and x.stage not in {Phase.DETACH, Phase.ENSLAVE})
    servers = _servers(site, host, crew, wanted, by_libvirt=seen.is_libvirt)
    # libvirt's own dnsmasq wants the ports of ours
    order: tuple[Beside, ...] = (*servers, part) if seen.is_libvirt else (part, *servers)
    besides = tuple(one for one in order if one.changes)
    told = [change for one in besides for change in one.changes]
    whole = Plan(changes=(*early.changes, *told, *late), notes=(*plan.notes, *crew.notes, *said))
    return Joint(plan=whole, wanted=wanted, besides=besides)


def _servers(site: Site, host: Host, crew: Crew, wanted: HostState, *, by_libvirt: bool) -> tuple[ServerPart, ...]:
    """The servers of virtual networks of our own; those that are left of them where libvirt makes the networks now."""
    if crew.servers is None or not (host.virtual_networks or crew.servers.is_dir()):
        return ()
    from bascule.guests.servers import ServerPart, plan_servers

    networks = realms(site, host)
    changes = plan_servers(networks, crew.servers, wanted, lasting=crew.lasting, by_libvirt=by_libvirt)
    return (ServerPart(folder=crew.servers, servers=changes, lasting=crew.lasting),) if changes else ()


def without_moves(plan: Plan, taps: Container[str]) -> Plan:
    """The changes that come before the hypervisor's part: all but what is about the bridge of a tap that it moves."""
    return Plan(changes=tuple(x for x in plan.changes if not (x.subject in taps and x.stage in MOVES)))


def refuse_shared(observed: HostState, wanted: HostState) -> None:
    """Raise a problem for each NIC that shall become a port while a macvtap sits on it: the kernel calls it busy."""
    problems = []
    for link in observed.links.values():
        kind = getattr(link.options, "info_kind", "") or link.options.kind
        if kind not in {"macvtap", "macvlan"} or link.parent is None or link.parent not in wanted.links:
            continue
        master = wanted.links[link.parent].master
        if master is not None and master != observed.links[link.parent].master and link.name in wanted.links:
            problems.append(
                Problem(
                    code="NIC-SHARED",
                    message=f"{link.parent} cannot become a port of {master} while the {kind} {link.name} sits on it",
                    hint="shut down the guest that it belongs to; `bascule guest list` shows which",
                )
            )
    if problems:
        raise BasculeError(*problems)
