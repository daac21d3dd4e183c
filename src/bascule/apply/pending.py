"""One change at a time: the last one must be confirmed or taken back before there is another."""

from __future__ import annotations

import time

from msgspec import Struct

from bascule.apply.lock import lock
from bascule.apply.rollback import boot_unit
from bascule.apply.rollback import checkpoint as checkpoints
from bascule.apply.rollback.checkpoint import Folder, LogEntry, Status
from bascule.apply.rollback.held_folder import watched_elsewhere
from bascule.apply.rollback.watchdog import disarm, lives
from bascule.apply.state_directory import StateDirectory, relative_words
from bascule.errors import BasculeError, Problem
from bascule.system import boot
from bascule.system.disk.lockfile import holder

LOST = (
    "its state directory was moved or deleted: wait until it is taken back, or look for it there with BASCULE_STATE_DIR"
)
LOCK_S = 1.0  # for a dead-man that is just finishing


class PendingChange(Struct, frozen=True):
    """A change of this boot that nobody has confirmed or taken back yet."""

    folder: Folder
    entry: LogEntry

    @property
    def name(self) -> str:
        """What it is called."""
        return f"change {self.folder.number}"

    @property
    def words(self) -> str:
        """How it stands, and when it goes back by itself."""
        status = self.entry.status
        if status is Status.APPLIED and self.entry.deadline_s is not None:
            if not lives(self.entry.watchdog):
                return "waits for 'bascule confirm', but its dead-man does not run: it is not taken back by itself"
            left_s = max(0.0, self.entry.deadline_s - boot.boottime_s())
            at = time.strftime("%H:%M:%S", time.localtime(time.time() + left_s))
            return f"waits for 'bascule confirm' and is taken back in {left_s:.0f} s, at {at}"
        return f"is still {status}"


def pending(place: StateDirectory) -> PendingChange | None:
    """The change that is open, if there is one, as far as we may look."""
    try:
        found = checkpoints.latest(place)
    except PermissionError:  # an ordinary user who only looks
        return None
    if found is None or not found[1].status.is_open or not found[0].is_of_this_boot:
        return None
    return PendingChange(*found)


def open_elsewhere(place: StateDirectory) -> str:
    """That a change is open on this host which this state directory knows nothing of; empty where none is."""
    found = watched_elsewhere(place.checkpoints)
    return "; ".join(filter(None, (found, relative_words()))) if found else ""


def waiting_words(place: StateDirectory) -> str:
    """That a change is open and when it goes back, empty where none is."""
    found = pending(place)
    return f"{found.name} {found.words}" if found is not None else ""


def words_since(place: StateDirectory, since_s: float) -> str:
    """How the last change stands that is open or has been closed since then; empty where nothing was changed."""
    if words := waiting_words(place):
        return words
    found = checkpoints.latest(place)
    if found is None or found[1].at < since_s:
        return ""
    folder, entry = found
    back = "; 'bascule undo' takes it back" if entry.status is Status.CONFIRMED else ""
    return f"change {folder.number} is {entry.status.words}{back}"


def refuse_if_pending(place: StateDirectory) -> None:
    """Raise BasculeError where a change is open. The caller holds the lock."""
    found = pending(place)
    if found is None:
        return
    if found.entry.status is Status.ARMED:  # we hold the lock: its maker is dead, and he had not begun
        found.folder.note(Status.DROPPED, by="apply")
        boot_unit.remove(found.folder)
        disarm(found.entry.watchdog)
        return
    raise BasculeError(_problem(found))


def refuse_if_waiting(place: StateDirectory) -> None:
    """The same before anything is looked at, so that nobody hears "nothing to do" of what is about to go back.

    Raises BasculeError as well where somebody is at work on it.
    """
    found = pending(place)
    if found is not None and holder(place.lock).is_alive:
        with lock(place, "apply", wait_s=LOCK_S):
            found = pending(place)
    if found is not None and found.entry.status is not Status.ARMED:
        raise BasculeError(_problem(found))
    if found is None and (words := open_elsewhere(place)):
        raise BasculeError.of("PENDING", f"{words}; nothing was changed by this call", hint=LOST)


def _problem(found: PendingChange) -> Problem:
    keeps = "'bascule confirm' keeps it, " if found.entry.status is Status.APPLIED else ""
    return Problem(
        code="PENDING",
        message=f"{found.name} {found.words}; nothing was changed by this call",
        hint=f"{keeps}'bascule undo' takes it back, 'bascule status' says more",
    )
