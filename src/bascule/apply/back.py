"""Go back to a checkpoint, look whether we are there, say what is not: for `bascule undo` and the dead-man alike."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from msgspec.structs import replace

from bascule.apply import beside, boot_guard
from bascule.apply.beside import Way
from bascule.apply.checkpoint import Checkpoint, FileBackup, Folder, Status
from bascule.apply.engine import execute
from bascule.apply.rollback.passes import Back, roll_back
from bascule.dhcp import lease
from bascule.errors import BasculeError
from bascule.model.state import HostState
from bascule.plan.diff import diff, moved_links
from bascule.plan.merge import way_back
from bascule.providers.observe import observe
from bascule.providers.protocol import ThreeWay
from bascule.system import boot
from bascule.system.clock import Progress, unseen
from bascule.system.disk import durable

Observe = Callable[[], HostState]


def observer(checkpoint: Checkpoint) -> Observe:
    """Look at the host, at the kernel parameters that the checkpoint knows as well."""
    keys = sorted({*checkpoint.before.sysctls, *checkpoint.wanted.sysctls})
    return lambda: observe(sysctls=keys)


def go_back(folder: Folder, *, by: str, keep: Sequence[int] = (), progress: Progress = unseen) -> Back:
    """Take the change back and write down how it went. The caller holds the lock.

    Raises BasculeError when the checkpoint cannot be read.
    """
    _note(folder, Status.TAKING_BACK, by=by)
    checkpoint = folder.read()
    here = folder.is_of_this_boot
    kept, damaged = besides_of(folder)
    words, wrong = _beside(folder, checkpoint, kept, keep=keep)
    taps = [tap for part in kept.values() for tap in part.get("taps", ())]
    back = _here(folder, checkpoint, keep, taps, progress) if here else Back(after_reboot=True)
    files, faults = restore(checkpoint.files)
    whole = Back(
        left=back.left + damaged + wrong + faults,
        kept=back.kept + words,
        changes=back.changes,
        files=files,
        besides=() if wrong else beside.names(kept),
        after_reboot=back.after_reboot,
    )
    _note(folder, Status.TAKEN_BACK if whole.ok else Status.FAILED, by=by, left=list(whole.left))
    if whole.ok:
        boot_guard.remove(folder)
    return whole


def besides_of(folder: Folder) -> tuple[Mapping[str, Any], tuple[str, ...]]:
    """What it takes for the parts beside the kernel's, and what is wrong with that."""
    try:
        return folder.besides(), ()
    except BasculeError as error:
        return {}, tuple(problem.message for problem in error.problems)


def _beside(folder: Folder, checkpoint: Checkpoint, kept: Mapping[str, Any], *, keep: Sequence[int]) -> Way:
    """The parts beside the kernel's go back before it: what they are plugged into is there, old and new.

    Their definitions outlive a restart, so they go back after one, too.
    """
    if not kept:
        return (), ()
    if folder.is_of_this_boot:
        with contextlib.suppress(BasculeError, OSError):  # the kernel's own way back tries again, and tells
            _stand_in(checkpoint, folder.applied(), keep=keep)
    return beside.go_back(kept, folder.made(), rebooted=not folder.is_of_this_boot)


def _stand_in(checkpoint: Checkpoint, applied: HostState | None, *, keep: Sequence[int]) -> None:
    """Make the links that were there before and are not there now, such as the bridge that a guest goes back to."""
    now = observer(checkpoint)()
    change = ThreeWay(before=checkpoint.before, wanted=checkpoint.wanted, now=now, applied=applied)
    goal = way_back(change).part
    missing = {name: link for name, link in goal.links.items() if name not in now.links and link.options.virtual}
    if missing:
        execute(diff(now, replace(now, links={**now.links, **missing})), keep=keep)


def _note(folder: Folder, status: Status, **values: object) -> None:
    """The way back does not depend on a disk that takes the note."""
    with contextlib.suppress(OSError):
        folder.note(status, **values)


def _here(folder: Folder, checkpoint: Checkpoint, keep: Sequence[int], taps: Sequence[str], progress: Progress) -> Back:
    """The kernel, and the DHCP clients around it: they leave before their link goes, and come when theirs is back."""
    homeward = [handover.back for handover in checkpoint.leases]
    lease.end(homeward)
    back = kernel_back(checkpoint, folder.applied(), keep=keep, ours=taps, progress=progress)
    if not homeward:
        return back
    progress(f"waits for the DHCP server, {lease.HOME_S:.0f} s at most")
    begun = lease.begin(homeward, folder.path, patience_s=lease.HOME_S)
    again = kernel_back(
        checkpoint, folder.applied(), keep=keep, ours=taps
    )  # their scripts may sweep off what is not theirs
    return replace(
        again,
        left=again.left + begun.failed,
        kept=tuple(dict.fromkeys(back.kept + again.kept + begun.waiting)),
        changes=back.changes + again.changes,
    )


def kernel_back(
    checkpoint: Checkpoint,
    applied: HostState | None,
    *,
    keep: Sequence[int] = (),
    ours: Iterable[str] = (),
    progress: Progress = unseen,
) -> Back:
    """The kernel's part. ``ours`` are links that another part of the change moved."""
    change = ThreeWay(
        before=checkpoint.before,
        wanted=checkpoint.wanted,
        now=checkpoint.before,
        applied=applied,
        elapsed_s=boot.boottime_s() - checkpoint.boottime_s,
        moved=frozenset(ours) | moved_links(checkpoint.before, checkpoint.wanted),
    )
    return roll_back(change, observer(checkpoint), keep=keep, progress=progress)


def back_up(paths: Iterable[str]) -> tuple[FileBackup, ...]:
    """Files as they are now. Raises OSError for one that is there and cannot be read."""
    found = []
    for name in paths:
        path = Path(name)
        try:
            status = path.stat()
        except (FileNotFoundError, NotADirectoryError):
            found.append(FileBackup(path=name))
            continue
        found.append(
            FileBackup(
                path=name,
                content=path.read_bytes(),
                mode=status.st_mode & 0o7777,
                uid=status.st_uid,
                gid=status.st_gid,
            )
        )
    return tuple(found)


def restore(files: Iterable[FileBackup]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Put files back; the paths that were put back, and what went wrong."""
    done, faults = [], []
    for file in files:
        if back_up_or_none(file.path) == file:
            continue
        path = Path(file.path)
        try:
            if file.content is None:
                path.unlink(missing_ok=True)
                durable.sync_folder(path.parent)
            else:
                path.parent.mkdir(parents=True, exist_ok=True)
                owner = (file.uid, file.gid) if os.geteuid() == 0 else None
                durable.write_whole(path, file.content, mode=file.mode, owner=owner)
        except OSError as error:
            faults.append(f"{file.path}: {error.strerror or error}")
        else:
            done.append(file.path)
    return tuple(done), tuple(faults)


def back_up_or_none(path: str) -> FileBackup | None:
    """A file as it is now, None where that cannot be read."""
    try:
        return back_up((path,))[0]
    except OSError:
        return None
