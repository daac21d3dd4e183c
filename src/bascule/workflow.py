"""The page to read first: every verb as a few straight lines over the folders below.

In the order of the work: the file, what would change, the change, whether it is so, the wires, files, pictures, guests.
Whatever takes a site takes the path of its file, or a Site that was read before. What one verb alone needs is
imported by it: half of the time of a small `plan` would be imports.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from os import PathLike, fspath
from typing import TYPE_CHECKING, Unpack

from bascule.errors import Problem, SiteFault
from bascule.system.clock import Clock, Progress, unseen

if TYPE_CHECKING:
    from bascule.apply.commit import UndoResult
    from bascule.apply.host_status import HostStatus
    from bascule.apply.options import DriverChoice
    from bascule.apply.prepare import PreparedPlan
    from bascule.apply.request import ApplyRequest
    from bascule.apply.rollback.preview import UndoPreview
    from bascule.apply.transaction import ApplyResult
    from bascule.draw import SeenHost
    from bascule.guests.chosen import ChosenGuests
    from bascule.guests.inventory import Inventory
    from bascule.guests.runtimes.runtime import GuestRuntime
    from bascule.importer.importing import Imported
    from bascule.importer.put_under_bridge import NewBridge
    from bascule.model.site import Host, Site
    from bascule.model.state import HostState
    from bascule.model.values import Service
    from bascule.persist.rendering import Rendered
    from bascule.plan.capacity import Capacity
    from bascule.plan.change import Plan
    from bascule.questions import OnHost
    from bascule.rehearsal import Rehearsal
    from bascule.survey.capture import Progress as Heard
    from bascule.survey.run import Captures, SurveyRun
    from bascule.system.net.netlink import NetlinkMonitor
    from bascule.twin.backend_choice import BackendKind
    from bascule.verify.checks import Check
    from bascule.verify.doctor import Finding
    from bascule.verify.live import Verified
    from bascule.verify.reachability.live import WhyAnswer
    from bascule.verify.reachability.matrix import Matrix

    SiteLike = Site | str | PathLike[str]


def load(site: SiteLike) -> Site:
    """Read and check a site file. Raises SiteFault with every problem of it, at its place."""
    if not isinstance(site, str | PathLike):
        return site
    from bascule.site import parse
    from bascule.system.disk.files import read_bytes

    path = fspath(site)
    return parse(read_bytes(path), "stdin" if path == "-" else path)


def check(site: SiteLike, progress: Progress = unseen) -> tuple[Problem, ...]:
    """Every problem of a site file, none where it is valid; also each expectation that the file itself contradicts."""
    from bascule.questions import contradictions

    try:
        return contradictions(load(site), progress)
    except SiteFault as fault:
        return fault.problems


def load_for(site: SiteLike, host: str | None) -> tuple[Site, Host]:
    """A site with the host that is meant: by name, by being the only one, or by being the one that we are on."""
    from bascule.host.identity import choose_host

    found = load(site)
    return found, choose_host(found, host)


def plan(
    site: SiteLike,
    *,
    host: str | None = None,
    here: bool = False,
    root: str | None = None,
    observed: HostState | None = None,
    choice: DriverChoice | None = None,
) -> PreparedPlan:
    """What would change on this host and in its files (those below ``root``), or on the one whose state was saved.

    ``here`` insists that this machine is that host, where neither its name nor its hardware says so. ``choice`` says
    who runs the guests, else whoever is there; for a saved state nobody is asked, and no file is looked at.
    """
    from bascule.apply.options import ANY_DRIVER
    from bascule.apply.plan_preview import not_asked_notes, runnable, with_listed_files
    from bascule.apply.prepare import prepare, prepare_from
    from bascule.providers.observe import begin
    from bascule.verify.plan_notes import plan_notes

    if observed is not None:
        return prepare_from(*load_for(site, host), observed)
    with begin() as begun:  # while the file is read
        found = prepare(*load_for(site, host), choice=choice or ANY_DRIVER, begun=begun, must_be_here=not here)
    found = with_listed_files(runnable(found), root)
    return found.with_notes((*plan_notes(found), *not_asked_notes(found)))


def rehearse(
    site: SiteLike,
    *,
    host: str | None = None,
    here: bool = False,
    root: str | None = None,
    guests: BackendKind = "namespace",
    progress: Progress | None = None,
) -> Rehearsal:
    """The whole site in a twin: the plan by the same engine, every check and expectation, and the way back.

    It starts as this machine was found where it is the host, which ``here`` insists on.
    """
    from bascule.rehearsal import rehearsed

    clock = Clock(progress)
    clock.lap("reading the file")
    read = load(site)
    names = tuple(read.hosts) if host is None else (load_for(read, host)[1].name,)
    return rehearsed(read, names, clock, here=here, root=root, guests=guests, progress=progress)


@contextmanager
def ready(
    site: SiteLike,
    *,
    host: str | None = None,
    here: bool = False,
    root: str | None = None,
    survey_s: float | None = None,
    progress: Heard | None = None,
    choice: DriverChoice | None = None,
) -> Iterator[ApplyRequest]:
    """All that can refuse a change before it is made; inside the context a change of the host by others is noticed.

    A machine that is not known to be the host (``here`` insists that it is), a change that waits to be confirmed, a
    loop, two configuration systems at once, a new address that somebody on the wire has, and with ``survey_s`` a wire
    that is another than the file says: each is an error with its reason.
    """
    from bascule.apply.options import ANY_DRIVER
    from bascule.apply.request import ApplyRequest, makable
    from bascule.persist.persister import find_persister
    from bascule.verify.plan_notes import plan_notes

    with makable(lambda: load_for(site, host), choice=choice or ANY_DRIVER, must_be_here=not here) as (found, waiting):
        prepared = found.with_notes(plan_notes(found))
        persister, not_kept = find_persister(prepared.site, prepared.host, root=root)
        remarks = gate(prepared, seconds=survey_s, progress=progress) if survey_s is not None else ()  # it takes long
        yield ApplyRequest.of(prepared, persister, not_kept=not_kept, remarks=remarks, waiting=waiting)


def gate(prepared: PreparedPlan, *, seconds: float, progress: Heard | None = None) -> tuple[str, ...]:
    """Listen on the wires first: raises BasculeError where one is another than the file says, or closes a loop."""
    from bascule.survey.run import gate_live

    about = prepared.site, prepared.host, prepared.wanted, prepared.observed
    return tuple(gate_live(*about, seconds=seconds, progress=progress))


def apply(
    given: ApplyRequest,
    *,
    window_s: float | None,
    agree: Callable[[PreparedPlan], bool] = lambda _: True,
    tell: Callable[[str], None] = print,
    probes: Sequence[str] = (),
    progress: Progress = unseen,
) -> ApplyResult:
    """Checkpoint, dead-man, change, checks, files; then it waits for `confirm` where a window is given, in seconds.

    ``agree`` is asked again where the host has changed meanwhile. Raises TakenBack when a step or a check failed.
    """
    from bascule.apply.follow import follow
    from bascule.apply.transaction import apply as make
    from bascule.persist.takeover import managers_paused

    options = given.options(window_s=window_s, agree=agree, tell=tell, probes=probes, progress=progress)
    with managers_paused({change.subject for change in given.prepared.plan.changes}):
        done = make(given.prepared, options)
    if window_s is None and given.persister is not None:
        follow(done.folder, "the files are written", tell, progress)
    return done


def confirm(tell: Callable[[str], None] = print, progress: Progress = unseen) -> int:
    """Keep the change that waits, and let the configuration system know its new files; the change's number."""
    from bascule.apply import commit
    from bascule.apply.follow import follow

    folder = commit.confirm()
    follow(folder, "the change is confirmed and its files are written", tell, progress)
    return folder.number


