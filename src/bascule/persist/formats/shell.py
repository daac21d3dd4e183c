"""Files of shell assignments (ifcfg-*, /etc/sysconfig/network), read without running them."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator

from msgspec import Struct

from bascule.persist.parsed import Leftovers

_PLAIN = re.compile(
    r"[ \t]*([A-Za-z_][A-Za-z0-9_]*)=(?:\"([^\"\\$`]*)\"|'([^']*)'|([^\s\"'\\$`;&|<>()#]*))(?:[ \t]+#.*)?[ \t]*"
)
_ASSIGNMENT = re.compile(r"([A-Za-z_][A-Za-z0-9_]*)=(.*)", re.DOTALL)
_SAFE = re.compile(r"[A-Za-z0-9_.:/%+@,=-]+")

MAX_CONTINUED = 200  # lines that one quoted or continued assignment may take


class Assignment(Struct, frozen=True):
    """``KEY=value`` with its line."""

    key: str
    value: str
    line: int


def assignments(file: str, text: str, left: Leftovers) -> Iterator[Assignment]:
    """The assignments of a file in their order; commands, expansions and broken quotes are left over."""
    lines = text.split("\n")
    at = 0
    while at < len(lines):
        line, number = lines[at].rstrip("\r"), at + 1
        at += 1
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        plain = _PLAIN.fullmatch(line)
        if plain:
            key, double, single, bare = plain.groups()
            yield Assignment(key, double if double is not None else single if single is not None else bare, number)
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
        yield from _from_words(file, number, joined, words, left)


def _words(line: str) -> list[str] | None:
    try:
        return shlex.split(line, comments=True)
    except ValueError:
        return None


def _from_words(file: str, number: int, line: str, words: list[str], left: Leftovers) -> Iterator[Assignment]:
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


def assign(key: str, value: str) -> str:
    """One line of such a file."""
    if _SAFE.fullmatch(value):
        return f"{key}={value}"
    if not re.search(r"[\"\\$`\n]", value):
        return f'{key}="{value}"'
    return f"{key}={shlex.quote(value)}"
