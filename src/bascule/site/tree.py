"""Bytes to a plain tree: dict, list, text, and None for nothing. Nothing is guessed, and every value knows its place.

The tree is built from libyaml's events (PyYAML's own where libyaml is missing). No constructor runs: ``off`` stays
the text ``off``, ``52:54:00:12:34:56`` stays a MAC. What makes YAML surprising or dangerous is refused here:
duplicate keys, anchors and aliases (which can make a small file huge), merge keys, tags and several documents.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Iterator
from typing import Any

import yaml

from bascule.errors import Place
from bascule.site.findings import Findings, Path, shown

Tree = dict[str, Any]

DEPTH_MAX = 16  # a right file needs 6
_ENDS = {yaml.DocumentEndEvent, yaml.MappingEndEvent, yaml.SequenceEndEvent}
LOADER: Any = getattr(yaml, "CBaseLoader", yaml.BaseLoader)

_BAD = r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\x80-\x84\x86-\x9f\ud800-\udfff\ufffe\uffff\ufeff]"

_HINTS = {
    "mapping values are not allowed": "a ': ' too many on this line, or a line above that is indented too far;"
    " text that holds ': ' goes into quotes",
    "could not find expected ':'": "write 'key: value', with a space after the colon",
    "did not find expected key": "keys of one mapping stand in the same column; look at this line's indentation",
    "did not find expected ',' or '}'": "close the '{' or put a ',' between its entries",
    "did not find expected ',' or ']'": "close the '[' or put a ',' between its entries",
    "did not find expected '-' indicator": "entries of one list stand in the same column, each with '- '",
    "cannot start any token": "put the text into quotes",
    "found unexpected ':'": "put the text into quotes; inside { } an IPv6 address that ends in '::' needs them",
    "unexpected end of stream": "a quotation mark is opened and never closed",
    "did not find expected node content": "a value is missing here, or a ',' or bracket too many",
}


COMPRESSED = (b"\x1f\x8b", b"\xfd7zXZ", b"BZh", b"\x28\xb5\x2f\xfd")  # gzip, xz, bzip2, zstd


class _Unreadable(Exception):
    """Reading on makes no sense."""


def read_tree(data: bytes, found: Findings) -> Tree | None:
    """The tree of a file, or None where it cannot be read; every problem goes to ``found``."""
    text = _decode(data, found)
    if text is None:
        return None
    try:
        return _Reader(found).read(yaml.parse(text, Loader=LOADER))
    except _Unreadable:
        return None
    except yaml.YAMLError as error:
        _explain(error, text, found)
        return None


def _decode(data: bytes, found: Findings) -> str | None:
    """UTF-8 without control characters."""
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        found.at("ENCODING", "the file is UTF-16, not UTF-8", Place(found.file, 1, 1), "save it as UTF-8")
        return None
    data = data.removeprefix(b"\xef\xbb\xbf")
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        if b"\0" in data or data.startswith(COMPRESSED):  # no text of any encoding with one byte a character
            hint = "name the site file itself, which is a text file"
            found.at("ENCODING", "the file is binary, not text", Place(found.file, 1, 1), hint)
            return None
        before = data[: error.start]
        line = before.count(b"\n") + 1
        column = len(before[before.rfind(b"\n") + 1 :].decode("utf-8")) + 1
        found.at(
            "ENCODING",
            f"byte 0x{data[error.start]:02x} is not UTF-8",
            Place(found.file, line, column),
            "save the file as UTF-8; in Latin-1 files it is often an umlaut or accent in a comment",
        )
        return None
    plain = text.replace("\n", "").isprintable()  # nearly always; the pattern takes longer to compile than to search
    bad = None if plain else re.search(_BAD, text)
    if bad:
        line = text.count("\n", 0, bad.start()) + 1
        column = bad.start() - text.rfind("\n", 0, bad.start())
        found.at(
            "CONTROL-CHARACTER",
            f"{_name(bad.group())} does not belong in a text file",
            Place(found.file, line, column),
            "delete it; is this the right file?",
        )
        return None
    return text


def _name(character: str) -> str:
    """A character that cannot be seen, by number and name."""
    name = unicodedata.name(character, "").lower() or {"\0": "NUL", "\n": "line break", "\t": "tab"}.get(character)
    return f"U+{ord(character):04X}" + (f" ({name})" if name else "")


def _explain(error: yaml.YAMLError, text: str, found: Findings) -> None:
    """The parser's complaint as a problem."""
    mark = getattr(error, "problem_mark", None) or getattr(error, "context_mark", None)
    problem = str(getattr(error, "problem", None) or error).splitlines()[0].rstrip(".")
    line, column = (mark.line, mark.column) if mark else (0, 0)
    lines = text.splitlines() or [""]
    for number in (line, line - 1):  # the parser may complain on the line below
        if 0 <= number < len(lines) and re.match(r" *\t", lines[number]):
            place = Place(found.file, number + 1, lines[number].index("\t") + 1)
            found.at(
                "TAB", "a tab is used for indentation", place, "indent with spaces; YAML does not allow tabs there"
            )
            return
    hint = next((hint for words, hint in _HINTS.items() if words in problem), None)
    context = getattr(error, "context", None)
    words = f"{context}: {problem}" if context else problem
    found.at("YAML", f"not YAML: {words}", Place(found.file, line + 1, column + 1), hint)


