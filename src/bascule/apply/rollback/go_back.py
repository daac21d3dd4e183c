"""Go back to a checkpoint, look whether we are there, say what is not: for `bascule undo` and the dead-man alike."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Sequence

from msgspec.structs import replace

from bascule.apply.rollback import boot_unit, parts
from bascule.apply.rollback.checkpoint import Checkpoint, Folder, Status
from bascule.apply.rollback.files import restore
from bascule.apply.rollback.passes import RollbackResult, roll_back
from bascule.dhcp import lease
from bascule.plan.diff import moved_links
from bascule.providers.protocol import ThreeWay
from bascule.system import boot
from bascule.system.clock import Progress, unseen
from bascule.system.net.managers import await_networkmanager, runs_here

FOLLOWED_S = 0.25, 0.75  # from look to look, once it answers; on a busy machine it has acted after 0.1 s
ANSWERS_S = 5.0  # at most
NOTHING_DONE = "nothing of it was taken back: a NIC that is still a port would have its addresses and hear nothing"


def go_back(
    folder: Folder,
    *,
    by: str,
    keep: Sequence[int] = (),
    progress: Progress = unseen,
    anyway: bool = False,
    observer: parts.CheckpointObserver | None = None,
) -> RollbackResult:
    """Take the change back and write down how it went. The caller holds the lock; ``observer`` has looked already.

    Where it cannot be seen whose ports the links are that it has moved, nothing is done unless ``anyway``.
    Raises BasculeError when the checkpoint cannot be read.
    """
    note(folder, Status.TAKING_BACK, by=by)
    checkpoint = folder.read()
    if not anyway and (hidden := why_not_now(folder, checkpoint)):
        note(folder, Status.FAILED, by=by, left=list(hidden))
        return RollbackResult(left=hidden)
    look = observer if observer is not None and observer.folder == folder else None
    back = (_back_with_clients if folder.is_of_this_boot else after_reboot)(folder, checkpoint, keep, progress, look)
    files, faults, others = restore(checkpoint.files)
    whole = replace(back, left=back.left + faults, kept=back.kept + others, files=files)
    status = Status.TAKEN_BACK if whole.ok else Status.FAILED
    if not note(folder, status, by=by, left=list(whole.left), kept=list(whole.kept)) and whole.kept:
        note(folder, status, by=by, left=list(whole.left))  # a full disk may have room for that much
    if whole.ok:
        boot_unit.remove(folder)
    return whole


def why_not_now(folder: Folder, checkpoint: Checkpoint) -> tuple[str, ...]:
    """Why a change that was made to its end cannot be taken back now; one that was not leaves no time to wait."""
    if not folder.is_of_this_boot or not folder.is_whole:
        return ()
    hidden = parts.hidden_links(checkpoint)
    return (*hidden, NOTHING_DONE) if hidden else ()


def note(folder: Folder, status: Status, **values: object) -> bool:
    """Whether it is written down; the way back does not depend on a disk that takes the note."""
    with contextlib.suppress(OSError):
        folder.note(status, **values)
        return True
    return False


def three_way(folder: Folder, checkpoint: Checkpoint) -> ThreeWay:
    """What the way back is decided from, before anybody has looked at the host."""
    before, wanted = checkpoint.before, checkpoint.wanted
    given: dict[str, frozenset[str]] = {}
    for file in checkpoint.files:
        given |= {name: given.get(name, frozenset()).union(ips) for name, ips in file.gives.items()}
    change = ThreeWay(before=before, wanted=wanted, now=before, applied=folder.applied(), by_files=given)
    if not folder.is_of_this_boot:  # what kernel and nft had went with the machine
        return replace(change, rebooted=True)
    moved = moved_links(before, wanted) if checkpoint.moved is None else checkpoint.moved
    return replace(change, elapsed_s=boot.boottime_s() - checkpoint.boottime_s, moved=moved)


def _back_with_clients(
    folder: Folder,
    checkpoint: Checkpoint,
    keep: Sequence[int],
    progress: Progress,
    look: parts.CheckpointObserver | None,
) -> RollbackResult:
    """The host, and the DHCP clients around it: they leave before their link goes, and come when theirs is back."""
    homeward = [handover.back for handover in checkpoint.leases]
    lease.end(homeward)
    back = _all_parts(folder, checkpoint, keep, progress, look)
    if not homeward:
        return _as_it_stays(back, folder, checkpoint, keep, progress)
    progress(f"waits for the DHCP server, {lease.HOME_S:.0f} s at most")
    begun = lease.begin(homeward, folder.path, patience_s=lease.HOME_S)
    again = _all_parts(folder, checkpoint, keep, progress)  # their scripts may sweep off what is not theirs
    again = _as_it_stays(again, folder, checkpoint, keep, progress)
    return replace(
        again,
        left=again.left + begun.failed,
        kept=tuple(dict.fromkeys(back.kept + again.kept + begun.waiting)),
        changes=back.changes + again.changes,
    )


def _as_it_stays(
    back: RollbackResult, folder: Folder, checkpoint: Checkpoint, keep: Sequence[int], progress: Progress
) -> RollbackResult:
    """The host, seen once more where NetworkManager has followed what was changed: it acts a moment later.

    Of a port that leaves a bridge which it did not make it deletes the addresses, those as well that have come
    meanwhile, and sets none (seen with 1.42 on a busy machine).
    """
    before, wanted = checkpoint.before.links, checkpoint.wanted.links
    leave = any(name in before and link.master not in {None, before[name].master} for name, link in wanted.items())
    for wait_s in FOLLOWED_S if leave and runs_here("NetworkManager") else ():
        progress("sees whether NetworkManager leaves it so")
        time.sleep(wait_s)
        await_networkmanager(ANSWERS_S)
        again = _all_parts(folder, checkpoint, keep, progress)
        kept = tuple(dict.fromkeys(back.kept + again.kept))
        back = replace(again, kept=kept, changes=back.changes + again.changes)
    return back


def _all_parts(
    folder: Folder,
    checkpoint: Checkpoint,
    keep: Sequence[int],
    progress: Progress,
    look: parts.CheckpointObserver | None = None,
) -> RollbackResult:
    before, wanted = checkpoint.before, checkpoint.wanted
    look = look or parts.CheckpointObserver(checkpoint, folder)
    back = roll_back(three_way(folder, checkpoint), look, keep=keep, progress=progress)
    besides = parts.names(before, wanted, without=look.missed)
    return replace(back, left=(*back.left, *dict.fromkeys(look.faults)), besides=besides)


def after_reboot(
    folder: Folder,
    checkpoint: Checkpoint,
    keep: Sequence[int] = (),
    progress: Progress = unseen,
    look: parts.CheckpointObserver | None = None,
) -> RollbackResult:
    """What outlives a restart goes back after one, too: definitions of guests, servers and units of networks."""
    if not checkpoint.before.parts:
        return RollbackResult(after_reboot=True)
    return replace(_all_parts(folder, checkpoint, keep, progress, look), after_reboot=True)