def undo(
    tell: Callable[[str], None] = print,
    *,
    leave: bool = False,
    progress: Progress = unseen,
    seen: UndoPreview | None = None,
) -> UndoResult:
    """Take the last change back, confirmed or not; with ``leave`` it is closed even where something still differs.

    ``seen`` is what it would do: a host that has not changed since is not looked at once more.
    """
    from bascule.apply import commit

    return commit.undo(tell, leave=leave, progress=progress, seen=seen)


def undo_preview(monitor: NetlinkMonitor | None = None) -> UndoPreview | None:
    """What `undo` would do now, and which guests lose what by it; None where there is nothing to take back.

    The ``monitor`` tells an undo after it whether the host has changed meanwhile.
    """
    from bascule.apply.rollback.preview import preview
    from bascule.apply.state_directory import here

    return preview(here(), monitor)


def status() -> HostStatus:
    """The pending change, what was left unfinished, and drift."""
    from bascule.apply.host_status import host_status

    return host_status()


def verify(
    site: SiteLike, *, host: str | None = None, root: str | None = None, progress: Progress = unseen
) -> Verified:
    """The checks of this host, its files (those below ``root``) and the expectations that it can ask, live."""
    from bascule.apply.pending import waiting_words
    from bascule.apply.plan_preview import plan_preview
    from bascule.apply.state_directory import here
    from bascule.verify.live import verify_live

    seen, place = plan_preview(*load_for(site, host), root), here()
    networks, waiting = place.state / "networks", waiting_words(place)
    return verify_live(seen.site, seen.host, seen.observed, seen.plan, networks, waiting, progress)


