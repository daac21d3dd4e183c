"""Keep a change, or take it back now."""

from __future__ import annotations

import contextlib
from collections.abc import Callable

from msgspec import Struct

from bascule.apply.follow import reload_managers
from bascule.apply.lock import LOST, lock, open_elsewhere
from bascule.apply.rollback import boot_unit
from bascule.apply.rollback import checkpoint as checkpoints
from bascule.apply.rollback.checkpoint import Folder, Status
from bascule.apply.rollback.go_back import go_back
from bascule.apply.rollback.parts import CheckpointObserver
from bascule.apply.rollback.passes import RollbackResult
from bascule.apply.rollback.preview import UndoPreview
from bascule.apply.rollback.watchdog import disarm
from bascule.apply.state_directory import StateDirectory, here, refused, relative_words
from bascule.errors import BasculeError, Problem
from bascule.persist.takeover import managers_paused
from bascule.system.clock import Progress, unseen
from bascule.system.process import signals
from bascule.system.process.rights import require_rights

PATIENCE_S = 30.0  # for an apply or a dead-man that is just at it


class UndoResult(Struct, frozen=True, kw_only=True):
    """What was taken back, and how it went."""

    number: int
    was: Status
    back: RollbackResult
    closed: bool = True


def confirm() -> Folder:
    """Keep the change that waits.

    Raises BasculeError when nothing waits: taken back already, ended half-way, or confirmed before.
    """
    place = here()
    folder = _pending(place)
    with lock(place, "confirm", wait_s=PATIENCE_S):
        entry = folder.last()
        status = entry.status if entry else None
        if entry is None or status is not Status.APPLIED or not folder.is_of_this_boot:
            raise BasculeError(_not_confirmed(folder, status))
        try:
            folder.note(Status.CONFIRMED, by="confirm")
        except OSError as error:
            problem = refused(folder.path, error).problems[0]
            text = problem.message.removesuffix("; nothing was changed")
            message = f"{text}; the change is NOT confirmed and will be taken back"
            raise BasculeError.of("NOT-CONFIRMED", message, hint=problem.hint) from error
        disarm(entry.watchdog)
        boot_unit.remove(folder)
    return folder


def _pending(place: StateDirectory) -> Folder:
    found = checkpoints.latest(place)
    if found is None or not found[1].status.is_open:
        raise BasculeError(_nothing_waits(place))
    return found[0]


def _nothing_waits(place: StateDirectory) -> Problem:
    words, hint = "nothing waits for a confirmation", relative_words() or "see 'bascule status'"
    if lost := open_elsewhere(place):
        return Problem(code="NOTHING-ARMED", message=f"{words} here: {lost}", hint=LOST)
    if found := checkpoints.newest(place):
        folder, entry = found
        if entry.status is Status.TAKEN_BACK:
            words += f": change {folder.number} was taken back by {entry.by or 'undo'}"
            hint = "'bascule apply' makes it again"
        elif entry.status is Status.CONFIRMED:
            words += f": change {folder.number} is confirmed already"
    return Problem(code="NOTHING-ARMED", message=words, hint=hint)


def _not_confirmed(folder: Folder, status: Status | None) -> Problem:
    if not folder.is_of_this_boot:
        return Problem(
            code="REBOOTED",
            message=f"change {folder.number} was not confirmed before the machine was restarted, and is gone",
            hint="'bascule undo' puts its files back, 'bascule apply' makes it again",
        )
    if status in {Status.TAKEN_BACK, Status.TAKING_BACK}:
        return Problem(code="NOTHING-ARMED", message=f"too late: change {folder.number} is {status}", hint=None)
    why = "its rollback has begun" if status is Status.FAILED else "it was not completed"
    return Problem(
        code="HALF-MADE",
        message=f"change {folder.number} is {status.words if status else 'unknown'}: {why}, so it cannot be kept",
        hint="'bascule undo' takes it back",
    )


def take_back(
    *, leave: bool = False, progress: Progress = unseen, observer: CheckpointObserver | None = None
) -> UndoResult:
    """Take the last change back, confirmed or not; with ``leave`` it is closed even where something still differs.

    ``observer`` has looked at the host already. Raises BasculeError when there is none.
    """
    place = here()
    with signals.hangup_ignored():
        if checkpoints.latest(place) is None:
            words, hint = "there is no change to take back", relative_words() or "see 'bascule status'"
            if lost := open_elsewhere(place):
                words, hint = f"{words} here: {lost}", LOST
            raise BasculeError.of("NOTHING-TO-UNDO", words, hint=hint)
        require_rights("taking a change back", "NET_ADMIN", "NET_RAW")
        with lock(place, "undo", wait_s=PATIENCE_S) as held:
            found = checkpoints.latest(place)
            if found is None:  # the dead-man was quicker
                raise BasculeError(_nothing_waits(place))
            folder, entry = found
            with signals.ignoring_signals():
                _arm_boot_rollback(place, folder)
                back = go_back(folder, by="undo", keep=(held.fd,), progress=progress, anyway=leave, observer=observer)
                if leave and not back.ok:
                    folder.note(Status.TAKEN_BACK, by="undo --leave", left=list(back.left))
                    boot_unit.remove(folder)
                if leave or back.ok:
                    disarm(entry.watchdog)
        return UndoResult(number=folder.number, was=entry.status, back=back, closed=leave or back.ok)


def _arm_boot_rollback(place: StateDirectory, folder: Folder) -> None:
    """Power may be lost on the way back, too, and leave some files old and some new. No reason not to go it."""
    if boot_unit.is_installed(folder) or not place.is_main:
        return
    with contextlib.suppress(BasculeError):
        checkpoint = folder.read()
        if boot_unit.is_needed(place, checkpoint):
            boot_unit.install(place, folder, checkpoint)


def _touched(place: StateDirectory) -> set[str] | None:
    """The links that the last change made other, as far as that is known."""
    with contextlib.suppress(BasculeError):
        if found := checkpoints.latest(place):
            checkpoint = found[0].read()
            before, after = checkpoint.before.links, checkpoint.wanted.links
            return {name for name in {*before, *after} if before.get(name) != after.get(name)}
    return None


def undo(
    tell: Callable[[str], None],
    *,
    leave: bool = False,
    progress: Progress = unseen,
    seen: UndoPreview | None = None,
) -> UndoResult:
    """Take the last change back, confirmed or not, and let the configuration system follow."""
    observer = seen.observer if seen is not None else None
    with managers_paused(_touched(here()), back=True):
        undone = take_back(leave=leave, progress=progress, observer=observer)
    faults, again = reload_managers(undone.back.files, progress)
    progress("")
    for line in again:
        tell(f"warning: {line}")
    for fault in faults:
        tell(f"warning: the change is taken back, but the configuration system has not loaded the files yet: {fault}")
    return undone
