"""A host's configuration files as text, without the faintest trust in them."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path

from msgspec import Struct

from bascule.system.disk.files import find_below, read_below

FILES_MAX = 50_000  # one host with 10,000 bridges has 30,000


class FileTree(Struct, frozen=True):
    """The files by their path without leading slash, and those that could not be read, each with the reason."""

    files: dict[str, str]
    skipped: tuple[tuple[str, str], ...]


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
            for path in find_below(top, pattern):
                if path in files or path in skipped:
                    continue
                if len(files) >= FILES_MAX:
                    skipped[path] = f"more than {FILES_MAX} files"
                    break
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
