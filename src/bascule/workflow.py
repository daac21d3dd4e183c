"""The page to read first: each verb as a few straight lines over the folders below."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any

from msgspec import Struct
from msgspec.structs import replace

from bascule.apply.crew import ANYBODY, Asked
from bascule.errors import BasculeError, Problem
from bascule.host.identity import choose_host, started_as_found
from bascule.plan.batch import tools
from bascule.plan.change import Note
from bascule.plan.make import make_plan
from bascule.plan.target import sysctl_keys
from bascule.providers.json import from_json, to_json
from bascule.providers.observe import begin, observe
from bascule.site import parse
from bascule.system.disk.files import read_bytes
from bascule.system.net.netns import Namespace
from bascule.system.run import require_tools

# what one verb alone needs is imported by it: half of the time of a small `plan` would be imports
if TYPE_CHECKING:
    from bascule.apply.engine import Observe
    from bascule.importer.importing import Imported
    from bascule.model.site import Host, Site
    from bascule.model.state import HostState
    from bascule.plan.change import Plan
    from bascule.system.clock import Progress
    from bascule.twin.cast import Cast, Kind
    from bascule.verify.checks import Check
    from bascule.verify.expectations import Outcome

STATE_MAX = 256 << 20  # bytes; 1,000 bridges with 5,000 taps are about 5 MiB


def load(site_file: str) -> Site:
    """Read and check the site file."""
    return parse(read_bytes(site_file), site_file)


class Planned(Struct, frozen=True, kw_only=True):
    """A plan with what it was made from and what it leads to."""

    site: Site
    host: Host
    observed: HostState
    wanted: HostState
    plan: Plan


def plan(
    site_file: str,
    *,
    host: str | None = None,
    observed_file: str | None = None,
    save_to: str | None = None,
    asked: Asked = ANYBODY,
) -> Planned:
    """What would change on this host, or on the one whose state was saved; ``save_to`` keeps what was observed.

    ``asked`` says who runs the guests; for a saved state nobody is asked.
    """
    with nullcontext() if observed_file else begin() as begun:
        site = load(site_file)
        chosen = choose_host(site, host)
        if observed_file:
            observed = _saved(observed_file)
            found, wanted = make_plan(site, chosen, observed)
        else:
            from bascule.apply.prepare import prepare  # what apply would do here: the same code

            ready = prepare(site, chosen, asked=asked, begun=begun)
            observed, wanted, found = ready.observed, ready.wanted, _runnable(ready.plan)
    if save_to:
        Path(save_to).write_text(json.dumps(to_json(observed), indent=1) + "\n")
    refuse_loops(site, chosen, observed, wanted)
    return Planned(site=site, host=chosen, observed=observed, wanted=wanted, plan=found)


def _runnable(found: Plan) -> Plan:
    """See that the plan's programs are here. An ordinary user is told what he could not see."""
    needed = tools(found)
    require_tools(needed)
    if "nft" not in needed or os.geteuid() == 0:
        return found
    note = Note(kind="warning", subject="nft", text="shows its tables to root alone: rules may stand already")
    return replace(found, notes=(*found.notes, note))


def refuse_loops(site: Site, host: Host, observed: HostState, wanted: HostState) -> None:
    """Raise a problem for every loop that the wanted state would close, as far as the file knows the wires."""
    from bascule.topology.loops import loop_problems
    from bascule.topology.wires import declared_wires

    problems = loop_problems(wanted, declared_wires(site, host), observed)
    if problems:
        raise BasculeError(*problems)


def look(site: Site, host: Host, namespace: Namespace | None = None) -> HostState:
    """The state of a host, with the kernel parameters that its plan looks at."""
    taps = tuple(nic.tap for nic in site.guest_nics(host.name))
    return observe(sysctls=sysctl_keys(host, taps), namespace=namespace)


def _saved(path: str) -> HostState:
    try:
        return from_json(json.loads(read_bytes(path, limit=STATE_MAX)))
    except ValueError as error:
        raise BasculeError.of("STATE-FILE", f"'{path}' is no saved state: {error}") from error


