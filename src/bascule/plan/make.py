"""From a site, a host and what is there to the plan: the three lines that everything else is built on."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from msgspec.structs import replace

from bascule.model.site import Host, Site
from bascule.model.state import HostState
from bascule.plan.change import Plan
from bascule.plan.diff import diff
from bascule.plan.step import Context
from bascule.plan.target import target


def make_plan(
    site: Site,
    host: Host,
    observed: HostState,
    *,
    added: Mapping[str, frozenset[str]] = MappingProxyType({}),
    management: frozenset[str] = frozenset(),
    by_libvirt: bool = False,
) -> tuple[Plan, HostState]:
    """The plan and the state that it leads to.

    ``added`` are the addresses that Bascule put on links before; ``management`` names the links on which the
    administrator's own line to the host runs. ``by_libvirt``: libvirt runs this host's guests, so bridge, rules and
    forwarding of its virtual networks are libvirt's, and of them only a note is left here.
    Raises BasculeError with every NIC that the file names and the host does not have.
    """
    wanted = target(site, host, observed, added, by_libvirt=by_libvirt)
    context = Context(reasons=wanted.reasons, guests=wanted.guests, running=wanted.running, management=management)
    plan = diff(observed, wanted.state, context)
    return replace(plan, notes=wanted.notes), wanted.state