def attack(site: SiteLike, guest: str, *, host: str | None = None) -> tuple[Check, ...]:
    """Whether the guard of a guest holds on this host, by hostile frames that reach nobody else."""
    from bascule.questions import attacked

    return attacked(*load_for(site, host), guest)


def why(
    source: str, target: str, service: Service, *, site: SiteLike | None = None, root: str = "/", **on: Unpack[OnHost]
) -> WhyAnswer:
    """Whether one reaches another by a service on a host, and what is in the way; firewalls' files below ``root``."""
    from bascule.questions import why as ask

    return ask(source, target, service, load(site) if site is not None else None, root, **on)


def reach(
    site: SiteLike | None = None,
    *,
    services: Sequence[Service] = (),
    sources: Sequence[str] = (),
    targets: Sequence[str] = (),
    **on: Unpack[OnHost],
) -> Matrix:
    """Who reaches whom by which service; ``wanted`` (as the file wants it) without ``host`` asks about all hosts.

    Raises UsageFault where nobody is called as ``sources`` or ``targets`` say.
    """
    from bascule.questions import reach as ask

    return ask(load(site) if site is not None else None, services, sources, targets, **on)


def doctor(site: SiteLike | None = None, *, host: str | None = None, uri: str | None = None) -> tuple[Finding, ...]:
    """What causes trouble on this host, each with its evidence and a fix."""
    from bascule.verify.doctor import examine
    from bascule.verify.doctor.gather import gather

    if site is None:
        return examine(gather(None, "", uri=uri))
    read, chosen = load_for(site, host)
    return examine(gather(read, chosen.name, uri=uri))


def capacity(site: SiteLike, *, host: str | None = None, uri: str | None = None) -> Capacity:
    """The account of a host's memory: the file's guests, and on the host itself what it has and what runs there."""
    from bascule.guests.memory import memory_account

    return memory_account(*load_for(site, host), uri=uri)


