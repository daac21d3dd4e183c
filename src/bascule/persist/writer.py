"""Putting a host's configuration files in place: atomically, with the old ones kept, foreign ones moved aside."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Collection, Iterable, Iterator, Mapping
from hashlib import sha256
from pathlib import Path

from msgspec import Struct
from msgspec.structs import replace

from bascule.errors import BasculeError, Problem
from bascule.model.values import IfName
from bascule.persist.config import NetworkConfig
from bascule.persist.dialect import Dialect
from bascule.persist.files import MARK, SHEBANG, is_ours
from bascule.persist.foreign import cloud_init, dhcpcd
from bascule.persist.foreign.in_the_way import left_alone, lost_lines, lost_words, not_as_wanted, of_others
from bascule.persist.foreign.own_words import with_words_of_udev
from bascule.persist.formats import linkfile
from bascule.persist.formats.openvswitch import is_switch
from bascule.persist.parsed import Below, Files, Hardware, Parsed
from bascule.plan.file_change import FileChange
from bascule.system.disk.aside import ASIDE, extended, keep, set_extended
from bascule.system.disk.durable import make_folder, remove_file, write_whole
from bascule.system.disk.files import text_of
from bascule.system.run import run

ONE_BY_ONE_MAX = 100  # links that are looked at one by one for the sentence why a file is moved

SECRET = ("etc/NetworkManager/system-connections/", "etc/netplan/")  # NetworkManager and netplan want them closed


class WritePlan(Struct, frozen=True, kw_only=True):
    """What will be written, moved aside and removed, decided before anything is touched.

    ``kept`` are links that foreign files configure already, exactly as wanted. The paths of the changes are those of
    this machine, with the root.
    """

    root: Path
    changes: tuple[FileChange, ...] = ()
    kept: tuple[IfName, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.changes)


class FileHeader(Struct, frozen=True):
    """The first line of every file that Bascule writes: for whom, from which site file, and what stands below it."""

    site: str
    host: str
    digest: str  # of the site file

    def line(self, text: str) -> str:
        """The line, with the text's digest, which tells an edited file from an untouched one."""
        source = f"sha256 {self.digest[:16] or 'none'}, text {_digest(text)}"
        return f"{MARK}for host {self.host} of site {self.site} ({source}); edit the site file, not this one\n"

    def on(self, text: str) -> str:
        """A whole file; the first line of a script stays the first."""
        if text.startswith(SHEBANG):
            return SHEBANG + self.line(text.removeprefix(SHEBANG)) + text.removeprefix(SHEBANG)
        return self.line(text) + text


def _digest(text: str) -> str:
    return sha256(text.encode(errors="replace")).hexdigest()[:16]


def below_header(text: str) -> str:
    """What a file says; of one of ours without its first line, which names the version of the site file."""
    return text.removeprefix(SHEBANG).partition("\n")[2] if is_ours(text) else text


def is_edited(text: str) -> bool:
    """Whether somebody changed a file of ours since it was written."""
    said = re.search(r", text ([0-9a-f]{16})\)", text.removeprefix(SHEBANG).partition("\n")[0])
    return said is not None and said[1] != _digest(below_header(text))


def prepare(
    dialect: Dialect,
    config: NetworkConfig,
    existing: Files,
    *,
    stamp: FileHeader,
    root: str | Path = "/",
    besides: Files | None = None,
    hardware: Hardware | None = None,
    below: Below | None = None,
    returned: Files | None = None,
) -> WritePlan:
    """Decide what to write. ``existing`` are the files of the dialect on the host (persist.files.read_tree).

    ``besides`` are further files that go with it in any dialect, ``hardware`` the NICs that the host has, ``below`` the
    files of packages and generators (persist.files.read_from_below), ``returned`` what earlier changes moved aside for
    links that are not ours any more, as it was. A foreign file that speaks for a link of ours is moved aside, and what
    it says of others stays in its place.

    Raises Inexpressible for what the dialect cannot say, and BasculeError where a foreign file speaks for our links and
    for others, and not only the one can be taken out of it.
    """
    nics = hardware or {name: link.pin_mac for name, link in config.links.items() if not link.options.kind}
    back = dict(returned or {})
    foreign = {path: text for path, text in existing.items() if not is_ours(text)} | back
    decision = _Decision(dialect, config, existing, foreign, nics, stamp, Path(root), besides or {}, below or {}, back)
    kept = left_alone(config, dialect.parse(foreign, nics).config)
    try:
        return decision.without(kept)
    except BasculeError:
        if not kept:
            raise
        return decision.without(frozenset())  # the file that has them may be the one that is in the way


