"""What a parser is given and what it gives back: files, a configuration, and the lines that it could not take over."""

from __future__ import annotations

from collections.abc import Mapping

from msgspec import Struct

from bascule.model.values import IfName, Mac
from bascule.persist.config import NetworkConfig

Files = Mapping[str, str]  # a path without leading slash ("etc/sysconfig/network-scripts/ifcfg-br3") and its text
Hardware = Mapping[IfName, Mac | None]  # the NICs that are known to be there, with their MACs


class Left(Struct, frozen=True, order=True):
    """Something in a file that could not be taken over; ``line`` counts from 1, 0 stands for the whole file."""

    file: str
    line: int
    text: str
    why: str

    def __str__(self) -> str:
        place = f"{self.file}:{self.line}" if self.line else self.file
        return f"{place}: {self.text}: {self.why}" if self.text else f"{place}: {self.why}"


class Parsed(Struct, frozen=True, kw_only=True):
    """What the files say, and what of them could not be taken over."""

    config: NetworkConfig
    left: tuple[Left, ...] = ()


class Leftovers:
    """Collects what a parser could not take."""

    __slots__ = ("found",)

    def __init__(self) -> None:
        self.found: list[Left] = []

    def add(self, file: str, line: int, text: str, why: str) -> None:
        """One line of a file, shortened if it is huge."""
        text = text.strip()
        shown = text if len(text) <= 100 else text[:97] + "..."
        self.found.append(Left(file, line, printable(shown), why))

    def done(self) -> tuple[Left, ...]:
        """All of them in the order of files and lines, each once."""
        return tuple(sorted(set(self.found)))


def printable(text: str) -> str:
    """Control characters as escapes, so that a binary file cannot speak to the terminal."""
    return "".join(ch if ch.isprintable() else ch.encode("unicode_escape").decode() for ch in text)
