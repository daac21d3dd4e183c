"""A checkpoint that its dead-man keeps hold of: the way back does not hang on a path.

Who renames the state directory while a change waits, puts another one in its place, mounts something over it or deletes
it has not confirmed anything. The folder is followed where it goes, and its files are held open, so that they can be
read when nobody finds them any more.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

from bascule.apply.rollback.checkpoint import FILES, JOURNAL, Folder, LogEntry, last_of
from bascule.system.disk import durable
from bascule.system.process.programs import opened, programs

DEAD_MAN = "bascule.apply.deadman"
DELETED = " (deleted)"  # proc_pid_fd(5)


class HeldFolder:
    """A checkpoint, whatever becomes of its path. Raises OSError where there is none."""

    def __init__(self, folder: Folder) -> None:
        self._made = folder
        self._fd = os.open(folder.path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        self._files: dict[str, int] = {}
        self._look()

    @property
    def folder(self) -> Folder | None:
        """Where it lies now; None when it is nowhere to be found."""
        for path in (self._made.path, _path(self._fd).readlink()):
            with contextlib.suppress(OSError):
                if os.path.samestat(path.stat(), os.fstat(self._fd)):
                    return Folder(path)
        return None

    def last(self) -> LogEntry | None:
        """How the change stands."""
        self._look()
        if JOURNAL not in self._files:
            return None
        try:
            return last_of(durable.records(_path(self._files[JOURNAL])))
        except OSError:
            return None

    @contextlib.contextmanager
    def whole(self) -> Iterator[Folder]:
        """The checkpoint with all its files: where it lies, else where it lay, else in a folder of its own.

        Raises OSError where no disk takes it.
        """
        with self._reachable(self._somewhere()) as folder:
            yield folder

    def _somewhere(self) -> Folder:
        found = self.folder
        nobodys = found is None and not self._made.path.exists()
        with contextlib.suppress(OSError):
            if found is not None or nobodys:
                return self._put_back(found or self._made)
        import tempfile

        return self._put_back(
            Folder(Path(tempfile.mkdtemp(prefix="bascule-"), "state/checkpoints", self._made.path.name))
        )

    @contextlib.contextmanager
    def _reachable(self, folder: Folder) -> Iterator[Folder]:
        """The state directory by its old path, if nothing else is there: units and servers were made with that."""
        old, now = self._made.path.parents[1], folder.path.parents[1]
        made = [old, *(one for one in old.parents if not one.exists())]
        try:
            if os.path.lexists(old):
                raise FileExistsError
            old.parent.mkdir(parents=True, exist_ok=True)
            old.symlink_to(now)
        except OSError:
            yield folder
            return
        try:
            yield self._made
        finally:
            with contextlib.suppress(OSError):
                old.unlink()
                for one in made[1:]:
                    one.rmdir()

    def close(self, folder: Folder) -> None:
        """Whoever finds the checkpoint again that the way back was made from a copy of finds how it ended."""
        records = durable.records(folder.path / JOURNAL)
        own = _path(self._files[JOURNAL])
        with contextlib.suppress(OSError):
            if records and durable.records(own)[-1:] != records[-1:]:
                durable.append(own, records[-1])

    def _put_back(self, folder: Folder) -> Folder:
        durable.make_folder(folder.path)
        for name, fd in self._files.items():
            if not (folder.path / name).exists():
                durable.write_whole(folder.path / name, _path(fd).read_bytes())
        return folder

    def _look(self) -> None:
        """Have a descriptor of every file; one that is deleted stays open."""
        for name in FILES:
            with contextlib.suppress(OSError):
                fd = os.open(name, os.O_RDWR | os.O_CLOEXEC, dir_fd=self._fd)
                held = self._files.get(name, -1)
                if held >= 0 and os.path.sameopenfile(held, fd):
                    os.close(fd)
                    continue
                if held >= 0:
                    os.close(held)
                self._files[name] = fd


def watched_elsewhere(checkpoints: Path) -> str:
    """The words for a change of this network namespace that a dead-man watches over and that does not lie there.

    Empty where there is none, or where we may not look.
    """
    for program in programs():
        if DEAD_MAN not in program.argv or _has_ended(program.pid):
            continue
        for path in map(Path, opened(program.pid).values()):
            name = path.name.removesuffix(DELETED)
            if path.parent.name != checkpoints.name or not name.isdigit():
                continue
            who = f"a dead-man (process {program.pid}) watches over change {int(name)}"
            if name != path.name:
                return f"{who}, whose files in '{path.parent}' are deleted, and takes it back at its time"
            if path.parent != checkpoints:
                return f"{who} in '{path.parents[2]}', and takes it back unless it is confirmed there"
    return ""


def _has_ended(dead_man: int) -> bool:
    """Whether the change of a dead-man is confirmed or taken back; it goes as soon as it has seen that."""
    for fd, path in opened(dead_man).items():
        if Path(path).name.removesuffix(DELETED) == JOURNAL:
            with contextlib.suppress(OSError):
                last = last_of(durable.records(Path(f"/proc/{dead_man}/fd/{fd}")))
                return last is not None and not last.status.is_open
    return False


def _path(fd: int) -> Path:
    return Path(f"/proc/self/fd/{fd}")