class _Decision(Struct, frozen=True):
    """What it is decided from."""

    dialect: Dialect
    config: NetworkConfig
    existing: Files
    foreign: Files
    hardware: Hardware
    stamp: FileHeader
    root: Path
    besides: Files
    below: Below
    returned: Files

    def without(self, kept: Collection[IfName]) -> WritePlan:
        """With some links left to the files that have them. Raises BasculeError."""
        mine = replace(
            self.config,
            links={name: link for name, link in self.config.links.items() if name not in kept},
            neighbours=tuple(one for one in self.config.neighbours if one.dev not in kept),
        )
        rendered = {**self.dialect.render(mine), **self.besides}
        taken = dict(self.dialect.without(self.foreign, mine.links.keys(), self.hardware))
        taken |= dhcpcd.kept_away(self.foreign, self.config, self.dialect.name)[0]
        for path in rendered.keys() & self.foreign.keys() - taken.keys() - self.dialect.scaffold.keys():
            taken[path] = None
        rendered |= cloud_init.switch({path: self.foreign[path] for path in taken}, self.existing)
        after = self._after(rendered, taken)
        problems = [
            _edited(self.root / path) for path in self._changed(after) if is_edited(self.existing.get(path, ""))
        ]
        if not problems:
            before = self.dialect.parse(self.existing, self.hardware)
            foreign = [path for path, text in after.items() if not is_ours(text)]
            udev = {path: text for path, text in after.items() if linkfile.is_one(path) and not is_ours(text)}
            meant = with_words_of_udev(self._meant(rendered), self.dialect.parse(udev, self.hardware).config)
            problems = not_as_wanted(self.dialect, meant, after, self.hardware, self.below, foreign)
            problems += of_others(
                self.dialect, self.config, self.dialect.parse(self.foreign, self.hardware), after, self.hardware, taken
            )
        if problems:
            raise BasculeError(*problems)
        for path in self._changed(after):
            if path not in taken:
                _refuse_link(self.root, path)
        return WritePlan(root=self.root, changes=tuple(self._changes(after, taken, before)), kept=tuple(sorted(kept)))

    def _meant(self, rendered: Files) -> NetworkConfig:
        """What our files are to mean; of bridges of Open vSwitch what they say, for its database has the rest."""
        if self.dialect.openvswitch and any(map(is_switch, self.config.links.values())):
            return self.dialect.parse(rendered, self.hardware).config
        return self.config

    def _after(self, rendered: Files, taken: Mapping[str, str | None]) -> dict[str, str]:
        """The files as they will lie there."""
        stay = {path: text for path, text in self.foreign.items() if path not in taken}
        rest = {path: text for path, text in taken.items() if text is not None}
        ours = {}
        for path, text in rendered.items():
            if path in self.dialect.scaffold and path in self.existing:
                if is_ours(self.existing[path]):
                    ours[path] = self.existing[path]
            elif path not in rest:
                ours[path] = self.stamp.on(text)
        return {**stay, **rest, **ours}

    def _changed(self, after: Files) -> list[str]:
        return sorted(path for path in {*self.existing, *after} if self.existing.get(path) != after.get(path))

    def _changes(self, after: Files, taken: Mapping[str, str | None], before: Parsed) -> Iterator[FileChange]:
        result = self.dialect.parse(after, self.hardware)
        words = list(lost_words(before.config, result.config, self.config.links.keys()))
        changed = self._changed(after)
        moved = [path for path in changed if path in taken and path not in {cloud_init.FILE, *self.returned}]
        homes = (
            {name: path for path in reversed(moved) for name in self._links_of(path, after.get(path))} if words else {}
        )
        for path in changed:
            old, new = self.existing.get(path), after.get(path)
            one = FileChange(
                path=str(self.root / path),
                root=str(self.root),
                action="move" if path in taken else "remove" if new is None else "write",
                old=old,
                new=new,
                place=str(_free_place(self.root, path)),
                differs=old is None or new is None or below_header(old) != below_header(new),
            )
            if path == cloud_init.FILE:
                one = replace(one, reason="cloud-init would write its file again at the next boot")
            elif path in self.returned:
                one = self._returns(one, path)
            elif path in taken:
                one = replace(one, raw=_other_bytes(self.root / path, old) if new is not None else None)
                lost = lost_lines(before, result, path)
                more = (text for name, text in words if homes.get(IfName(name), moved[0]) == path)
                one = replace(one, reason=self._reason(path, new), lost=(*lost, *more))
            yield one
            if path in self.returned and new == self.returned[path]:
                yield from self._copies(path)

    def _returns(self, one: FileChange, path: str) -> FileChange:
        """A file that was moved aside comes back, as much of it as speaks for no link of ours."""
        whole, copy = self.returned[path], _places(self.root, path)[0]
        said = self.dialect.parse({path: whole}, self.hardware).config.links
        back = said.keys() - self.config.links.keys()
        gives = {str(name): tuple(said[name].addresses) for name in sorted(back) if said[name].addresses}
        reason = f"it configures {', '.join(sorted(back))} again, which the site file does not name any more"
        if path == dhcpcd.FILE:
            reason, back = "dhcpcd may configure again what the site file does not name any more", {*self.config.links}
        return replace(
            one,
            action="restore",
            kept=str(copy),
            kept_text=whole,
            gives=gives,
            raw=_other_bytes(copy, whole),
            reason=reason if back else "what it says is needed again",
        )

    def _copies(self, path: str) -> Iterator[FileChange]:
        """What is kept of a file goes when all of it is back."""
        for copy in _places(self.root, path):
            yield FileChange(
                path=str(copy),
                root=str(self.root),
                action="remove",
                old=text_of(copy.read_bytes()),
                place=str(_free_place(self.root, str(copy.relative_to(self.root)))),
                reason="it is back in its place",
            )

    def _links_of(self, path: str, new: str | None) -> set[IfName]:
        """The links of ours that a foreign file speaks for, of which ``new`` stays."""
        named = self.dialect.parse({path: self.foreign[path]}, self.hardware).config.links.keys()
        if named & self.config.links.keys() or len(self.config.links) >= ONE_BY_ONE_MAX:
            return named & self.config.links.keys()
        return {  # what it says alone is not all: others include it, or it goes with them
            name
            for name in self.config.links
            if path in self.dialect.without(self.foreign, (name,), self.hardware)
            and self.foreign[path].rstrip() not in (new or "")
        }

    def _reason(self, path: str, new: str | None) -> str:
        """Why a foreign file is moved."""
        if path == dhcpcd.FILE and new is not None:
            names = ", ".join(dhcpcd.kept_away(self.foreign, self.config, self.dialect.name)[1])
            return f"dhcpcd would configure {names} as well when the machine starts; all else that it says stays"
        mine = ", ".join(sorted(self._links_of(path, new)))
        said = f"it configures {mine}" if mine else "it is in the place of a file that must be written"
        if not mine and new is not None and new.startswith(self.foreign[path].rstrip()):
            return "it does not include the files that are written, and will; what it says stays"
        if new is None:
            return said
        return f"{said}; {'ours takes its name' if is_ours(new) else 'what it says of others stays'}"


