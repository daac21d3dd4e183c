"""A host's configuration files as text, without the faintest trust in them."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from msgspec import Struct

from bascule.persist.parsed import MASKED
from bascule.system.disk.aside import ASIDE
from bascule.system.disk.files import find_below, is_closed, read_below

MARK = "# Written by bascule "  # in the first line of each file of ours
SHEBANG = "#!/bin/sh\n"
FILES_MAX = 50_000  # one host with 10,000 bridges has 30,000


class FileTree(Struct, frozen=True):
    """The files by their path without leading slash, and those that could not be read, each with the reason."""

    files: dict[str, str]
    skipped: tuple[tuple[str, str], ...]


def is_ours(text: str) -> bool:
    """Whether a file carries the mark."""
    return text.removeprefix(SHEBANG).startswith(MARK)


def read_moved(root: str, patterns: Iterable[str], includes: Callable[[str, str], list[str]] | None) -> dict[str, str]:
    """The files that were moved aside, by their old paths; a link leads where it led from its old place."""
    tree = read_tree(Path(root, ASIDE), patterns, includes)
    links = {path: Path(root, ASIDE, path) for path, _ in tree.skipped}
    led = {
        path: os.path.normpath(Path("/", path).parent / link.readlink()).lstrip("/")
        for path, link in links.items()
        if link.is_symlink()
    }
    found = {path: read_tree(root, [target]).files.get(target) for path, target in led.items()}
    return tree.files | {path: text for path, text in found.items() if text is not None}


def read_from_below(
    root: str | Path, folders: Mapping[str, str], patterns: Iterable[str], known: FileTree
) -> dict[str, tuple[str, str]]:
    """Files of packages and generators, each with its path and text, by the path that it counts as.

    ``folders`` has those paths, and ``patterns`` is what the dialect reads. Nothing of what somebody has turned off by
    a link to /dev/null at a path that is ``known``.
    """
    off = {path for path, _ in known.skipped}
    found: dict[str, tuple[str, str]] = {}
    for folder, stands_for in folders.items():
        top = stands_for.rpartition("/")[0] + "/"
        tree = read_tree(root, [folder + one.removeprefix(top) for one in patterns if one.startswith(top)])
        for path, text in tree.files.items():
            found.setdefault(stands_for + path.removeprefix(folder), (path, text))
    return {path: one for path, one in found.items() if path not in off}


def read_tree(
    root: str | Path, patterns: Iterable[str], includes: Callable[[str, str], list[str]] | None = None
) -> FileTree:
    """All files below ``root`` that fit the patterns, and those that they include.

    ``includes`` gives the patterns of the files that a file (its path, its text) includes. Symbolic links are
    followed as if ``root`` were /. Nothing is raised for what cannot be read: it stands in ``skipped``.
    """
    top = Path(root)
    files: dict[str, str] = {}
    skipped: dict[str, str] = {}
    folders: dict[str, Path] = {}
    waiting = list(patterns)
    while waiting:
        following: list[str] = []
        for pattern in waiting:
            if is_closed(top / (folder := pattern.rpartition("/")[0])):
                skipped[folder] = os.strerror(errno.EACCES).lower()
            for path in find_below(top, pattern):
                if path in files or path in skipped:
                    continue
                if len(files) >= FILES_MAX:
                    skipped[path] = f"more than {FILES_MAX} files"
                    break
                if Path(top, path).is_symlink() and str(Path(top, path).readlink()) == os.devnull:
                    skipped[path] = MASKED
                    continue
                try:
                    files[path] = read_below(top, path, folders=folders)
                except ValueError as wrong:
                    if str(wrong) != "a folder":
                        skipped[path] = str(wrong)
                    continue
                except OSError as wrong:
                    skipped[path] = (wrong.strerror or str(wrong)).lower()
                    continue
                if includes is not None:
                    following += includes(path, files[path])
        waiting = following
    return FileTree(files, tuple(sorted(skipped.items())))
