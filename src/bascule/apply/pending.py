"""The change that waits to be confirmed, as whoever only looks may see it."""

from __future__ import annotations

import time

from msgspec import Struct

from bascule.apply.rollback import checkpoint as checkpoints
from bascule.apply.rollback.checkpoint import Folder, LogEntry, Status
from bascule.apply.state_directory import StateDirectory
from bascule.plan.change import Note
from bascule.system import boot


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
            from bascule.apply.rollback.watchdog import lives

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


def waiting_notes(place: StateDirectory) -> list[Note]:
    """That a change is open, while which no other is made."""
    waiting = pending(place)
    return [Note(kind="warning", subject=waiting.name, text=waiting.words)] if waiting else []


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
