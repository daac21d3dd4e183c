"""A change that may be made: what would be done, who keeps it over a restart, and what to look out for."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager

from msgspec import Struct
from msgspec.structs import replace

from bascule.apply.address_conflicts import refuse_taken
from bascule.apply.options import ANY_DRIVER, DriverChoice
from bascule.apply.pending import refuse_if_waiting
from bascule.apply.prepare import PreparedPlan, prepare, refuse_unmakable, with_files
from bascule.apply.rollback import boot_unit
from bascule.apply.rollback.watchdog import StandbyWatchdog, standby
from bascule.apply.state_directory import here, relative_words
from bascule.errors import BasculeError, Problem
from bascule.model.site import Host, Site
from bascule.persist.persister import ON_PURPOSE, OWN_NAMESPACE, Persister, find_persister
from bascule.plan.change import Note
from bascule.plan.file_change import FILES
from bascule.providers.observe import begin
from bascule.system.net.netlink import NetlinkMonitor
from bascule.system.process.rights import require_rights


def plan_to_look_at(site: Site, host: Host, root: str | None) -> PreparedPlan:
    """What would change on this host and in its files, those below ``root``, to hold what is there against it.

    Raises BasculeError.
    """
    return with_listed_files(prepare(site, host, choice=ANY_DRIVER), root)


def with_listed_files(prepared: PreparedPlan, root: str | None) -> PreparedPlan:
    """A plan that is only looked at, with the files that an apply would write and move; what stops one is a note."""
    try:
        persister, not_kept = find_persister(prepared.site, prepared.host, root=root)
        found = with_files(prepared, persister)
        texts = (*unread(persister), *_unkept(found, not_kept))
    except BasculeError as error:
        texts = tuple(f"apply will refuse this: {_words(each)}" for each in error.problems)
        found = replace(prepared, plan=replace(prepared.plan, refused=texts))
    notes = (Note(kind="warning", subject=FILES, text=text) for text in texts)
    return replace(found, plan=replace(found.plan, notes=(*found.plan.notes, *notes)))


def unread(persister: Persister | None) -> tuple[str, ...]:
    """The files of which nobody knows whether they are in the way."""
    skipped = persister.unread if persister else ()
    return tuple(
        f"/{path} could not be read ({why}), so nobody knows whether it is in the way" for path, why in skipped
    )


def _unkept(prepared: PreparedPlan, why: str) -> tuple[str, ...]:
    """That nobody keeps the change over a restart, where that is not what somebody wanted."""
    if not prepared.plan.changes or why in {"", ON_PURPOSE, OWN_NAMESPACE}:
        return ()
    return (f"nothing would keep this change after a restart: {why}",)


def no_files(prepared: PreparedPlan, root: str | None) -> str:
    """Why a plan lists no file: what stops an apply, or nobody who keeps it; empty where the files say it already."""
    told = "; ".join(note.text for note in prepared.plan.notes if note.subject == FILES)
    return told or find_persister(prepared.site, prepared.host, root=root)[1]


def _words(problem: Problem) -> str:
    return f"{problem.code}: {problem.message}" + (f"; {problem.hint}" if problem.hint else "")


@contextmanager
def makable(
    read: Callable[[], tuple[Site, Host]], *, choice: DriverChoice, must_be_here: bool
) -> Iterator[tuple[PreparedPlan, StandbyWatchdog | None]]:
    """A plan that may be carried out, and a dead-man that stands by; within, the kernel says if anything moves.

    ``read`` reads the site file, while the host is looked at. Raises BasculeError where a change waits, or for a plan
    that cannot be made.
    """
    place = here()
    refuse_if_waiting(place)
    with NetlinkMonitor() as monitor, standby(place) as waiting:
        with begin() as begun:
            known = read()
            prepared = prepare(*known, choice=choice, begun=begun, monitor=monitor, must_be_here=must_be_here)
        refuse_unmakable(prepared)
        yield prepared, waiting


class ApplyRequest(Struct, frozen=True, kw_only=True):
    """A change that may be made: the plan, who keeps it over a restart (or why nobody), and what to look out for.

    ``no_boot_rollback`` says why a machine that loses its power before the new files are confirmed would boot them.
    """

    prepared: PreparedPlan
    persister: Persister | None
    not_kept: str = ""
    no_boot_rollback: str = ""
    remarks: tuple[str, ...] = ()
    waiting: StandbyWatchdog | None = None  # a dead-man, in case that there is something to do

    @classmethod
    def of(
        cls,
        prepared: PreparedPlan,
        persister: Persister | None,
        *,
        not_kept: str,
        remarks: Iterable[str],
        waiting: StandbyWatchdog | None,
    ) -> ApplyRequest:
        """With the files that the persister will touch. Raises NotPermitted, and BasculeError for what no file can say.

        Last, because it takes its time, the wires are asked: an address that somebody has already is an error, too.
        """
        listed = with_files(prepared, persister)
        if listed.plan:
            require_rights("a change of the network", "NET_ADMIN", "NET_RAW")
        unasked = refuse_taken(listed)
        where = [relative_words()] if listed.plan and relative_words() else []
        own = any(file.path.startswith(boot_unit.OWN) for file in listed.plan.files)
        return cls(
            prepared=listed,
            persister=persister,
            not_kept=not_kept,
            no_boot_rollback=boot_unit.gap(here()) if own else "",
            remarks=tuple(dict.fromkeys((*remarks, *where, *unread(persister), *_unkept(listed, not_kept), *unasked))),
            waiting=waiting,
        )
