"""From a site, a host and what is there to the plan: the one function that makes a plan from a site file."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from types import MappingProxyType

from msgspec.structs import replace

from bascule.errors import BasculeError, Problem
from bascule.model.site import Host, Site
from bascule.model.state import HostState, Link
from bascule.model.values import IfName
from bascule.plan.change import Note, Plan
from bascule.plan.diff import diff
from bascule.plan.guest_ports import refuse_stranded, with_losses
from bascule.plan.step import Context
from bascule.plan.target import target
from bascule.plan.warnings.forwards import taken_ports
from bascule.plan.warnings.mtu import mtu_notes, mtu_problems
from bascule.plan.warnings.overlaps import notes_of, overlaps, problems_of
from bascule.plan.warnings.spanning_tree import spanning_tree_notes
from bascule.providers.protocol import PlanInputs
from bascule.providers.registry import PROVIDERS
from bascule.topology.loops import loop_problems
from bascule.topology.wires import declared_wires

NO_INPUTS = PlanInputs()
NO_CARRIER = {"DOWN", "LOWERLAYERDOWN"}  # operstate of a link that is up (RFC 2863)


def make_plan(site: Site, host: Host, observed: HostState, inputs: PlanInputs = NO_INPUTS) -> tuple[Plan, HostState]:
    """The plan and the state that it leads to.

    Where a provider makes the virtual networks (libvirt, where it was asked), bridge, rules and forwarding are its own.
    Raises BasculeError with every NIC that the file names and the host does not have, for a NIC that a macvtap holds,
    for every loop that would be closed, as far as the file knows the wires, for VLAN links with a larger MTU than the
    link below them, and for what a provider cannot make.
    """
    as_it_runs, raw = site_as_it_runs(site, host, observed), observed
    observed = inputs.earlier.recognised(site, observed)
    made = inputs.networks_are_made or any(one.makes_networks and one.part(observed) for one in PROVIDERS)
    wanted = target(as_it_runs, host, observed, inputs.earlier, by_libvirt=made)
    refuse_shared(observed, wanted.state, inputs.held)
    if problems := loop_problems(wanted.state, declared_wires(site, host), observed):
        raise BasculeError(*problems)
    if problems := tuple(mtu_problems(host, wanted.state)):
        raise BasculeError(*problems)
    astray = overlaps(as_it_runs, host, observed, wanted.state, by_libvirt=made)
    if problems := problems_of(astray):
        raise BasculeError(*problems)
    state, reasons, guests, notes = wanted.state, dict(wanted.reasons), dict(wanted.guests), list(wanted.notes)
    running = dict(wanted.running)
    for provider in PROVIDERS:
        if provider.part(observed) is None:
            continue
        own = provider.want(as_it_runs, host, observed, state, inputs)
        state = provider.with_part(state, own.part)
        reasons |= own.reasons
        guests |= own.guests
        running |= own.guests  # a step of theirs that costs an outage cuts those that it is about
        notes += own.notes
    notes += (*notes_of(astray), *spanning_tree_notes(host.bridges.values(), observed, state))
    notes += (*_without_carrier(host, observed), *_until_the_lease(host, observed, state))
    notes += mtu_notes(site, host, observed, state)
    context = Context(reasons=reasons, guests=guests, running=running, management=inputs.management)
    nics = {*host.nics, *inputs.earlier.ports}
    refuse_stranded(observed, state, nics, host.place)
    names = {nic.tap: nic.guest for nic in as_it_runs.guest_nics(host.name)}
    plan = with_losses(diff(observed, state, context), observed, state, nics, names)
    if plan and raw is not observed:  # a lost mark alone is no change, and comes back with the next one
        plan = with_losses(diff(raw, state, context), observed, state, nics, names)
    own_line: tuple[str, ...] = ()
    if plan:
        from bascule.plan.host_connectivity import HostConnectivity

        line = HostConnectivity(observed, state, nics, inputs.connected(), host.listeners)
        notes += line.warnings()
        own_line = line.changes(plan)
    taken = tuple(taken_ports(host, observed, state, inputs.served))
    notes += (one.note for one in taken)
    own_line += tuple(one.own_line for one in taken if one.is_new)
    return replace(plan, notes=tuple(notes), own_line=own_line), state


def _until_the_lease(host: Host, observed: HostState, state: HostState) -> Iterator[Note]:
    """A link that is to ask by DHCP in place of a written address: whoever asks there is told of it at the end only."""
    there, then = ([a for x in each.links.values() if x.name != "lo" for a in x.addresses if not a.is_ipv6]
                   for each in (observed, state))  # fmt: skip
    gone = [one.ip for one in there if one.ip not in {other.ip for other in then}]
    for link in host.links() if gone and not any(one.dynamic for one in there) else ():
        wanted = state.links.get(link.name)
        if link.dhcp and wanted is not None and all(one.is_ipv6 for one in wanted.addresses):
            text = "its client asks for a lease only after 'bascule confirm', and until then it has no IPv4 address: "
            text += f"'address: [{gone[0]}, dhcp]' keeps {gone[0]} beside the lease"
            yield Note(kind="warning", subject=link.name, text=text)


def _without_carrier(host: Host, observed: HostState) -> Iterator[Note]:
    """A word for each NIC of the file that is up and has no carrier; of one that is down nothing can be said."""
    for name in host.nics:
        link = observed.links.get(name)
        if link is None or not link.up or link.facts.carrier or link.facts.operstate not in NO_CARRIER:
            continue
        text = f"has no carrier: {no_carrier(link)}; no traffic passes over it"
        yield Note(kind="warning", subject=name, text=text)


def no_carrier(link: Link) -> str:
    """Why nothing comes or goes by a link that is up."""
    if link.facts.protodown:
        return f"a program holds it down (ip link set {link.name} protodown off)"
    return "no cable, or its far end is down"


def site_as_it_runs(site: Site, host: Host, observed: HostState) -> Site:
    """The site with what its running guests have now: a tap of libvirt's choice until their next start."""
    for provider in PROVIDERS:
        site = provider.as_it_runs(site, host, observed)
    return site


def refuse_shared(
    observed: HostState, wanted: HostState, held: Mapping[str, tuple[str, ...]] = MappingProxyType({})
) -> None:
    """Raise a problem for each NIC that shall become a port while a macvtap sits on it: the kernel calls it busy.

    ``held`` are those on which links of other network namespaces sit, with whose they are.
    """
    problems = []
    sitting = [(name, words, True) for name, some in held.items() for words in some]
    removals: dict[str, IfName] = {}  # no guest's driver makes these
    for link in observed.links.values():
        kind = getattr(link.options, "info_kind", "") or link.options.kind
        if kind in {"macvtap", "macvlan", "ipvlan"} and link.parent is not None and link.name in wanted.links:
            sitting.append((link.parent, f"the {kind} {link.name}", False))
            if kind != "macvtap":
                removals[f"the {kind} {link.name}"] = link.name
    for name, words, is_elsewhere in sitting:
        master = wanted.links[IfName(name)].master if name in wanted.links else None
        if master is None or master == observed.links[IfName(name)].master:
            continue
        hint = "shut down the guest that it belongs to; `bascule guest list` shows which"
        if words in removals:
            hint = f"remove it (ip link del {removals[words]}), and create it again on {master} if it is still needed"
        if is_elsewhere:
            hint = "stop the container, or give it a veth on the bridge instead"
        message = f"{name} cannot become a port of {master} while {words} sits on it"
        problems.append(Problem(code="NIC-SHARED", message=message, hint=hint))
    if problems:
        raise BasculeError(*problems)
