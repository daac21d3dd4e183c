"""The verbs that change this host, as straight lines: apply, confirm.

Beside :mod:`bascule.workflow`, so that the verbs that only read do not import what changes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from msgspec import Struct
from msgspec.structs import replace

from bascule.apply import boot_guard
from bascule.apply.checkpoint import Folder
from bascule.apply.crew import ANYBODY, Asked
from bascule.apply.guard import Woken, woken
from bascule.apply.place import here
from bascule.apply.prepare import Prepared, prepare
from bascule.apply.transaction import Done, Wish
from bascule.apply.transaction import apply as make
from bascule.errors import BasculeError
from bascule.host.identity import choose_host, is_here
from bascule.persist.persister import Persister, find_persister
from bascule.plan.batch import tools
from bascule.plan.change import Note
from bascule.providers.observe import begin
from bascule.system.clock import Progress, unseen
from bascule.system.net.monitor import NetlinkMonitor
from bascule.system.run import require_tools
from bascule.workflow import load

if TYPE_CHECKING:
    from bascule.survey.capture import Progress as Heard


class Ready(Struct, frozen=True, kw_only=True):
    """A change that may be made: the plan, who keeps it over a restart (or why nobody), and what to mind.

    ``files`` are those that will be written or removed for it; ``no_boot_guard`` says why a machine that loses its
    power before they are confirmed would boot them.
    """

    prepared: Prepared
    persister: Persister | None
    files: tuple[str, ...] = ()
    not_kept: str = ""
    no_boot_guard: str = ""
    remarks: tuple[str, ...] = ()
    waiting: Woken | None = None  # a dead-man, in case that there is something to do


@contextmanager
def ready(
    site_file: str,
    *,
    host: str | None = None,
    root: str | None = None,
    survey_s: float | None = None,
    progress: Heard | None = None,
    asked: Asked = ANYBODY,
) -> Iterator[Ready]:
    """Everything that can say no before anything is changed; within, the kernel's word is kept that nothing moved.

    A loop, guests that the memory cannot hold, two configuration systems at once, and with ``survey_s`` a wire that
    is another than the file says: each is an error with its reason.
    """
    with NetlinkMonitor() as bell, woken(here()) as waiting:
        yield replace(_ready(site_file, host, root, survey_s, progress, asked, bell), waiting=waiting)


def _ready(
    site_file: str,
    host: str | None,
    root: str | None,
    survey_s: float | None,
    progress: Heard | None,
    asked: Asked,
    bell: NetlinkMonitor,
) -> Ready:
    with begin() as begun:  # while the file is read
        site = load(site_file)
        chosen = choose_host(site, host)
        prepared = prepare(site, chosen, asked=asked, begun=begun, bell=bell)
    require_tools(tools(prepared.plan))
    remarks = [note.text for note in _memory(prepared, site_file)]
    persister, not_kept = find_persister(site, chosen, root=root)
    if survey_s is not None:  # last, because it takes its time
        from bascule.survey.run import gate_live

        wanted, observed = prepared.wanted, prepared.observed
        remarks += gate_live(site, chosen, wanted, observed, seconds=survey_s, progress=progress)
    files = tuple(persister.paths(prepared.wanted)) if persister else ()
    return Ready(
        prepared=prepared,
        persister=persister,
        files=files,
        not_kept=not_kept,
        no_boot_guard=boot_guard.gap(here()) if any(path.startswith(boot_guard.OWN) for path in files) else "",
        remarks=tuple(dict.fromkeys(remarks)),
    )


def _memory(prepared: Prepared, site_file: str) -> tuple[Note, ...]:
    """What the guests' memory says to this host, if this is the host and any guest declares its memory."""
    if not any(guest.memory for guest in prepared.site.guests_on(prepared.host.name)):
        return ()
    from bascule.guest_workflow import capacity
    from bascule.plan.capacity import gate

    if not is_here(prepared.host):
        return ()
    return gate(capacity(site_file, host=prepared.host.name))


def apply(
    given: Ready,
    *,
    window_s: float | None,
    agree: Callable[[Prepared], bool],
    tell: Callable[[str], None],
    probes: Sequence[str] = (),
    progress: Progress = unseen,
) -> Done:
    """Checkpoint, dead-man, change, checks, files; then it waits for `confirm` where a window is given."""
    wish = Wish(
        window_s=window_s,
        agree=agree,
        tell=tell,
        probes=probes,
        writer=given.persister,
        waiting=given.waiting,
        progress=progress,
    )
    if given.persister is None:  # in a namespace, whose links no manager takes over
        return make(given.prepared, wish)
    from bascule.persist.takeover import at_rest

    with at_rest({change.subject for change in given.prepared.plan.changes}):
        done = make(given.prepared, wish)
    if window_s is None:
        _follow(done.folder, "the files are written", tell, progress)
    return done


def confirm(tell: Callable[[str], None], progress: Progress = unseen) -> int:
    """Keep the change that waits, and let the configuration system know its new files; the change's number."""
    from bascule.apply import decide

    folder = decide.confirm()
    _follow(folder, "the change is confirmed and its files are written", tell, progress)
    return folder.number


def _follow(folder: Folder, so_far: str, tell: Callable[[str], None], progress: Progress) -> None:
    """Let whoever reads the files take the links over; then nothing is left of what he did meanwhile."""
    from bascule.apply.strays import sweep
    from bascule.persist.takeover import take_over

    files = tuple(file.path for file in folder.read().files)
    faults, swept = take_over(files, progress), tuple[str, ...]()
    try:
        swept = sweep(folder) if files else ()
    except BasculeError as error:  # the change stands all the same
        faults += tuple(problem.message for problem in error.problems)
    progress("")
    for fault in faults:
        tell(f"warning: {so_far}, but their reader does not follow yet: {fault}")
    for line in swept:
        tell(f"mind: set again on a port by others, and taken off: {line}")
