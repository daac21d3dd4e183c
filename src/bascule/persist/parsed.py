"""What a parser is given and what it gives back: files, a configuration, and the lines that it could not take over."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from itertools import takewhile

from msgspec import Struct, field
from msgspec.structs import replace

from bascule.model.values import IfName, Mac
from bascule.persist.config import NetworkConfig

_SECRET = re.compile(  # a key of a network or tunnel: a site file is handed round
    r"((?:psk|pass(?:word|phrase|wd)?|secret|(?:private|preshared|wep|pre-shared)[-_ ]?key[0-9]?)[\"']?\s*[=: ]\s*"
    r"|\b(?:key|private|shared)[\"']?: +(?!\{))"  # of netplan
    r"(?![\"']?\(not shown\))[^\s,;}]+",
    re.IGNORECASE,
)
_MAY_BE_SECRET = re.compile(r"[pP][sS][kK]|[pP][aA][sS][sS]|[sS][eE][cC][rR]|[kK][eE][yY]")  # soon looked for
LONGEST = 600  # characters of a line that a note repeats
OF_PACKAGES = ("usr/lib/", "lib/", "usr/local/lib/")
MASKED = "a link to /dev/null: its manager passes over it, and over files of that name elsewhere"
NO_LINK = "no link that is known matches"
IGNORED = "ignored, as"  # of a whole file, whose reader goes by its name

Files = Mapping[str, str]  # a path without leading slash ("etc/sysconfig/network-scripts/ifcfg-br3") and its text
Below = Mapping[str, tuple[str, str]]  # persist.files.read_from_below
Hardware = Mapping[IfName, Mac | None]  # the NICs that are known to be there, with their MACs


class Unparsed(Struct, frozen=True, order=True):
    """Something in a file that could not be taken over; ``line`` counts from 1, 0 stands for the whole file."""

    file: str
    line: int
    text: str
    why: str

    @property
    def is_ignored_file(self) -> bool:
        """Whether it is a file that its own reader does not read either."""
        return not self.line and self.why.startswith(IGNORED)

    def __str__(self) -> str:
        place = f"{self.file}:{self.line}" if self.line else self.file
        return f"{place}: {self.text}: {self.why}" if self.text else f"{place}: {self.why}"


class Parsed(Struct, frozen=True, kw_only=True):
    """What the files say, and what of them could not be taken over.

    ``places`` say where each link was first named. ``unsure`` are bridges and bonds with ports that nobody can tell:
    a pattern stands for them, or they are links of a kind that is not taken. ``passed`` are lines that say nothing of
    what the network is, ``unmanaged`` the links that the configuration system leaves alone. ``snooping`` are bridges
    of which the files say that they snoop on multicast, as the kernel does without a word. ``networkmanagers`` are
    links that netplan gives to NetworkManager.
    """

    config: NetworkConfig
    left: tuple[Unparsed, ...] = ()
    places: Mapping[IfName, tuple[str, int]] = field(default_factory=dict)
    unsure: frozenset[IfName] = frozenset()
    passed: tuple[Unparsed, ...] = ()
    unmanaged: tuple[str, ...] = ()
    snooping: frozenset[IfName] = frozenset()
    networkmanagers: frozenset[IfName] = frozenset()


def placed(parsed: Parsed, places: Mapping[str, str]) -> Parsed:
    """The same, with the paths at which files really stand by those that they count as.

    A unit of a package that fits no link here waits for links that may come: it is not told.
    """
    if not places:
        return parsed

    def moved(these: Iterable[Unparsed]) -> tuple[Unparsed, ...]:
        return tuple(
            replace(each, file=places.get(each.file, each.file), why=places.get(each.why, each.why)) for each in these
        )

    idle = {each.file for each in parsed.left if NO_LINK in each.why}
    idle = {path for path in idle if places.get(path, path).startswith(OF_PACKAGES)}
    left = moved(each for each in parsed.left if each.file not in idle)
    waiting = (Unparsed(path, 0, "", f"{IGNORED} no link here is meant") for path in idle)
    named = {name: (places.get(file, file), line) for name, (file, line) in parsed.places.items()}
    return replace(parsed, left=left, passed=moved((*parsed.passed, *waiting)), places=named)


class UnparsedLines:
    """Collects what a parser could not take."""

    __slots__ = ("found", "passed")

    def __init__(self) -> None:
        self.found: list[Unparsed] = []
        self.passed: list[Unparsed] = []

    def passes(self, file: str, line: int, text: str) -> None:
        """A line that says something to the configuration system and nothing of what the network is."""
        shown = printable(without_secrets(text.strip())[:LONGEST])
        self.passed.append(Unparsed(file, line, shown, "says nothing about the network"))

    def add(self, file: str, line: int, text: str, why: str) -> None:
        """One line of a file, shortened if it is huge."""
        text = without_secrets(text.strip())
        shown = text if len(text) <= LONGEST else text[: LONGEST - 3] + "..."
        self.found.append(Unparsed(file, line, printable(shown), why))

    @contextmanager
    def unless_taken(self, file: str, line: int, text: str) -> Iterator[None]:
        """A line that is left over if a ValueError says within why it is not taken."""
        try:
            yield
        except ValueError as wrong:
            self.add(file, line, text, str(wrong))

    def add_all(self, file: str, lines: Iterable[tuple[int, str]], why: str) -> None:
        """Several lines that belong together, as one thing: its place is that of the first."""
        found = sorted(lines)
        self.add(file, found[0][0], "; ".join(text.strip() for _, text in found), why)

    def add_file(self, file: str, text: str, why: str, line: int = 0) -> None:
        """A file of which nothing is taken, for the reason that ``line`` shows, and each line that is not told yet."""
        lines = text.split("\n")
        self.add(file, line, lines[line - 1] if line else "", why)
        told = {each.line for each in takewhile(lambda each: each.file == file, reversed(self.found))}
        for number, said in enumerate(lines, 1):
            if number not in told and said.strip() and said.lstrip()[0] not in "#;":
                self.add(file, number, said, "nothing of this file is taken")

    def done(self) -> tuple[Unparsed, ...]:
        """All of them in the order of files and lines, each once."""
        return tuple(sorted(set(self.found)))


def without_secrets(text: str) -> str:
    """A line without the values of keys and passwords that stand in it."""
    return _SECRET.sub(r"\1(not shown)", text) if _MAY_BE_SECRET.search(text) else text


def printable(text: str) -> str:
    """Control characters as escapes, so that a binary file cannot speak to the terminal."""
    if text.isprintable():
        return text
    return "".join(ch if ch.isprintable() else ch.encode("unicode_escape").decode() for ch in text)
