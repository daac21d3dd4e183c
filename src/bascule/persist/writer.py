"""Putting a host's configuration files in place: atomically, with the old ones kept, and never over foreign ones."""

from __future__ import annotations

import base64
import os
import shutil
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bascule.errors import BasculeError, Problem
from bascule.model.values import IfName
from bascule.persist.config import LinkConfig, NetworkConfig
from bascule.persist.dialect import Dialect
from bascule.persist.running import differences
from bascule.system.files import below, remove_file, replace_file
from bascule.system.run import run

MARK = "# Written by bascule "

SECRET = ("etc/NetworkManager/system-connections/", "etc/netplan/")  # NetworkManager and netplan want them closed


@dataclass(frozen=True, slots=True)
class Backup:
    """A file as it was before: ``content`` None means that it did not exist."""

    path: str
    content: bytes | None
    mode: int = 0o644
    owner: tuple[int, int] = (0, 0)

    def as_json(self) -> dict[str, Any]:
        """For the checkpoint."""
        content = None if self.content is None else base64.b64encode(self.content).decode()
        return {"path": self.path, "content": content, "mode": self.mode, "owner": list(self.owner)}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Backup:
        """The other way round."""
        content = None if data["content"] is None else base64.b64decode(data["content"])
        return cls(str(data["path"]), content, int(data["mode"]), (int(data["owner"][0]), int(data["owner"][1])))


@dataclass(frozen=True, slots=True, kw_only=True)
class Writing:
    """What will be written and removed, decided before anything is touched.

    ``backups`` is what the checkpoint keeps; with it ``restore`` puts everything back. ``kept`` are links that
    foreign files configure already, exactly as wanted.
    """

    root: Path
    files: Mapping[str, str]
    removed: tuple[str, ...]
    backups: tuple[Backup, ...]
    kept: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.files or self.removed)


def header(site: str, host: str, digest: str) -> str:
    """The first line of every file that Bascule writes; ``digest`` is that of the site file."""
    return f"{MARK}for host {host} of site {site} (sha256 {digest[:16] or 'none'}); edit the site file, not this one\n"


def is_ours(text: str) -> bool:
    """Whether a file carries the mark."""
    return text.startswith(MARK)


def prepare(
    dialect: Dialect,
    config: NetworkConfig,
    existing: Mapping[str, str],
    *,
    head: str,
    root: str | Path = "/",
    besides: Mapping[str, str] | None = None,
) -> Writing:
    """Decide what to write. ``existing`` are the files of the dialect on the host (observe.files.read_tree).

    ``besides`` are further files that go with it in any dialect.

    Raises Inexpressible for what the dialect cannot say, and BasculeError with every link that a foreign file
    configures differently: such a file is never touched, and two files for one link would fight at the next boot.
    """
    foreign = {path: text for path, text in existing.items() if not is_ours(text)}
    kept, problems = _overlap(dialect, config, foreign)
    if problems:
        raise BasculeError(*problems)
    mine = NetworkConfig.of((link for link in config.links.values() if link.name not in kept), config.unmanaged)
    wanted = {**dialect.render(mine), **(besides or {})}
    only_if_missing: Iterable[str] = getattr(dialect, "ONLY_IF_MISSING", ())
    files: dict[str, str] = {}
    problems = []
    for path, text in wanted.items():
        full = head + text
        if path in only_if_missing and path in existing:
            continue
        if path in foreign:
            problems.append(_foreign(path))
        elif existing.get(path) != full:
            files[path] = full
    if problems:
        raise BasculeError(*problems)
    removed = tuple(sorted(path for path, text in existing.items() if is_ours(text) and path not in wanted))
    after = {path: text for path, text in {**existing, **files}.items() if path not in removed}
    problems = _drowned(dialect, config, after)
    if problems:
        raise BasculeError(*problems)
    top = Path(root)
    backups = tuple(_backup(top, path) for path in (*sorted(files), *removed))
    return Writing(root=top, files=files, removed=removed, backups=backups, kept=tuple(sorted(kept)))


def _foreign(path: str) -> Problem:
    return Problem(
        code="FILE-FOREIGN",
        message=f"'/{path}' is not Bascule's, and stands where a file must be written",
        hint=f"see what it says (bascule import), then move it away: mv /{path} /root/",
    )


