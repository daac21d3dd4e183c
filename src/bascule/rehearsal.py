"""A rehearsal: the plan in a twin by the engine that changes a host, every check and expectation, and the way back."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from hashlib import sha256
from typing import TYPE_CHECKING, Any

from msgspec import Struct
from msgspec.structs import replace

from bascule.apply.engine import execute
from bascule.apply.options import ANY_DRIVER
from bascule.apply.plan_preview import not_asked_notes, with_listed_files
from bascule.apply.prepare import (
    PreparedPlan,
    earlier_changes,
    look,
    look_here,
    prepare_from,
    prepare_known,
    refuse_unmakable,
)
from bascule.apply.rollback.passes import apply_or_roll_back, roll_back
from bascule.apply.state_directory import here as state_folder
from bascule.errors import BasculeError
from bascule.host.identity import refuse_without_hosts, started_as_found
from bascule.host.live import LiveHost
from bascule.model.links import Bridge
from bascule.model.site import Site
from bascule.model.state import HostState
from bascule.model.values import IpAddress, Mac
from bascule.observe.bridge_tables import read_fdb
from bascule.observe.foreign_rules import ForeignRules, read_foreign_rules
from bascule.observe.management import Management, management
from bascule.observe.packet_path import known_macs, learned_macs, network_here
from bascule.plan.address_migration import in_places_of_their_own
from bascule.plan.change import Note, Plan
from bascule.plan.diff import diff
from bascule.plan.earlier import NOTHING, EarlierChanges
from bascule.plan.file_change import FILES
from bascule.plan.target.forget import left_alone
from bascule.policy.guards.ports import guarded_ports
from bascule.probe.domain import ProbeDomain
from bascule.providers.observe import observe
from bascule.providers.protocol import ThreeWay
from bascule.providers.static_fdb.state import declared_entries
from bascule.system.clock import Clock, Progress, unseen
from bascule.system.disk.files import read_bytes
from bascule.system.process.sandbox import privilege, sandboxed
from bascule.system.run import require_tools
from bascule.twin import Twin, tools
from bascule.twin.backend_choice import BackendChoice, BackendKind
from bascule.twin.foreign_rules import load_foreign_rules
from bascule.twin.neighbours import with_macs, with_neighbours
from bascule.twin.switches import has_switches, in_userspace
from bascule.twin.udev import enter_static_macs
from bascule.verify.checks import Check, second_plan, way_back
from bascule.verify.expectations import UNPROVEN, Outcome, judge, with_model
from bascule.verify.guards.frames import check_guards
from bascule.verify.host import check_host
from bascule.verify.plan_notes import plan_notes
from bascule.verify.reachability.host_model import model_host
from bascule.verify.reachability.matrix import Matrix, matrix
from bascule.verify.reachability.participant import HostModel

if TYPE_CHECKING:
    from bascule.apply.rollback.passes import Look
    from bascule.system.clock import Progress


CHANGED = "changed meanwhile; the verdicts are about what it said at the start"  # of the site file


class Rehearsal(Struct, frozen=True, kw_only=True):
    """What a rehearsal showed. ``observed`` names the hosts that started as this machine was found."""

    site: Site
    backend: BackendChoice
    privilege: str
    plans: Mapping[str, Plan]
    checks: tuple[Check, ...]
    outcomes: tuple[Outcome, ...]
    notes: tuple[Note, ...]
    timings: Mapping[str, float]  # seconds
    reach: tuple[tuple[str, Matrix], ...] = ()  # of each host of the twin, who reaches whom by its model
    observed: tuple[str, ...] = ()
    changed: bool = False  # the site file is another one now

    @property
    def start(self) -> str:
        """From what its hosts started."""
        return f"{', '.join(self.observed)} as found on this machine" if self.observed else "NICs only, nothing set up"

    @property
    def ok(self) -> bool:
        """Whether every check and every expectation that could be asked held, and the model agrees."""
        return all(check.ok is not False for check in self.checks) and all(
            outcome.ok is not False and not outcome.disagrees for outcome in self.outcomes
        )

    @property
    def proven(self) -> bool:
        """Whether it is ``ok``, no expectation is left open and no check unproven."""
        unproven = any(check.ok is None and check.unproven for check in self.checks)
        return self.ok and not unproven and all(outcome.ok is True for outcome in self.outcomes)


APART = 16  # of metrics: those next to them are for the links that the routes move to
HERE = {"warning", "along"}  # kinds of notes about this machine, of which a twin knows nothing


class KnownHost(Struct, frozen=True, kw_only=True):
    """What a plan for this machine is made from, where it is one of the hosts that are rehearsed."""

    observed: HostState
    line: Management | None
    earlier: EarlierChanges
    rules: ForeignRules
    macs: Mapping[IpAddress, Mac] = {}  # that it has in its neighbour tables


def rehearsed(
    site: Site,
    names: Sequence[str],
    clock: Clock,
    *,
    here: bool,
    root: str | None,
    guests: BackendKind,
    progress: Progress | None,
) -> Rehearsal:
    """The hosts of these names in a twin, with the files of the one that this machine is. Raises as ``in_the_twin``."""
    require_tools(tools(site))
    found_here = known_here(site, names, here=here)
    if guests != "namespace":
        clock.lap("looking for KVM and a kernel")
    backend = BackendChoice.of(guests)
    clock.end()
    found = sandboxed(in_the_twin, site, names, found_here, backend, progress)
    plans = with_files_here(site, found_here, found["plans"], root)
    found |= {"plans": plans, "notes": (*found["notes"], *_only_in_the_twin(found["plans"], plans))}
    times = {**clock.laps, **found.pop("timings"), "total": clock.total()}
    return Rehearsal(
        site=site, backend=backend, observed=tuple(found_here), changed=changed_since(site), timings=times, **found
    )


def in_the_twin(
    site: Site, names: Sequence[str], found: Mapping[str, KnownHost], backend: BackendChoice, progress: Progress | None
) -> dict[str, Any]:
    """The fields of a Rehearsal that come out of the sandbox."""
    clock = Clock(progress)
    clock.lap("building the twin")
    states = {name: one.observed for name, one in found.items()}
    site = with_macs(site, {ip: mac for one in found.values() for ip, mac in one.macs.items()})
    declared, site = site, _without_slots(in_userspace(with_neighbours(site, states.values())))
    with Twin.raise_(site, hosts=names, observed=states, guests=backend) as twin:
        clock.lap("applying the plan")
        hosts = {name: LiveHost(twin.host(name)) for name in names}
        earlier = {name: found[name].earlier if name in found else NOTHING for name in names}
        looks = {name: partial(look, site, site.hosts[name], twin.host(name), earlier[name]) for name in names}

        def prepared(name: str, state: HostState) -> PreparedPlan:
            line, made = found[name].line if name in found else None, backend.by_libvirt
            own = site.hosts[name]
            return prepare_from(site, own, state, line=line, earlier=earlier[name], networks_are_made=made)

        rules = {name: one.rules for name, one in found.items()}
        for name in names:
            begin = _with_own_times(twin.observed.get(name), partial(prepared, name))
            _start(twin, looks[name], hosts[name], name, begin, rules.get(name))
        plans = {name: prepared(name, looks[name]()) for name in names}
        made = {name: _make(one, looks[name], hosts[name]) for name, one in plans.items()}
        clock.lap("starting the guests")
        join = partial(_join_switches, site, hosts, lambda name: prepared(name, looks[name]()).plan)
        twin.plug_guests()
        join()
        twin.start_guests(progress=progress or unseen)
        join()  # those that libvirt has made
        enter_static_macs(site, hosts)
        clock.lap("checking")
        after = {name: looks[name]() for name in names}
        probe_domain = twin.probe_domain(after)
        again = {name: _own_part(prepared(name, after[name]).plan) for name in names}
        checks = [
            check
            for name in names
            for check in check_host(site, site.hosts[name], after[name], probe_domain, again[name])
        ]
        checks += [second_plan(name, again[name]) for name in names]
        clock.lap("asking the expectations")
        outcomes = _judged(site, probe_domain, models := _models(declared, names, after, twin))
        if any(guarded_ports(site, site.hosts[name]) for name in names):
            clock.lap("attacking the guards")
            checks += [check for name in names for check in check_guards(site, site.hosts[name], probe_domain)]
        clock.lap("taking the change back")
        checks += [way_back(n, roll_back(change, looks[n], where=hosts[n]).left) for n, change in made.items()]
        clock.end()
        return {
            "privilege": str(privilege() or ""),
            "plans": {name: one.plan for name, one in plans.items()},
            "checks": tuple(checks),
            "outcomes": outcomes,
            "reach": _matrices(declared, models),
            "notes": tuple(twin.notes),
            "timings": clock.laps,
        }


def _without_slots(site: Site) -> Site:
    """The site without ``path:`` of its NICs: those of a twin sit on no bus."""
    hosts = {
        name: replace(host, nics={one: replace(nic, path=None) for one, nic in host.nics.items()})
        for name, host in site.hosts.items()
    }
    return replace(site, hosts=hosts)


def _judged(site: Site, domain: ProbeDomain, models: Sequence[HostModel]) -> tuple[Outcome, ...]:
    """What frames and the model say of each expectation."""
    return tuple(map(_without_assumed_macs, with_model(judge(site, domain), models)))


def _without_assumed_macs(one: Outcome) -> Outcome:
    """What a machine reached by the MAC that its part in the twin has is not proven where rules ask for others."""
    if one.model is None or not one.model.assumes_macs or not one.ok:
        return one
    witness = replace(one.witness, sentence=f"unproven: {one.model.words}; {one.witness.sentence}")
    return replace(one, observed=UNPROVEN, ok=None, witness=witness)


def _matrices(site: Site, models: Sequence[HostModel]) -> tuple[tuple[str, Matrix], ...]:
    """Who reaches whom, of each host: the others are asked for their part of what leads to them."""
    return tuple(
        (one.here, matrix(one, site, others=[other for other in models if other is not one])) for one in models
    )


def _join_switches(site: Site, hosts: Mapping[str, LiveHost], plan_of: Callable[[str], Plan]) -> None:
    """Open vSwitch takes the taps of guests, and copies their frames, by a plan."""
    for name in filter(lambda one: has_switches(site.hosts[one]), hosts):
        execute(plan_of(name), where=hosts[name])


def _own_part(plan: Plan) -> Plan:
    """The plan without what the host has beside its file: that is no fault of the plan that was rehearsed."""
    return replace(plan, notes=tuple(note for note in plan.notes if note.kind != "extra"))


def _models(site: Site, names: Sequence[str], states: Mapping[str, HostState], twin: Twin) -> tuple[HostModel, ...]:
    """The hosts of the twin as the model has them."""
    found = []
    for name in names:
        with twin.host(name).entered():
            network = network_here(states[name])
            if declared_entries(site, site.hosts[name]):
                network = replace(network, fdb=tuple(learned_macs(one for one in read_fdb() if one.static)))
        found.append(model_host(network, name, "the twin", site, site.hosts[name]))
    return tuple(found)


def _make(one: PreparedPlan, look_: Callable[[], HostState], where: LiveHost) -> ThreeWay:
    """Apply a plan. Raises BasculeError."""
    refuse_unmakable(one)
    change = ThreeWay(before=one.observed, wanted=one.wanted, now=one.observed)
    apply_or_roll_back(one.plan, change, look_, where=where)
    return replace(change, applied=look_())


def _with_own_times(observed: HostState | None, plan: Callable[[HostState], PreparedPlan]) -> HostState | None:
    """A state with the file's times for bridges whose own the kernel hid, as another is the root of their tree."""
    hidden = [
        link
        for link in (observed.links.values() if observed is not None else ())
        if isinstance(link.options, Bridge) and link.options.forward_delay is None
    ]
    if observed is None or not hidden:
        return observed
    wanted, links = plan(observed).wanted.links, dict(observed.links)
    for link in hidden:
        after = wanted.get(link.name)
        if isinstance(link.options, Bridge) and after is not None and isinstance(after.options, Bridge):
            links[link.name] = replace(link, options=link.options.with_times(after.options))
    return replace(observed, links=links)


