"""Files as they were before a change, and how they come back.

What was moved aside comes back by its inode; everything else is written anew with the owner, mode, time and attributes
that it had. A file that somebody else wrote meanwhile is kept beside what was moved aside, and named.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable, Iterator, Mapping, Sequence
from hashlib import sha256
from pathlib import Path

from msgspec import Struct, field
from msgspec.structs import replace

from bascule.model.values import count
from bascule.plan.file_change import FileChange
from bascule.system.disk import aside, durable


class FileBackup(Struct, frozen=True, kw_only=True):
    """A file as it was; ``content`` None means that there was none.

    ``aside`` is where the change keeps the very file if it moves it, ``made`` the digest of what the change puts in its
    place, "" for nothing, None where nobody knows; ``folder`` is the lowest folder above it that was there, ``gives``
    what addresses one that the change brings back gives to its links.
    """

    path: str
    content: bytes | None = None
    mode: int = 0o644
    uid: int = 0
    gid: int = 0
    mtime_ns: int | None = None
    attributes: Mapping[str, bytes] = field(default_factory=dict)
    aside: str = ""
    made: str | None = None
    restored: bool = False
    gives: Mapping[str, Sequence[str]] = field(default_factory=dict)
    folder: str = ""
    root: str = "/"

    @property
    def root_is_gone(self) -> bool:
        """Whether the root that the file lies below is somewhere else now: moved, taken away, or not mounted."""
        if self.root == "/":
            return False
        root, was = Path(self.root), Path(self.folder or self.root)
        below = was.relative_to(root).parts if was.is_relative_to(root) else ()
        return not Path(root, *below[:1]).is_dir()

    def is_as(self, other: FileBackup | None) -> bool:
        """Whether content, owner, mode and attributes, where they were noted, are the same."""
        if other is None or self.content != other.content:
            return False
        if self.content is None:
            return True
        noted = self.made is None or dict(self.attributes) == dict(other.attributes)
        return noted and (self.mode, self.uid, self.gid) == (other.mode, other.uid, other.gid)


def _digest(data: bytes | None) -> str:
    return "" if data is None else sha256(data).hexdigest()


def back_up(path: str) -> FileBackup:
    """A file as it is now. Raises OSError for one that is there and cannot be read."""
    file = Path(path)
    folder = str(aside.lowest_folder(file))
    try:
        status = file.stat()
    except (FileNotFoundError, NotADirectoryError):
        return FileBackup(path=path, folder=folder)
    return FileBackup(
        path=path,
        content=file.read_bytes(),
        mode=status.st_mode & 0o7777,
        uid=status.st_uid,
        gid=status.st_gid,
        mtime_ns=status.st_mtime_ns,
        attributes=aside.extended(file),
        folder=folder,
    )


def drift(files: Iterable[FileBackup]) -> Iterator[str]:
    """What it takes to have a change's files as it left them; what others write into files of their own is theirs."""
    for file in files:
        if file.made is None or file.restored or file.root_is_gone:
            continue
        try:
            now = Path(file.path).read_bytes()
        except (FileNotFoundError, NotADirectoryError):
            now = None
        except OSError:
            continue
        if _digest(now) == file.made:
            continue
        if now is None:
            yield f"{file.path}: write it again, it is gone"
        elif not file.made:
            yield f"{file.path}: take it away, it is there again"
        elif file.content is None or _is_ours(now):
            yield f"{file.path}: write it again, it was edited"


def _is_ours(content: bytes) -> bool:
    from bascule.persist.files import is_ours

    return is_ours(content.decode(errors="replace"))


def back_up_for(changes: Iterable[FileChange]) -> tuple[FileBackup, ...]:
    """The files of a change as they are before it. Raises OSError."""
    return tuple(
        replace(
            _back_up_for(one),
            aside=one.place,
            made=_digest(one.content),
            restored=one.action == "restore",
            gives=one.gives,
            root=one.root,
        )
        for one in changes
    )


def _back_up_for(change: FileChange) -> FileBackup:
    """What is moved is the link, where the file is one: what it leads to stays."""
    path = Path(change.path)
    if change.action != "move" or not path.is_symlink():
        return back_up(change.path)
    folder = str(aside.lowest_folder(path))
    return FileBackup(path=change.path, content=str(path.readlink()).encode(), mode=stat.S_IFLNK | 0o777, folder=folder)