def _overlap(dialect: Dialect, config: NetworkConfig, foreign: Mapping[str, str]) -> tuple[set[IfName], list[Problem]]:
    """The links that foreign files configure: those that are as wanted, and a problem for each other one."""
    theirs = dialect.parse(foreign).config
    shared = set(theirs.links) & set(config.links)
    same = {name for name in shared if theirs.links[name] == config.links[name]}
    # a link is left to them only together with everything that it hangs on, and that hangs on it
    changed = True
    while changed:
        apart = {name for name in same if not _neighbours(config.links[name], config) <= same}
        same -= apart
        changed = bool(apart)
    problems = []
    for name in sorted(shared - same):
        have, want = theirs.links[name], config.links[name]
        told = list(differences(name, want, have, "wanted", "in that file"))
        where = _mentions(name, foreign)
        problems.append(
            Problem(
                code="FILE-FOREIGN",
                message=f"{name} is configured in {where}, which Bascule did not write"
                + (f" ({told[0].partition(': ')[2]})" if told else ""),
                hint="take what it says into the site file (bascule import shows it), then move that file away",
            )
        )
    return same, problems


def _drowned(dialect: Dialect, config: NetworkConfig, after: Mapping[str, str]) -> list[Problem]:
    """Read everything as it will lie there, and name each link that would not come out as wanted."""
    hardware = {name: link.pin_mac for name, link in config.links.items() if not link.options.kind}
    result = dialect.parse(after, hardware).config
    problems = []
    for name, want in config.links.items():
        have = result.links.get(name)
        if have == want:
            continue
        if have is None:
            message = f"what Bascule would write for {name} would not be read"
            hint = f"see that /{getattr(dialect, 'MAIN', 'etc')} includes it: source /etc/network/interfaces.d/*"
        else:
            told = list(differences(name, want, have, "wanted", "with the other files that are there"))
            message = f"other files would change what Bascule writes for {name}"
            message += f" ({told[0].partition(': ')[2]})" if told else ""
            hint = "bascule import shows what they say; move them away, or take it into the site file"
        problems.append(Problem(code="FILE-FOREIGN", message=message, hint=hint))
    return problems


def _neighbours(link: LinkConfig, config: NetworkConfig) -> set[str]:
    near = {name for name in (link.master, link.parent) if name}
    return near | {other.name for other in config.links.values() if link.name in {other.master, other.parent}}


def _mentions(name: str, foreign: Mapping[str, str]) -> str:
    """The foreign file that speaks of a link, as far as one can see."""
    named = [path for path in foreign if path.rpartition("/")[2].rpartition("-")[2].partition(".")[0] == name]
    named += [path for path, text in foreign.items() if name in text.split()] or list(foreign)
    return f"'/{named[0]}'"


def _backup(top: Path, path: str) -> Backup:
    place = below(top, path)
    if (top / path).is_symlink():
        raise BasculeError.of(
            "FILE-LINK",
            f"'/{path}' is a symbolic link; Bascule would replace it by a file",
            hint="remove the link, or put a file in its place",
        )
    try:
        status = place.stat()
        return Backup(path, place.read_bytes(), status.st_mode & 0o7777, (status.st_uid, status.st_gid))
    except FileNotFoundError:
        return Backup(path, None)


def commit(writing: Writing) -> None:
    """Put the files in place. Raises OSError; ``restore(writing.backups)`` then puts back what was done."""
    for path, text in writing.files.items():
        replace_file(writing.root / path, text.encode(), mode=mode_of(path), owner=_owner(path))
    for path in writing.removed:
        remove_file(writing.root / path)
    _relabel(writing.root, writing.files)


def restore(backups: Iterable[Backup], root: str | Path = "/") -> None:
    """Everything as it was before ``commit``, also when that was cut off half-way."""
    top = Path(root)
    for backup in backups:
        if backup.content is None:
            remove_file(top / backup.path)
        else:
            owner = backup.owner if os.geteuid() == 0 else None
            replace_file(top / backup.path, backup.content, mode=backup.mode, owner=owner)


def mode_of(path: str) -> int:
    """NetworkManager ignores profiles that others may read; networkd runs as a user of its own and must read its."""
    return 0o600 if path.startswith(SECRET) else 0o644


def _owner(path: str) -> tuple[int, int] | None:
    del path
    return (0, 0) if os.geteuid() == 0 else None


def _relabel(root: Path, paths: Iterable[str]) -> None:
    """SELinux labels follow the place; only a running system has them."""
    if str(root) == "/" and shutil.which("restorecon") and paths:
        run(("restorecon", *(f"/{path}" for path in paths)), check=False)