def _start(
    twin: Twin, look_: Look, where: LiveHost, name: str, observed: HostState | None, rules: ForeignRules | None
) -> None:
    """Bring a host of the twin into the state in which the real one was seen, with others' firewall rules."""
    if observed is not None:
        routes = tuple(in_places_of_their_own(observed.routes, (), apart=APART))
        execute(diff(look_(), replace(observed, routes=routes)), where=where)
    if rules is not None:
        twin.notes += load_foreign_rules(name, rules, twin.host(name))


def known_here(site: Site, names: Sequence[str], *, here: bool) -> dict[str, KnownHost]:
    """What this machine's plan is made from, if it is one of the hosts; ``here`` insists that it is the only one.

    Raises UsageFault where there is neither a host nor an expectation.
    """
    if not site.expectations:  # those of machines alone can be asked
        refuse_without_hosts(site)
    host = started_as_found(site, names, observe, here=here)
    if host is None:
        return {}
    earlier = earlier_changes(site, host, state_folder())
    state = look_here(site, host, state_folder(), ANY_DRIVER)
    rules = read_foreign_rules(state)
    line, macs = management(state), known_macs()
    return {host.name: KnownHost(observed=state, line=line, earlier=earlier, rules=rules, macs=macs)}


def with_files_here(
    site: Site, found: Mapping[str, KnownHost], plans: Mapping[str, Plan], root: str | None
) -> dict[str, Plan]:
    """The plans of the hosts that this machine is, as apply makes them, with what it would say, write and move.

    The twin plans without whoever keeps servers, limits or guests: what it has done instead is said. Where apply would
    refuse what the twin sets aside, that is said, and the plan is the twin's.
    """
    told = dict(plans)
    for name, one in found.items():
        told[name] = _with_kinds_here(told[name], one.observed)
        try:
            made = prepare_known(site, site.hosts[name], one.observed, line=one.line, earlier=one.earlier)
        except BasculeError as error:
            words = (f"apply will refuse this: {each.code}: {each.message}" for each in error.problems)
            refused = tuple(Note(kind="warning", subject=name, text=text) for text in words)
            told[name] = told[name].with_notes(refused)
            continue
        with_files = with_listed_files(made, root)
        listed = with_files.plan.with_notes((*plan_notes(with_files), *not_asked_notes(with_files)))
        there = told[name].notes
        notes = (n for n in listed.notes if n.subject == FILES or (n.kind in HERE and n not in there))
        told[name] = replace(listed, notes=(*there, *notes), own_line=told[name].own_line or listed.own_line)
    return told


def _only_in_the_twin(twin: Mapping[str, Plan], here: Mapping[str, Plan]) -> Iterator[Note]:
    """What plans of the twin did and those of apply do not: another does it here, or the twin began otherwise."""
    for name, plan in twin.items():
        known = {(change.subject, change.action) for change in here[name].changes}
        for one in plan.changes:
            if (one.subject, one.action) not in known:
                yield Note(kind="warning", subject=one.subject, text=f"{one.action}: apply does not do this here")


def _with_kinds_here(plan: Plan, observed: HostState) -> Plan:
    """The plan of a twin, all whose links are veths, with the kinds that those have which it leaves alone."""
    links = {str(name): link for name, link in observed.links.items()}
    return replace(plan, notes=tuple(
        replace(n, text=left_alone(links[n.subject])) if n.kind == "foreign" and n.subject in links else n
        for n in plan.notes
    ))  # fmt: skip


def changed_since(site: Site) -> bool:
    """Whether the site's file is another one by now; a site that was read from none has not changed."""
    source = site.source
    return bool(source.digest and source.path) and sha256(read_bytes(source.path)).hexdigest() != source.digest
