"""The boot after a loss of power takes back a change that nobody confirmed.

``python -m bascule.apply.at_boot files|rest FOLDER LOCK``, started by the units of
:mod:`bascule.apply.rollback.boot_unit`.
The kernel has forgotten the change. ``files`` puts back what was written for it, before anybody reads it; ``rest``
what only a running machine can take back. Whoever runs it for nothing, or a second time, does no harm.
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path

from bascule.apply.rollback import boot_unit, parts
from bascule.apply.rollback.checkpoint import Checkpoint, Folder, LogEntry, Status
from bascule.apply.rollback.files import FileBackup, restore
from bascule.apply.rollback.go_back import after_reboot
from bascule.errors import BasculeError
from bascule.model.values import count
from bascule.persist import sysctls
from bascule.persist.takeover import resume_boot, tell
from bascule.system.disk import durable
from bascule.system.disk.lockfile import Lock, LockHeld
from bascule.system.net.sysctl import read_sysctls, write_sysctl

PARAMETERS = Path("/", sysctls.PATH)


def main(arguments: list[str]) -> int:
    """Take back what will be taken back. Exit status: 0 nothing to do or done, 1 not done."""
    what, folder, lock = arguments[0], Folder(Path(arguments[1])), Path(arguments[2])
    try:
        durable.make_folder(lock.parent)
        with Lock.take(lock, "boot"):
            return act(what, folder)
    except LockHeld:
        return 0  # somebody is at it in this very boot, and decides
    except (BasculeError, OSError) as error:
        print(f"change {folder.number} was not taken back: {error}", flush=True)
        return 1


def act(what: str, folder: Folder) -> int:
    """The same, under the lock."""
    if not folder.path.is_dir():
        print(f"'{folder.path}' is not there, moved or not mounted: nothing of its change is put back", flush=True)
        return 1
    entry = folder.last()
    if entry is None or not entry.status.is_open:
        boot_unit.remove(folder)
        return 0
    if folder.is_of_this_boot:
        return 0  # it waits for its confirmation
    if entry.status is Status.ARMED:  # nothing had been changed for it
        folder.note(Status.DROPPED, by=boot_unit.BY)
        boot_unit.remove(folder)
        return 0
    if what == "files":
        return _files(folder, entry)
    if entry.status is Status.TAKING_BACK and entry.by == boot_unit.BY:
        return _rest(folder, entry)
    return 1  # the files come first


def _files(folder: Folder, entry: LogEntry) -> int:
    checkpoint = folder.read()
    before, wanted = checkpoint.before, checkpoint.wanted
    parameters = _named(checkpoint)
    done, faults, kept = restore((*_still(checkpoint.files, entry), *parts.boot_files(before, wanted)))
    _set(parameters)
    faults += tuple(resume_boot(file.path for file in checkpoint.files))
    if any(path.startswith(f"{boot_unit.UNITS}/") for path in done):
        faults += tuple(tell("systemctl", "daemon-reload"))  # it has read them already
    return _note(
        folder,
        faults,
        rest=parts.last(before, wanted),
        words="; ".join((f"{count(len(done), 'file')} put back", *kept)),
    )


def _rest(folder: Folder, entry: LogEntry) -> int:
    back = after_reboot(folder, folder.read())
    return _note(folder, entry.left + back.left, rest=False, words="; ".join((*back.besides, *back.kept)))


def _note(folder: Folder, faults: tuple[str, ...], *, rest: bool, words: str) -> int:
    status = Status.TAKING_BACK if rest else Status.FAILED if faults else Status.TAKEN_BACK
    folder.note(status, by=boot_unit.BY, left=list(faults))
    print(f"change {folder.number} is {status}: {words}", *faults, sep="\n  ", flush=True)
    if status is Status.TAKEN_BACK:
        boot_unit.remove(folder)
    return 1 if faults else 0


def _still(files: Iterable[FileBackup], entry: LogEntry) -> tuple[FileBackup, ...]:
    """Those that are to be put back.

    A way back that has failed before has named the files that it could not put back; what became of the others since
    is somebody's work.
    """
    if entry.status is not Status.FAILED:
        return tuple(files)
    return tuple(file for file in files if any(line.startswith(f"{file.path}: ") for line in entry.left))


def _named(checkpoint: Checkpoint) -> Mapping[str, str]:
    """The kernel parameters that the unconfirmed file has set for the links that are there already, as they were.

    udev does so as soon as it finds a link (99-systemd.rules), which is before any unit.
    """
    before, wanted = checkpoint.before.sysctls, checkpoint.wanted.sysctls
    try:
        named = {line.partition("=")[0].strip() for line in PARAMETERS.read_text().splitlines()}
    except OSError:
        return {}
    now = read_sysctls(key for key in named if before.get(key, wanted.get(key)) != wanted.get(key))
    return {key: before[key] for key, value in now.items() if value == wanted.get(key)}


def _set(parameters: Mapping[str, str]) -> None:
    for key, value in parameters.items():
        with contextlib.suppress(OSError):  # its link has just gone
            write_sysctl(key, value)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
