"""One change at a time: only one verb changes a host, and the last change is confirmed or taken back before another."""

from __future__ import annotations

from bascule.apply.pending import PendingChange, pending
from bascule.apply.rollback import boot_unit
from bascule.apply.rollback.checkpoint import Status
from bascule.apply.rollback.held_folder import watched_elsewhere
from bascule.apply.rollback.watchdog import disarm
from bascule.apply.state_directory import StateDirectory, refused, relative_words
from bascule.errors import BasculeError, Problem
from bascule.system.disk import durable
from bascule.system.disk.lockfile import Lock, LockHeld, holder

LOST = (
    "its state directory was moved or deleted: wait until it is taken back, or look for it there with BASCULE_STATE_DIR"
)
LOCK_S = 1.0  # for a dead-man that is just finishing


def lock(place: StateDirectory, verb: str, *, wait_s: float = 0.0) -> Lock:
    """The host's lock. Raises BasculeError naming who holds it."""
    try:
        durable.make_folder(place.runtime)  # /run is empty after a restart
        return Lock.take(place.lock, verb, wait_s=wait_s)
    except LockHeld as held:
        who = held.holder
        name = f"bascule {who.verb} (process {who.pid})" if who.verb else "another bascule"
        raise BasculeError.of(
            "LOCKED",
            f"{name} is changing this host; nothing was changed by this call",
            hint="wait for it to end; 'bascule status' shows what it does",
        ) from held
    except OSError as error:
        raise refused(place.lock, error) from error


def open_elsewhere(place: StateDirectory) -> str:
    """That a change is open on this host which this state directory knows nothing of; empty where none is."""
    found = watched_elsewhere(place.checkpoints)
    return "; ".join(filter(None, (found, relative_words()))) if found else ""


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