class Verified(Struct, frozen=True, kw_only=True):
    """What this host showed about itself."""

    host: Host
    checks: tuple[Check, ...]
    outcomes: tuple[Outcome, ...]

    @property
    def ok(self) -> bool:
        """Whether everything that could be asked from here holds."""
        return all(check.ok is not False for check in self.checks) and all(x.ok is not False for x in self.outcomes)


def verify(site_file: str, *, host: str | None = None) -> Verified:
    """The checks of this host and the expectations that it can ask, live."""
    from bascule.plan.hardware import find_nics
    from bascule.probe.live import live_world
    from bascule.verify.checks import read_neighbours
    from bascule.verify.endpoints import Endpoints
    from bascule.verify.expectations import judge
    from bascule.verify.host import check_host

    site = load(site_file)
    chosen = choose_host(site, host)
    state = look(site, chosen)
    find_nics(chosen, state)
    with Namespace.current(chosen.name) as here:
        world = live_world(site, chosen, state, here)
        checks = check_host(site, chosen, state, world)
        endpoints = Endpoints(site, world, read_neighbours(here))  # after the checks, which made guests speak
        return Verified(host=chosen, checks=checks, outcomes=judge(site, world, endpoints))


class Rehearsal(Struct, frozen=True, kw_only=True):
    """What a rehearsal showed. ``observed`` names the hosts that started as this machine was found."""

    site: Site
    cast: Cast
    privilege: str
    plans: Mapping[str, Plan]
    checks: tuple[Check, ...]
    outcomes: tuple[Outcome, ...]
    notes: tuple[Note, ...]
    timings: Mapping[str, float]  # seconds
    observed: tuple[str, ...] = ()
    changed: bool = False  # the site file is another one now

    @property
    def ok(self) -> bool:
        """Whether every check and every expectation held, as far as it could be asked, and none was left unproven."""
        return all(check.ok is not False for check in self.checks) and all(x.ok is True for x in self.outcomes)


def rehearse(
    site_file: str, *, host: str | None = None, guests: Kind = "namespace", progress: Progress | None = None
) -> Rehearsal:
    """The whole site in a twin: the plan by the same engine, every check and expectation, and the way back."""
    from bascule.system.clock import Clock
    from bascule.system.process.sandbox import sandboxed
    from bascule.twin import Cast
    from bascule.twin import tools as tools_of_twin

    clock = Clock(progress)
    clock.lap("reading the file")
    site = load(site_file)
    names = tuple(site.hosts) if host is None else (choose_host(site, host).name,)
    require_tools(tools_of_twin(site))
    observed = _observed_here(site, names)
    if guests != "namespace":
        clock.lap("looking for KVM and a kernel")
    cast = Cast.of(guests)
    clock.end()
    found = sandboxed(_in_the_twin, site, names, observed, cast, progress)
    return Rehearsal(
        site=site,
        cast=cast,
        observed=tuple(observed),
        changed=sha256(read_bytes(site_file)).hexdigest() != site.source.digest,
        timings={**clock.laps, **found.pop("timings"), "total": clock.total()},
        **found,
    )


def _in_the_twin(
    site: Site, names: Sequence[str], observed: Mapping[str, HostState], cast: Cast, progress: Progress | None
) -> dict[str, Any]:
    """The fields of a Rehearsal that come out of the sandbox."""
    from bascule.apply.engine import apply_or_take_back, take_back
    from bascule.system.clock import Clock
    from bascule.system.process.sandbox import privilege
    from bascule.twin import Twin
    from bascule.verify.checks import second_plan, way_back
    from bascule.verify.expectations import judge
    from bascule.verify.host import check_host

    clock = Clock(progress)
    clock.lap("building the twin")
    with Twin.raise_(site, hosts=names, observed=observed, cast=cast) as twin:
        clock.lap("applying the plan")
        looks = {name: partial(look, site, site.hosts[name], twin.host(name)) for name in names}
        before = {name: _start(looks[name], twin.host(name), twin.observed.get(name)) for name in names}
        plan_ = partial(make_plan, site, by_libvirt=cast.by_libvirt)
        plans = {name: plan_(site.hosts[name], before[name])[0] for name in names}
        for name in names:
            apply_or_take_back(plans[name], before[name], looks[name], namespace=twin.host(name))
        clock.lap("starting the guests")
        twin.plug_guests()
        twin.start_guests()
        clock.lap("checking")
        world = twin.world()
        after = {name: looks[name]() for name in names}
        checks = [check for name in names for check in check_host(site, site.hosts[name], after[name], world)]
        checks += [second_plan(name, plan_(site.hosts[name], after[name])[0]) for name in names]
        clock.lap("asking the expectations")
        outcomes = judge(site, world)
        clock.lap("going the way back")
        checks += [way_back(name, take_back(before[name], looks[name], namespace=twin.host(name))) for name in names]
        clock.end()
        return {
            "privilege": str(privilege() or ""),
            "plans": plans,
            "checks": tuple(checks),
            "outcomes": outcomes,
            "notes": tuple(twin.notes),
            "timings": clock.laps,
        }


