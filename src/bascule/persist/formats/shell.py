"""Files of shell assignments (ifcfg-*, /etc/sysconfig/network), read without running them."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from msgspec import Struct

from bascule.persist.formats.bonding import parse_bond_option
from bascule.persist.formats.builder import Builder
from bascule.persist.parsed import UnparsedLines

_PLAIN = re.compile(
    r"[ \t]*([A-Za-z_][A-Za-z0-9_]*)=(?:\"([^\"\\$`]*)\"|'([^']*)'|([^\s\"'\\$`;&|<>()#]*))(?:[ \t]+#.*)?[ \t]*"
)
_ASSIGNMENT = re.compile(r"([A-Za-z_][A-Za-z0-9_]*)=(.*)", re.DOTALL)
_VARIABLE = re.compile(r"(?<!\\)\$(?:([A-Za-z_][A-Za-z0-9_]*)|\{([A-Za-z_][A-Za-z0-9_]*)\})")
_SAFE = re.compile(r"[A-Za-z0-9_.:/%+@,=-]+")

MAX_CONTINUED = 200  # lines that one quoted or continued assignment may take


class Assignment(Struct, frozen=True):
    """``KEY=value`` with its line."""

    key: str
    value: str
    line: int


def assignments(file: str, text: str, left: UnparsedLines) -> Iterator[Assignment]:
    """The assignments of a file in their order; commands, expansions and broken quotes are left over."""
    lines = text.split("\n")
    known: dict[str, str] = {}
    at = 0
    while at < len(lines):
        line, number = lines[at].rstrip("\r"), at + 1
        at += 1
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        plain = _PLAIN.fullmatch(line)
        if plain:
            key, double, single, bare = plain.groups()
            known[key] = double if double is not None else single if single is not None else bare
            yield Assignment(key, known[key], number)
            continue
        words: list[str] | None = None
        first, joined = at, line
        for _ in range(MAX_CONTINUED):
            words = None if joined.endswith("\\") else _words(joined)
            if words is not None or at >= len(lines):
                break
            following = lines[at].rstrip("\r")
            joined = joined[:-1] + following if joined.endswith("\\") else joined + "\n" + following
            at += 1
        if words is None:
            at = first  # read on behind the broken line, so that one stray quote does not swallow the file
            left.add(file, number, line, "a quote is not closed, or the line is continued for too long")
            continue
        expanded = _expanded(joined, known)
        for found in _from_words(file, number, expanded, _words(expanded) or words, left):
            known[found.key] = found.value
            yield found


def _expanded(line: str, known: Mapping[str, str]) -> str:
    """With the values of plain variables that the file has set before: ``$DEVICE``, ``${DEVICE}``."""

    def value(match: re.Match[str]) -> str:
        text = known.get(match[1] or match[2], "")
        return text if _SAFE.fullmatch(text) else match[0]

    whole = _VARIABLE.sub(value, line) if "$" in line and "'" not in line else line
    return line if "$" in whole else whole  # what is not known as a whole is told as it stands


def _words(line: str) -> list[str] | None:
    try:
        return shlex.split(line, comments=True)
    except ValueError:
        return None


def _from_words(file: str, number: int, line: str, words: list[str], left: UnparsedLines) -> Iterator[Assignment]:
    if words and words[0] in {"export", "declare", "typeset"}:
        words = [word for word in words[1:] if not word.startswith("-")]
    if not words:
        return
    if ";" in line:
        words = [word.rstrip(";") for word in words if word != ";"]
    found = [_ASSIGNMENT.fullmatch(word) for word in words]
    if not all(found):
        left.add(file, number, line, "a command; files are read, not run")
        return
    if re.search(r"(?<!\\)[$`]", re.sub(r"'[^']*'", "", line)):
        left.add(file, number, line, "a shell expansion; files are read, not run")
        return
    for match in found:
        if match:
            yield Assignment(match[1], match[2], number)


class AssignmentFile:
    """A file of assignments whose keys are taken one by one; what is wrong is left over with its line.

    A key is taken when somebody asks for it: what it says where nobody does, as the number of a VLAN at a link that
    is none, is among the ``unasked``.
    """

    def __init__(self, builder: Builder, path: str) -> None:
        self.builder = builder
        self.path = path
        self.found: dict[str, Assignment] = {}
        self.asked: set[str] = set()

    def load(self, text: str) -> None:
        """The assignments; of several to one key the last counts."""
        for assignment in assignments(self.path, text, self.builder.left):
            before = self.found.get(assignment.key)
            if before is not None and before.value != assignment.value:
                self.leave(assignment.key, f"line {assignment.line} says otherwise")
            self.found[assignment.key] = assignment

    def unasked(self) -> list[str]:
        """The keys that say something and that nobody has asked for."""
        return [key for key, assignment in self.found.items() if key not in self.asked and assignment.value.strip()]

    def leave(self, key: str, why: str) -> None:
        """A key that is not supported."""
        assignment = self.found[key]
        self.builder.left.add(self.path, assignment.line, f"{key}={assignment.value}", why)

    def leave_all(self, why: str) -> None:
        """The whole file, as one thing."""
        lines = [(a.line, f"{a.key}={a.value}") for a in self.found.values()]
        self.builder.left.add_all(self.path, lines, why)

    def value(self, key: str) -> str:
        """The text of a key, empty where it is missing."""
        self.asked.add(key)
        return self.found[key].value.strip() if key in self.found else ""

    def take(self, key: str, parse: Callable[[str], Any]) -> Any:
        """The parsed value of a key; None if it is missing, empty or wrong."""
        try:
            return parse(self.value(key)) if self.value(key) else None
        except ValueError as wrong:
            self.leave(key, str(wrong))
            return None

    def put(self, key: str, parse: Callable[[str], Any], into: dict[str, Any], field: str) -> None:
        """The parsed value of a key as a field, if it has one."""
        value = self.take(key, parse)
        if value is not None:
            into[field] = value

    def bond_options(self, key: str, into: dict[str, Any]) -> None:
        """The bonding driver's ``name=value`` words."""
        for word in self.value(key).split():
            name, _, text = word.partition("=")
            try:
                field, value = parse_bond_option(name, text)
                into[field] = value
            except ValueError as wrong:
                self.leave(key, str(wrong))


def assign(key: str, value: str) -> str:
    """One line of such a file."""
    if _SAFE.fullmatch(value):
        return f"{key}={value}"
    if not re.search(r"[\"\\$`\n]", value):
        return f'{key}="{value}"'
    return f"{key}={shlex.quote(value)}"