def _other_bytes(path: Path, text: str | None) -> bytes | None:
    """What a file holds where its text would be written as other bytes: another encoding, a mark in front, CR LF."""
    try:
        data = path.read_bytes()
    except OSError:  # not there but in the text that was given
        return None
    return data if text is not None and data != text.encode() and text_of(data) == text else None


def _places(root: Path, path: str) -> tuple[Path, ...]:
    """Where a file is kept by now, the first that was moved first."""
    places: list[Path] = []
    place = root / ASIDE / path
    while place.exists():
        places.append(place)
        place = place.with_name(f"{path.rpartition('/')[2]}.{len(places) + 1}")
    return tuple(places)


def _free_place(root: Path, path: str) -> Path:
    """Where a file is kept: the names of those that were moved for earlier changes stay theirs."""
    place, number = root / ASIDE / path, len(_places(root, path))
    return place.with_name(f"{place.name}.{number + 1}") if number else place


def _edited(path: Path) -> Problem:
    return Problem(
        code="FILE-EDITED",
        message=f"'{path}' was edited since Bascule wrote it",
        hint=f"take the edit into the site file, then let Bascule write it again: rm {path}",
    )


def _refuse_link(top: Path, path: str) -> None:
    if (top / path).is_symlink():
        raise BasculeError.of(
            "FILE-LINK",
            f"'/{path}' is a symbolic link; Bascule would replace it by a file",
            hint="remove the link, or put a file in its place",
        )


def commit(writing: WritePlan) -> None:
    """Put the files in place. Raises OSError; the checkpoint then puts back what was done."""
    written = []
    for change in writing.changes:
        path = Path(change.path)
        if change.action == "move":
            keep(path, Path(change.place))
        if change.content is None:
            remove_file(path)
            continue
        name = str(path.relative_to(writing.root))
        make_folder(path.parent, mode=0o755)
        if change.action in ("move", "restore") and not is_ours(change.new or ""):  # what is left of it is as it was
            status = Path(change.kept or path).stat()
            owner = (status.st_uid, status.st_gid) if os.geteuid() == 0 else None
            write_whole(path, change.content, mode=status.st_mode & 0o7777, owner=owner)
            set_extended(path, extended(Path(change.kept or change.place)))
        else:
            write_whole(path, change.content, mode=mode_of(name), owner=(0, 0) if os.geteuid() == 0 else None)
        written.append(name)
    _relabel(writing.root, written)


def mode_of(path: str) -> int:
    """NetworkManager ignores profiles that others may read; networkd runs as a user of its own and must read its."""
    return 0o600 if path.startswith(SECRET) else 0o644


def _relabel(root: Path, paths: Iterable[str]) -> None:
    """SELinux labels follow the place; only a running system has them."""
    if str(root) == "/" and shutil.which("restorecon") and paths:
        run(("restorecon", *(f"/{path}" for path in paths)), check=False)