class _Reader:
    """Builds the tree from events without recursion."""

    def __init__(self, found: Findings) -> None:
        self.found = found

    def read(self, events: Iterable[Any]) -> Tree | None:
        """The one document's tree."""
        stream = iter(events)
        top: Any = None
        documents = 0
        for event in stream:
            if isinstance(event, yaml.DocumentStartEvent):
                documents += 1
                if documents > 1:
                    self.stop("DOCUMENTS", "a second document begins here", event, "one file is one site: remove '---'")
                top = self.document(stream)
        where = Place(self.found.file, 1, 1)
        if documents == 0 or top is None:
            self.found.at(
                "EMPTY",
                "the file is empty",
                where,
                "begin with 'site: NAME'; 'bascule schema' says what follows",
            )
            return None
        if not isinstance(top, dict):
            kind = "a list" if isinstance(top, list) else "the text " + shown(top)
            self.found.at(
                "NOT-A-MAPPING", f"the file is {kind}, not a mapping of keys", where, "begin with 'site: NAME'"
            )
            return None
        return top

    def document(self, stream: Iterator[Any]) -> Any:
        """One document, up to its end."""
        top: Any = None
        # open collections: (path, container, the key that waits for its value)
        stack: list[tuple[Path, dict[str, Any] | list[Any]]] = []
        waiting: list[str | None] = []
        for event in stream:  # thousands: what is seldom asked is asked in functions
            kind = type(event)
            if kind in _ENDS:
                if kind is yaml.DocumentEndEvent:
                    return top
                stack.pop()
                waiting.pop()
                continue
            if kind is yaml.AliasEvent or event.anchor or event.tag:
                self.refuse_magic(event)
            scalar = kind is yaml.ScalarEvent
            if waiting and waiting[-1] is None and type(stack[-1][1]) is dict:
                if not scalar:
                    self.stop("YAML", "a list or mapping cannot be a key", event, "write 'key: value'")
                waiting[-1] = self.key(event, stack[-1])
                continue
            path: Path = ()
            value: Any = self.text(event) if scalar else {} if kind is yaml.MappingStartEvent else []
            if stack:
                parent_path, parent = stack[-1]
                if isinstance(parent, list):
                    path = (*parent_path, len(parent))
                    parent.append(value)
                else:
                    key = waiting[-1]
                    waiting[-1] = None
                    path = (*parent_path, key or "")
                    if path not in self.found.values:  # of two equal keys the first counts; the second was reported
                        parent[key or ""] = value
                    else:
                        path = (*path, f"(again, line {event.start_mark.line + 1})")
            else:
                top = value
            self.found.values[path] = event.start_mark
            if not scalar:
                self.found.containers.add(path)
                if len(stack) >= DEPTH_MAX:
                    self.stop("DEPTH", f"more than {DEPTH_MAX} levels of nesting", event, "a site file needs six")
                stack.append((path, value))
                waiting.append(None)
        return top

    def key(self, event: Any, parent: tuple[Path, Any]) -> str:
        """A key; a second one of the same name is reported with both places."""
        name: str = event.value
        path = (*parent[0], name)
        if name == "<<" and not event.style:
            self.stop(
                "ANCHOR", "merge key '<<' is not supported", event, "write the keys out; each thing is declared once"
            )
        if not name.isprintable():
            self.refuse_unprintable(event)
        if path in self.found.keys:
            self.found.at(
                "DUPLICATE-KEY",
                f"key {shown(name)} appears twice in one mapping",
                self.place(event),
                "remove one of them, or give the second another name",
                (("first here", self.found.place(path, key=True)),),
            )
        else:
            self.found.keys[path] = event.start_mark
        return name

    def text(self, event: Any) -> str | None:
        """A scalar's text as it stands in the file; None for an empty plain one (``key:`` with nothing behind)."""
        if not event.style and event.value in {"", "~", "null"}:
            return None
        text: str = event.value
        if not text.isprintable():
            self.refuse_unprintable(event)
        return text

    def refuse_unprintable(self, event: Any) -> None:
        """Invisible characters inside a value come from copying; they never match what they look like."""
        place, text = self.place(event), event.value
        bad = next(character for character in text if not character.isprintable())
        self.found.spoiled.add(place)
        self.found.at(
            "CONTROL-CHARACTER",
            f"{shown(text)} holds {_name(bad)}",
            place,
            "type it again: no value of a site file has line breaks or invisible characters",
        )

    def refuse_magic(self, event: Any) -> None:
        """Anchors, aliases and tags."""
        if event.anchor:
            sign = "*" if isinstance(event, yaml.AliasEvent) else "&"
            self.stop(
                "ANCHOR",
                f"'{sign}{event.anchor}' is an anchor or alias, which site files do not support",
                event,
                "write the value out; each thing is declared once and referred to by name",
            )
        if getattr(event, "tag", None):
            self.found.at(
                "TAG",
                f"tag {shown(event.tag)} is not supported",
                self.place(event),
                "remove it; a value's meaning comes from its key",
            )

    def place(self, event: Any) -> Place:
        """Where an event begins."""
        return self.found.at_mark(event.start_mark)

    def stop(self, code: str, message: str, event: Any, hint: str) -> None:
        """Note a problem that ends the reading."""
        self.found.at(code, message, self.place(event), hint)
        raise _Unreadable
