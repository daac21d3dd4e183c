"""/etc/network/interfaces without some links: their stanzas go, and every other line stands as it was written."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from fnmatch import fnmatchcase

from bascule.model.values import IfName
from bascule.persist.formats.builder import Builder
from bascule.persist.ifupdown import FILE, MAIN
from bascule.persist.ifupdown.includes import includes
from bascule.persist.ifupdown.parse import InterfacesFiles
from bascule.persist.parsed import Files, Hardware

# what ends a stanza, interfaces(5)
KEYWORDS = frozenset({"source", "source-directory", "mapping", "rename", "template", "no-auto-down", "no-scripts"})


def without(files: Files, names: Collection[IfName], hardware: Hardware) -> dict[str, str | None]:
    """What is left of each file with a stanza of one of the links; the first file includes ours in any case."""
    if MAIN not in files:
        return {}
    reader = InterfacesFiles(Builder(), files)
    reader.file(MAIN, ())
    others = [name for name in (*hardware, *reader.named) if name not in names and not set(name) & set("*?[")]
    mine = {*names, *(logical for logical, link in reader.called.items() if link in names)}
    found: dict[str, str | None] = {}
    for path in sorted(reader.seen):
        left = "".join(_left(files[path], mine, others))
        if left != files[path]:
            found[path] = left if path == MAIN or _says_something(left) else None
    patterns = [pattern for path in reader.seen for pattern in includes(path, files[path])]
    if not any(fnmatchcase(FILE, pattern) for pattern in patterns):
        text = found.get(MAIN, files[MAIN]) or ""
        found[MAIN] = f"{text.rstrip()}\n\nsource /{FILE}\n".lstrip()
    return found


def _left(text: str, names: Collection[str], others: Collection[str]) -> Iterator[str]:
    skipping = False
    waiting: list[str] = []  # comments behind a stanza that goes: they belong to the next one
    for lines in _logical(text):
        words = "".join(lines).replace("\\\n", " ").split()
        first = words[0] if words else ""
        if not first or first.startswith("#"):
            if skipping:
                waiting += lines
            else:
                yield from lines
            continue
        if first == "iface" or first in KEYWORDS or first == "auto" or first.startswith("allow-"):
            yield from waiting
            skipping = first == "iface" and _is_of(words[1] if len(words) > 1 else "", names)
            fits = _others_of(words[1:], names, others) if first == "mapping" else words[1:]
            skipping |= first == "mapping" and not fits
            if not skipping:
                yield from _shorter(lines, words, names) if fits == words[1:] else (f"mapping {' '.join(fits)}\n",)
        elif not skipping:
            yield from lines
        waiting = []
    yield from waiting


def _others_of(patterns: Sequence[str], names: Collection[str], others: Collection[str]) -> list[str]:
    """What a mapping is about beside links of ours, to whose stanzas it would give other names.

    No pattern says all but one, so one that fits a link of ours becomes the names of the others that it fits.
    """
    found: list[str] = []
    for pattern in patterns:
        is_ours = any(fnmatchcase(name, pattern) for name in names)
        found += sorted(name for name in others if fnmatchcase(name, pattern)) if is_ours else [pattern]
    return list(dict.fromkeys(found)) if found != list(patterns) else list(patterns)


def _shorter(lines: list[str], words: list[str], names: Collection[str]) -> Iterator[str]:
    """A line that lists links, without ours; nothing where no other is listed."""
    if words[0] in {"iface", "mapping"} or words[0] in KEYWORDS - {"no-auto-down", "no-scripts"}:
        yield from lines
        return
    left = [word for word in words[1:] if not _is_of(word, names)]
    if len(left) == len(words) - 1:
        yield from lines
    elif left:
        yield f"{words[0]} {' '.join(left)}\n"


def _is_of(word: str, names: Collection[str]) -> bool:
    """Whether a name, or the alias of one (eth0:1), or one with its stanza (eth0=home), is among them."""
    return word.partition("=")[0].partition(":")[0] in names


def _logical(text: str) -> Iterator[list[str]]:
    """The lines as they stand, those that are continued together."""
    pending: list[str] = []
    for line in text.splitlines(keepends=True):
        is_comment = not pending and line.lstrip().startswith("#")
        pending.append(line)
        if not is_comment and line.rstrip("\r\n").endswith("\\"):
            continue
        yield pending
        pending = []
    if pending:
        yield pending


def _says_something(text: str) -> bool:
    return any(line.strip() and not line.lstrip().startswith("#") for line in text.splitlines())