class _Restoring:
    """Puts files back one by one."""

    def __init__(self) -> None:
        self.done: list[str] = []
        self.faults: list[str] = []
        self.kept: list[str] = []

    def restore(self, file: FileBackup) -> None:
        try:
            if self._restore(file):
                self.done.append(file.path)
        except OSError as error:
            self.faults.append(f"{file.path}: {error.strerror or error}")

    def _restore(self, file: FileBackup) -> bool:
        """A file, or a link, as it was; whether it was not. Raises OSError."""
        path = Path(file.path)
        durable.clear_beside(path)
        now = _backed_up_now(file.path)
        if stat.S_ISLNK(file.mode):
            if now is not None and not path.is_symlink():
                self._keep_foreign(file, now)
            return _restore_link(file, path)
        if file.is_as(now) and not (file.content is None and path.is_symlink()):  # one that leads nowhere is there
            self._forget_aside(file)
            return False
        if now is not None:
            self._keep_foreign(file, now)
        if file.content is None:
            path.unlink(missing_ok=True)
            if path.parent.is_dir():
                durable.sync_folder(path.parent)
            if file.folder:
                aside.remove_empty(path.parent, Path(file.folder))
        elif not (_is_aside(file) and aside.bring_back(Path(file.aside), path)):
            _write(file, path)
        self._forget_aside(file)
        return True

    def _keep_foreign(self, file: FileBackup, now: FileBackup) -> None:
        """What is there is neither as before nor what the change made: somebody else's, which is not lost."""
        if file.made is None or now.content is None or _digest(now.content) == file.made or not file.aside:
            return
        if now.content == file.content:  # only owner or mode: the bytes are not lost
            return
        beside = Path(f"{file.aside}.changed-meanwhile")
        beside.unlink(missing_ok=True)
        aside.keep(Path(file.path), beside)
        self.kept.append(f"{file.path}: changed by others meanwhile; what they wrote is kept as {beside}")

    def _forget_aside(self, file: FileBackup) -> None:
        """The second name of a file that is back at its place, and the folders that were made for it."""
        if not file.aside or file.content is None:
            return
        place = Path(file.aside)
        if _is_aside(file):
            place.unlink()
        elif place.exists():
            self.kept.append(f"{file.path}: changed by others where it was moved to; what they wrote stays as {place}")
        aside.remove_empty(place.parent, _top_of(place))


def restore(files: Iterable[FileBackup]) -> tuple[tuple[str, ...], tuple[str, ...], tuple[str, ...]]:
    """Put files back: the paths that were put back, what went wrong, and what others did meanwhile.

    What the change made goes first, and what it moved comes home: neither takes room on a full disk.
    """
    run, there = _Restoring(), list[FileBackup]()
    gone: dict[str, int] = {}
    for file in files:
        if file.root_is_gone:
            gone[file.root] = gone.get(file.root, 0) + 1
        else:
            there.append(file)
    for root, number in gone.items():
        words = f"nothing is put back for {count(number, 'file')} below it"
        run.kept.append(f"{root}: is not there any more, moved or not mounted; {words}")
    for file in sorted(there, key=lambda one: one.content is not None and not _is_aside(one)):
        run.restore(file)
    return tuple(run.done), tuple(run.faults), tuple(run.kept)


def changed_since(files: Iterable[FileBackup]) -> tuple[str, ...]:
    """The files that are not what the change made of them any more: somebody else has written them."""
    return tuple(
        file.path
        for file in files
        if file.made is not None
        and (now := _backed_up_now(file.path)) is not None
        and _digest(now.content) != file.made
    )


def _is_aside(file: FileBackup) -> bool:
    """Whether the very file lies where the change moved it, and nobody has touched it there."""
    if not file.aside or file.content is None:
        return False
    there = _backed_up_now(file.aside)
    return file.is_as(there)


def _backed_up_now(path: str) -> FileBackup | None:
    """A file as it is now, None where that cannot be read."""
    try:
        return back_up(path)
    except OSError:
        return None


def _top_of(place: Path) -> Path:
    """The folder below which what was moved aside is kept in folders that go when they are empty."""
    return next((folder.parent.parent for folder in place.parents if folder.name == aside.FOLDER), place.parent)


def _restore_link(file: FileBackup, path: Path) -> bool:
    target = Path((file.content or b"").decode())
    place = Path(file.aside) if file.aside else None
    is_aside = place is not None and place.is_symlink() and place.readlink() == target
    is_back = path.is_symlink() and path.readlink() == target
    if not is_back and not (is_aside and place is not None and aside.bring_back(place, path)):
        durable.make_folder(path.parent, mode=0o755)
        durable.link(path, target)
    if place is not None:
        if is_aside:
            place.unlink(missing_ok=True)
        aside.remove_empty(place.parent, _top_of(place))
    return not is_back


def _write(file: FileBackup, path: Path) -> None:
    durable.make_folder(path.parent, mode=0o755)
    owner = (file.uid, file.gid) if os.geteuid() == 0 else None
    durable.write_whole(path, file.content or b"", mode=file.mode, owner=owner)
    aside.set_extended(path, file.attributes)
    if file.mtime_ns is not None:
        os.utime(path, ns=(file.mtime_ns, file.mtime_ns))