def survey(
    nics: Sequence[str] = (),
    *,
    seconds: float = 30.0,
    site: SiteLike | None = None,
    host: str | None = None,
    active: bool = False,
    captures: Captures | None = None,
    progress: Heard | None = None,
) -> SurveyRun:
    """Which network is on which wire: by listening on this host's NICs, or from ``captures`` by NIC."""
    from bascule.survey.run import survey_captures, survey_live

    read, chosen = load_for(site, host) if site is not None else (None, None)
    if captures is not None:
        return survey_captures(captures, site=read, host=chosen)
    return survey_live(nics, seconds=seconds, site=read, host=chosen, active=active, progress=progress)


def blink(
    nics: Sequence[str], seconds: int = 10, *, remark: Callable[[str], object], begun: Callable[[str], object]
) -> dict[str, Problem | None]:
    """Let the LED at each NIC's port blink, one after the other; for each what hindered it, if anything."""
    from bascule.survey.run import blink as one_by_one

    return one_by_one(nics, seconds, remark=remark, begun=begun)


def render(site: SiteLike, dialect: str, *, host: str | None = None, here: bool = False) -> Rendered:
    """A host's configuration files; with ``here`` the MACs that the file leaves open come from this machine."""
    from bascule.apply.prepare import prepare
    from bascule.persist.rendering import render_files

    read, chosen = load_for(site, host)
    return render_files(read, chosen, dialect, prepare(read, chosen).wanted if here else None)


def import_host(
    *,
    root: str | None = None,
    dialect_name: str | None = None,
    host: str | None = None,
    site_name: str | None = None,
    bridge: NewBridge | None = None,
) -> Imported:
    """A site file from this host, or only from files below ``root``; its plan is empty, or makes the ``bridge``."""
    from bascule.importer.gather import gather
    from bascule.importer.importing import import_with_empty_plan

    def plan_of(read: Site, there: Host) -> Plan:
        from bascule.apply.prepare import look, prepare_from  # files alone need no plan, and none of what makes one

        # the networks that its files told of are libvirt's, whether it runs or rests
        return prepare_from(read, there, look(read, there), networks_are_made=True).plan

    sources = gather(root=root, dialect_name=dialect_name, host=host, site_name=site_name)
    return import_with_empty_plan(sources, plan_of, bridge)


def seen(
    site: SiteLike | None = None, *, host: str | None = None, root: str | None = None
) -> tuple[Site, Mapping[str, SeenHost]]:
    """A site and its host as seen here, its files below ``root``; without a site this machine, nothing declared."""
    from bascule.live_picture import seen_as_declared, seen_as_found

    return seen_as_found(host) if site is None else seen_as_declared(*load_for(site, host), root)


def draw(site: SiteLike, *, form: str = "svg", observed: Mapping[str, SeenHost] | None = None, width: int = 100) -> str:
    """The picture of a site, or of it and what was ``seen``: svg, text, mermaid, dot or json."""
    from bascule.draw import draw as picture

    return picture(load(site), format=form, observed=observed, width=width)


def guests(
    site: SiteLike | None = None, *, driver: str | None = None, uri: str | None = None, listen_s: float | None = None
) -> Inventory:
    """The guests of this host, of every driver; ``listen_s`` seconds also by what is said meanwhile on the bridges."""
    from bascule.apply.state_directory import here
    from bascule.guests.gather import gather

    networks = here().state / "networks"
    return gather(networks, load(site) if site is not None else None, driver=driver, uri=uri, listen_s=listen_s)


def guest_runtime(driver: str | None = None, uri: str | None = None) -> GuestRuntime:
    """Who runs the guests here, libvirt or bare QEMU: by it they are started, stopped, plugged and unplugged."""
    from bascule.guests.runtimes.detect import detect

    return detect(driver, uri=uri)


def chosen_guests(names: Iterable[str], *, driver: str | None = None, uri: str | None = None) -> ChosenGuests:
    """Guests of this host by their names: to start, stop, plug and unplug them. Raises for one that is not there."""
    from bascule.guests.chosen import ChosenGuests

    return ChosenGuests.of(guest_runtime(driver, uri), names)
