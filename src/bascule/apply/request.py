"""A change that may be made: what would be done, who keeps it over a restart, and what to look out for."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager

from msgspec import Struct

from bascule.apply.address_conflicts import refuse_taken
from bascule.apply.lock import refuse_if_waiting
from bascule.apply.options import DriverChoice
from bascule.apply.plan_preview import unkept, unread
from bascule.apply.prepare import PreparedPlan, prepare, refuse_unmakable, with_files
from bascule.apply.rollback import boot_unit
from bascule.apply.rollback.watchdog import StandbyWatchdog, standby
from bascule.apply.state_directory import here, relative_words
from bascule.apply.transaction import ApplyOptions
from bascule.model.site import Host, Site
from bascule.persist.persister import Persister
from bascule.providers.observe import begin
from bascule.system.clock import Progress
from bascule.system.net.netlink import NetlinkMonitor
from bascule.system.process.rights import require_rights


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

    def options(
        self,
        *,
        window_s: float | None,
        agree: Callable[[PreparedPlan], bool],
        tell: Callable[[str], None],
        probes: Sequence[str],
        progress: Progress,
    ) -> ApplyOptions:
        """How the change shall be made, with what is ready for it."""
        return ApplyOptions(
            window_s=window_s,
            agree=agree,
            tell=tell,
            probes=probes,
            writer=self.persister,
            waiting=self.waiting,
            progress=progress,
        )

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
            remarks=tuple(dict.fromkeys((*remarks, *where, *unread(persister), *unkept(listed, not_kept), *unasked))),
            waiting=waiting,
        )
