"""Putting a host's configuration files in place: atomically, with the old ones kept, and never over foreign ones."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterable, Mapping
from hashlib import sha256
from pathlib import Path

from msgspec import Struct

from bascule.errors import BasculeError, Problem
from bascule.model.values import IfName
from bascule.persist.compare import differences
from bascule.persist.config import LinkConfig, NetworkConfig
from bascule.persist.dialect import Dialect
from bascule.system.disk.files import remove_file, replace_file
from bascule.system.run import run

MARK = "# Written by bascule "
SHEBANG = "#!/bin/sh\n"

SECRET = ("etc/NetworkManager/system-connections/", "etc/netplan/")  # NetworkManager and netplan want them closed


class Writing(Struct, frozen=True, kw_only=True):
    """What will be written and removed, decided before anything is touched.

    ``kept`` are links that foreign files configure already, exactly as wanted.
    """

    root: Path
    files: Mapping[str, str]
    removed: tuple[str, ...]
    kept: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.files or self.removed)


class Stamp(Struct, frozen=True):
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


def is_ours(text: str) -> bool:
    """Whether a file carries the mark."""
    return text.removeprefix(SHEBANG).startswith(MARK)


def is_edited(text: str) -> bool:
    """Whether somebody changed a file of ours since it was written."""
    line, _, below = text.removeprefix(SHEBANG).partition("\n")
    said = re.search(r", text ([0-9a-f]{16})\)", line)
    return said is not None and said[1] != _digest(below)


def prepare(
    dialect: Dialect,
    config: NetworkConfig,
    existing: Mapping[str, str],
    *,
    stamp: Stamp,
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
    files: dict[str, str] = {}
    problems = []
    for path, text in wanted.items():
        full = stamp.on(text)
        if path in dialect.scaffold and path in existing:
            continue
        if path in foreign:
            problems.append(_foreign(Path(root, path)))
        elif existing.get(path) != full:
            files[path] = full
    removed = tuple(sorted(path for path, text in existing.items() if is_ours(text) and path not in wanted))
    problems += [_edited(Path(root, path)) for path in (*files, *removed) if is_edited(existing.get(path, ""))]
    if problems:
        raise BasculeError(*problems)
    after = {path: text for path, text in {**existing, **files}.items() if path not in removed}
    problems = _drowned(dialect, config, after)
    if problems:
        raise BasculeError(*problems)
    top = Path(root)
    for path in (*files, *removed):
        _refuse_link(top, path)
    return Writing(root=top, files=files, removed=removed, kept=tuple(sorted(kept)))


def _foreign(path: Path) -> Problem:
    return Problem(
        code="FILE-FOREIGN",
        message=f"'{path}' is not Bascule's, and stands where a file must be written",
        hint=f"see what it says (bascule import), then move it away: mv {path} /root/",
    )


def _edited(path: Path) -> Problem:
    return Problem(
        code="FILE-EDITED",
        message=f"'{path}' was edited since Bascule wrote it",
        hint=f"take the edit into the site file, then let Bascule write it anew: rm {path}",
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
                hint="take what it says into the site file (bascule import shows it), then move that file away"
                + (" and leave NetworkManager alone until the apply" if "NetworkManager" in where else ""),
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
            hint = f"see that /{next(iter(dialect.scaffold), 'etc')} includes it: source /etc/network/interfaces.d/*"
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


def _refuse_link(top: Path, path: str) -> None:
    if (top / path).is_symlink():
        raise BasculeError.of(
            "FILE-LINK",
            f"'/{path}' is a symbolic link; Bascule would replace it by a file",
            hint="remove the link, or put a file in its place",
        )


def commit(writing: Writing) -> None:
    """Put the files in place. Raises OSError; the checkpoint then puts back what was done."""
    for path, text in writing.files.items():
        replace_file(writing.root / path, text.encode(), mode=mode_of(path), owner=_owner(path))
    for path in writing.removed:
        remove_file(writing.root / path)
    _relabel(writing.root, writing.files)


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
