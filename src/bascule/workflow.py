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
from bascule.apply.place import here as state_folder
from bascule.apply.prepare import Prepared, added_before, look, prepare, prepare_from
from bascule.errors import BasculeError, Problem
from bascule.host.identity import choose_host, started_as_found
from bascule.host.live import LiveHost
from bascule.observe.management import management
from bascule.plan.batch import tools
from bascule.plan.change import Note
from bascule.providers.json import from_json, to_json
from bascule.providers.observe import begin
from bascule.site import parse
from bascule.system.disk.files import read_bytes
from bascule.system.net.netns import Namespace
from bascule.system.run import require_tools

# what one verb alone needs is imported by it: half of the time of a small `plan` would be imports
if TYPE_CHECKING:
    from bascule.apply.rollback.passes import Look
    from bascule.draw import SeenHost
    from bascule.importer.importing import Imported
    from bascule.model.site import Host, Site
    from bascule.model.state import HostState
    from bascule.observe.management import Management
    from bascule.plan.change import Plan
    from bascule.system.clock import Progress
    from bascule.twin.backend_choice import BackendChoice, BackendKind
    from bascule.verify.checks import Check
    from bascule.verify.expectations import Outcome

STATE_MAX = 256 << 20  # bytes; 1,000 bridges with 5,000 taps are about 5 MiB


def load(site_file: str) -> Site:
    """Read and check the site file."""
    return parse(read_bytes(site_file), site_file)


def plan(
    site_file: str,
    *,
    host: str | None = None,
    observed_file: str | None = None,
    save_to: str | None = None,
    asked: Asked = ANYBODY,
) -> Prepared:
    """What would change on this host, or on the one whose state was saved; ``save_to`` keeps what was observed.

    ``asked`` says who runs the guests; for a saved state nobody is asked.
    """
    with nullcontext() if observed_file else begin() as begun:
        site = load(site_file)
        chosen = choose_host(site, host)
        if observed_file:
            found = prepare_from(site, chosen, _saved(observed_file))
        else:
            ready = prepare(site, chosen, asked=asked, begun=begun)  # what apply would do here: the same code
            found = replace(ready, plan=_runnable(ready.plan))
    if save_to:
        Path(save_to).write_text(json.dumps(to_json(found.observed), indent=1) + "\n")
    return found


def _runnable(found: Plan) -> Plan:
    """See that the plan's programs are here. An ordinary user is told what he could not see."""
    needed = tools(found)
    require_tools(needed)
    if "nft" not in needed or os.geteuid() == 0:
        return found
    note = Note(kind="warning", subject="nft", text="shows its tables to root alone: rules may stand already")
    return replace(found, notes=(*found.notes, note))


def _saved(path: str) -> HostState:
    try:
        return from_json(json.loads(read_bytes(path, limit=STATE_MAX)))
    except ValueError as error:
        raise BasculeError.of("STATE-FILE", f"'{path}' is no saved state: {error}") from error


def seen_host(site: Site, host: Host) -> SeenHost:
    """What this host shows, and what the plan would change on it, for the picture."""
    from bascule.draw import SeenHost

    try:
        found = prepare(site, host, asked=ANYBODY)
    except BasculeError as error:
        problems = tuple(problem.message for problem in error.problems)
        return SeenHost(state=look(site, host), problems=problems)
    return SeenHost(state=found.observed, changes=found.plan.changes)


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
    from bascule.apply.prepare import prepare
    from bascule.probe.live import live_domain
    from bascule.verify.checks import read_neighbours
    from bascule.verify.endpoints import Endpoints
    from bascule.verify.expectations import judge
    from bascule.verify.host import check_host

    site = load(site_file)
    chosen = choose_host(site, host)
    ready = prepare(site, chosen, asked=ANYBODY)
    with Namespace.current(chosen.name) as here:
        probe_domain = live_domain(site, chosen, ready.observed, here)
        checks = check_host(site, chosen, ready.observed, probe_domain, ready.plan)
        endpoints = Endpoints(site, probe_domain, read_neighbours(here))  # after the checks, which made guests speak
        return Verified(host=chosen, checks=checks, outcomes=judge(site, probe_domain, endpoints))


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
    observed: tuple[str, ...] = ()
    changed: bool = False  # the site file is another one now

    @property
    def ok(self) -> bool:
        """Whether every check and every expectation held, as far as it could be asked, and none was left unproven."""
        return all(check.ok is not False for check in self.checks) and all(x.ok is True for x in self.outcomes)


