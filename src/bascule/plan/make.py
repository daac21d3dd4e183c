"""From a site, a host and what is there to the plan: the one function that makes a plan from a site file."""

from __future__ import annotations

from msgspec.structs import replace

from bascule.errors import BasculeError, Problem
from bascule.model.site import Host, Site
from bascule.model.state import HostState
from bascule.plan.change import Plan
from bascule.plan.diff import diff
from bascule.plan.step import Context
from bascule.plan.target import target
from bascule.providers.protocol import Surroundings
from bascule.topology.loops import loop_problems
from bascule.topology.wires import declared_wires

NOWHERE = Surroundings()


def make_plan(
    site: Site, host: Host, observed: HostState, surroundings: Surroundings = NOWHERE, *, by_libvirt: bool = False
) -> tuple[Plan, HostState]:
    """The plan and the state that it leads to.

    ``by_libvirt``: libvirt runs this host's guests, so bridge, rules and forwarding of its virtual networks are
    libvirt's, and of them only a note is left here.
    Raises BasculeError with every NIC that the file names and the host does not have, for a NIC that a macvtap holds,
    and for every loop that would be closed, as far as the file knows the wires.
    """
    wanted = target(site, host, observed, surroundings.added, by_libvirt=by_libvirt)
    refuse_shared(observed, wanted.state)
    if problems := loop_problems(wanted.state, declared_wires(site, host), observed):
        raise BasculeError(*problems)
    context = Context(
        reasons=wanted.reasons, guests=wanted.guests, running=wanted.running, management=surroundings.management
    )
    plan = diff(observed, wanted.state, context)
    return replace(plan, notes=wanted.notes), wanted.state


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