def _start(look_: Observe, room: Namespace, observed: HostState | None) -> HostState:
    """Bring a host of the twin into the state in which the real one was seen; what it then is."""
    from bascule.apply.engine import execute
    from bascule.plan.diff import diff

    if observed is not None:
        execute(diff(look_(), observed), namespace=room)
    return look_()


def _observed_here(site: Site, names: Sequence[str]) -> dict[str, HostState]:
    """The state of this machine, if it has every NIC of one of the hosts and therefore is that host."""
    host = started_as_found(site, names)
    return {host.name: look(site, host)} if host is not None else {}


def render(site_file: str, dialect_name: str, *, host: str | None = None, here: bool = False) -> Rendered:
    """A host's configuration files; with ``here`` the MACs that the file leaves open come from this machine."""
    from bascule.model.dialects import writable
    from bascule.persist import sysctls
    from bascule.persist.dialect import dialect
    from bascule.persist.wanted import unpinned, unsaid, wanted_config
    from bascule.persist.writer import Stamp

    spoken = dialect(dialect_name, writable)
    site = load(site_file)
    chosen = choose_host(site, host)
    state = make_plan(site, chosen, look(site, chosen))[1] if here else None
    config = wanted_config(site, chosen, state)
    besides = sysctls.render(site, chosen, state) if spoken.own else {}  # commands are read by nobody at boot
    stamp = Stamp(site.name, chosen.name, site.source.digest)
    files = {path: stamp.on(text) for path, text in {**spoken.render(config), **besides}.items()}
    return Rendered(chosen, files, unpinned(chosen, config), unsaid(chosen))


class Rendered(Struct, frozen=True):
    """Configuration files by path, the bridges whose MAC is left open, and what no dialect has words for."""

    host: Host
    files: Mapping[str, str]
    unpinned: tuple[str, ...]
    unsaid: tuple[str, ...]


def write_below(folder: str, files: Mapping[str, str]) -> None:
    """Put rendered files below a folder; one that stands there and is not Bascule's is never replaced."""
    from bascule.persist.writer import is_edited, is_ours, mode_of
    from bascule.system.disk.files import replace_file

    there = [Path(folder, path) for path in files if Path(folder, path).exists()]
    texts = {path: path.read_text(errors="replace") for path in there}
    words = {path: "is there and not Bascule's" for path, text in texts.items() if not is_ours(text)}
    words |= {path: "was edited since Bascule wrote it" for path, text in texts.items() if is_edited(text)}
    if words:
        hint = "name an empty folder with -o, or move them away"
        raise BasculeError(
            *(Problem(code="FILE-FOREIGN", message=f"'{path}' {why}", hint=hint) for path, why in words.items())
        )
    for path, text in files.items():
        replace_file(Path(folder, path), text.encode(), mode=mode_of(path))


def import_host(
    *, root: str | None = None, dialect_name: str | None = None, host: str | None = None, site_name: str | None = None
) -> Imported:
    """A site file from what is here, or from the files below ``root`` alone; its plan is empty."""
    from bascule.apply.crew import libvirt_may_be_here
    from bascule.importer.gather import gather
    from bascule.importer.importing import import_sources

    rests = root is None and not libvirt_may_be_here()
    sources = gather(root=root, dialect_name=dialect_name, host=host, site_name=site_name, libvirt_rests=rests)
    imported = import_sources(sources)
    if sources.state is not None:
        there = imported.site.hosts[sources.host]
        if make_plan(imported.site, there, look(imported.site, there), by_libvirt=True)[0]:  # its files told of them
            imported = import_sources(sources, as_found=True)
    return imported