def rehearse(
    site_file: str, *, host: str | None = None, guests: BackendKind = "namespace", progress: Progress | None = None
) -> Rehearsal:
    """The whole site in a twin: the plan by the same engine, every check and expectation, and the way back."""
    from bascule.system.clock import Clock
    from bascule.system.process.sandbox import sandboxed
    from bascule.twin import BackendChoice
    from bascule.twin import tools as tools_of_twin

    clock = Clock(progress)
    clock.lap("reading the file")
    site = load(site_file)
    names = tuple(site.hosts) if host is None else (choose_host(site, host).name,)
    require_tools(tools_of_twin(site))
    found_here = _observed_here(site, names)
    if guests != "namespace":
        clock.lap("looking for KVM and a kernel")
    backend = BackendChoice.of(guests)
    clock.end()
    found = sandboxed(_in_the_twin, site, names, found_here, backend, progress)
    return Rehearsal(
        site=site,
        backend=backend,
        observed=tuple(found_here),
        changed=sha256(read_bytes(site_file)).hexdigest() != site.source.digest,
        timings={**clock.laps, **found.pop("timings"), "total": clock.total()},
        **found,
    )


class _Here(Struct, frozen=True, kw_only=True):
    """What a plan for this machine is made from, where it is one of the hosts that are rehearsed."""

    observed: HostState
    line: Management | None
    added: Mapping[str, frozenset[str]]


def _in_the_twin(
    site: Site, names: Sequence[str], found: Mapping[str, _Here], backend: BackendChoice, progress: Progress | None
) -> dict[str, Any]:
    """The fields of a Rehearsal that come out of the sandbox."""
    from bascule.apply.rollback.passes import apply_or_roll_back, roll_back
    from bascule.providers.protocol import ThreeWay
    from bascule.system.clock import Clock
    from bascule.system.process.sandbox import privilege
    from bascule.twin import Twin
    from bascule.verify.checks import second_plan, way_back
    from bascule.verify.expectations import judge
    from bascule.verify.host import check_host

    clock = Clock(progress)
    clock.lap("building the twin")
    with Twin.raise_(site, hosts=names, observed={n: one.observed for n, one in found.items()}, guests=backend) as twin:
        clock.lap("applying the plan")
        hosts = {name: LiveHost(twin.host(name)) for name in names}
        looks = {name: partial(look, site, site.hosts[name], twin.host(name)) for name in names}

        def prepared(name: str, state: HostState) -> Prepared:
            here = found.get(name)
            line, added = (here.line, here.added) if here is not None else (None, {})
            return prepare_from(site, site.hosts[name], state, line=line, added=added, by_libvirt=backend.by_libvirt)

        plans = {name: prepared(name, _start(looks[name], hosts[name], twin.observed.get(name))) for name in names}
        made = {}
        for name, one in plans.items():
            change = ThreeWay(before=one.observed, wanted=one.wanted, now=one.observed)
            apply_or_roll_back(one.plan, change, looks[name], where=hosts[name])
            made[name] = replace(change, applied=looks[name]())
        clock.lap("starting the guests")
        twin.plug_guests()
        twin.start_guests()
        clock.lap("checking")
        probe_domain = twin.probe_domain()
        after = {name: looks[name]() for name in names}
        again = {name: prepared(name, after[name]).plan for name in names}
        checks = [
            check
            for name in names
            for check in check_host(site, site.hosts[name], after[name], probe_domain, again[name])
        ]
        checks += [second_plan(name, again[name]) for name in names]
        clock.lap("asking the expectations")
        outcomes = judge(site, probe_domain)
        clock.lap("going the way back")
        checks += [way_back(n, roll_back(change, looks[n], where=hosts[n]).left) for n, change in made.items()]
        clock.end()
        return {
            "privilege": str(privilege() or ""),
            "plans": {name: one.plan for name, one in plans.items()},
            "checks": tuple(checks),
            "outcomes": outcomes,
            "notes": tuple(twin.notes),
            "timings": clock.laps,
        }


def _start(look_: Look, where: LiveHost, observed: HostState | None) -> HostState:
    """Bring a host of the twin into the state in which the real one was seen; what it then is."""
    from bascule.apply.engine import execute
    from bascule.plan.diff import diff

    if observed is not None:
        execute(diff(look_(), observed), where=where)
    return look_()


def _observed_here(site: Site, names: Sequence[str]) -> dict[str, _Here]:
    """What this machine's plan is made from, if it has every NIC of one of the hosts and therefore is that host."""
    host = started_as_found(site, names)
    if host is None:
        return {}
    state = look(site, host)
    return {host.name: _Here(observed=state, line=management(state), added=added_before(site, host, state_folder()))}


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
    state = prepare(site, chosen).wanted if here else None
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
        # the networks that its files told of are libvirt's, whether it runs or rests
        if prepare_from(imported.site, there, look(imported.site, there), by_libvirt=True).plan:
            imported = import_sources(sources, as_found=True)
    return imported
