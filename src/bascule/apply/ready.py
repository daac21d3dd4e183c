"""A change that may be made: what would be done, who keeps it over a restart, and what to mind."""

from __future__ import annotations

from collections.abc import Iterable

from msgspec import Struct

from bascule.apply.prepare import Prepared
from bascule.apply.rollback import boot_unit
from bascule.apply.rollback.watchdog import StandbyWatchdog
from bascule.apply.state_directory import here
from bascule.persist.persister import Persister


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
    waiting: StandbyWatchdog | None = None  # a dead-man, in case that there is something to do

    @classmethod
    def of(
        cls,
        prepared: Prepared,
        persister: Persister | None,
        *,
        not_kept: str,
        remarks: Iterable[str],
        waiting: StandbyWatchdog | None,
    ) -> Ready:
        """With the files that the persister will touch. Raises BasculeError for what no file can say."""
        files = tuple(persister.paths(prepared.wanted)) if persister else ()
        return cls(
            prepared=prepared,
            persister=persister,
            files=files,
            not_kept=not_kept,
            no_boot_guard=boot_unit.gap(here()) if any(path.startswith(boot_unit.OWN) for path in files) else "",
            remarks=tuple(dict.fromkeys(remarks)),
            waiting=waiting,
        )
