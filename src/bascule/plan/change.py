"""A plan and its changes, as data: the same list is printed, rehearsed, applied and undone."""

from __future__ import annotations

import re
import shlex
from collections.abc import Container, Iterable
from enum import IntEnum
from typing import Literal

from msgspec import Struct
from msgspec.structs import replace

from bascule.plan.file_change import FILES, FileChange


class Risk(IntEnum):
    """What a change may cost, from harmless to dangerous."""

    ADDITION = 0  # something new that nothing depends on yet
    CHANGES = 1  # a MAC, an MTU, an address or a route that others may rely on
    DETACHES = 2  # a port leaves its bridge, or a link goes away
    MANAGEMENT = 3  # the path on which the administrator stands

    @property
    def words(self) -> str:
        """The class as it is printed."""
        return {
            Risk.ADDITION: "addition",
            Risk.CHANGES: "changes MAC, MTU, address or route",
            Risk.DETACHES: "detaches ports",
            Risk.MANAGEMENT: "management path",
        }[self]


class Command(Struct, frozen=True):
    """One call of a tool: the words behind its name, and what it reads from its standard input.

    The words of ``sysctl`` are a key and its value, those of ``sysfs`` a path below /sys and what is written to it.
    ``patience_s`` is how long it waits at most for somebody else to do what was said. ``by_hand`` is a line that does
    the same where the words are longer than a program takes.
    """

    tool: str
    words: tuple[str, ...]
    stdin: str = ""
    patience_s: float = 0.0
    by_hand: str = ""

    def __str__(self) -> str:
        """A line that an administrator can paste."""
        if self.by_hand:
            return self.by_hand
        if self.tool == "sysctl":
            key, value = self.words
            return f"sysctl -q -w {shlex.quote(f'{key}={value}')}"
        if self.tool == "sysfs":
            path, value = self.words
            return " ".join(("echo", *([shlex.quote(value)] if value else []), ">", shlex.quote(f"/sys/{path}")))
        line = f"{self.tool} {' '.join(self.words) if are_plain(self.words) else shlex.join(self.words)}"
        return f"{line} <<'.'\n{self.stdin.rstrip(chr(10))}\n." if self.stdin else line


_PLAIN = re.compile(r"[A-Za-z0-9_.:/@%+,=-]+")
_PLAIN_LINE = re.compile(rf"{_PLAIN.pattern}(?: {_PLAIN.pattern})*")


def are_plain(words: tuple[str, ...]) -> bool:
    """Whether words need no quotes, for no reader; asked of a whole line at once, for there are thousands."""
    line = " ".join(words)
    return line.count(" ") == len(words) - 1 and _PLAIN_LINE.fullmatch(line) is not None


About = Literal[
    "existence", "up", "mac", "mtu", "options", "master", "port", "vlans", "addresses", "addrgenmode", "mark",
    "altnames", "arp", "multicast", "group", "routes", "rules", "neighbours", "parameter", "ruleset", "guest",
    "network", "server", "wake-on-lan",
]  # fmt: skip


class Change(Struct, frozen=True, kw_only=True):
    """One thing that will be different, why, and what it means for whom.

    ``subject`` is the link (or route, sysctl, table), ``action`` what happens to it, ``about`` which of its properties
    that is, ``reason`` the declaration behind it, ``guests`` the guests whose frames go through it; ``cuts`` those of
    them that run and lose frames for about ``outage_s`` seconds, or, with ``for_good``, until somebody plugs them in
    again. ``stage`` is the phase of the plan in which it is made.
    """

    subject: str
    action: str
    reason: str
    about: About = "existence"
    risk: Risk = Risk.ADDITION
    guests: tuple[str, ...] = ()
    cuts: tuple[str, ...] = ()
    outage_s: float = 0.0
    for_good: bool = False
    stage: int = 0
    commands: tuple[Command, ...] = ()


NoteKind = Literal["foreign", "waiting", "unsupported", "warning", "along", "extra"]


class Note(Struct, frozen=True, kw_only=True):
    """Something that the plan does not change but the reader should know: foreign, waiting, not yet possible."""

    kind: NoteKind
    subject: str
    text: str
    guest: str = ""  # whose tap it is, of one that waits


class Plan(Struct, frozen=True, kw_only=True):
    """The changes in the order in which they are made, and the files that keep them over a restart.

    ``own_line`` says what changes about the host's own addresses, routes and the links under them, ``refused`` why an
    apply would refuse to write the files as they should be.
    """

    changes: tuple[Change, ...] = ()
    notes: tuple[Note, ...] = ()
    files: tuple[FileChange, ...] = ()
    own_line: tuple[str, ...] = ()
    refused: tuple[str, ...] = ()

    @property
    def beside_changes(self) -> tuple[tuple[str, str], ...]:
        """What else is not as the site file says: what is there and not in it, and files, each with what it is about.

        Together with the changes these are all differences between the host and the site file.
        """
        extra = ((note.subject, note.text) for note in self.notes if note.kind == "extra")
        files = ((file.path, file.words) for file in self.files if file.differs)
        return (*extra, *files, *((FILES, words) for words in self.refused))

    @property
    def commands(self) -> tuple[Command, ...]:
        """All commands, in order."""
        return tuple(command for change in self.changes for command in change.commands)

    @property
    def patience_s(self) -> float:
        """How long its commands wait for others at most, all together."""
        return sum(command.patience_s for command in self.commands)

    @property
    def risk(self) -> Risk:
        """The worst class among the changes."""
        return max((change.risk for change in self.changes), default=Risk.ADDITION)

    @property
    def crossing(self) -> tuple[Change, ...]:
        """The changes on the path of the administrator's own line."""
        return tuple(change for change in self.changes if change.risk is Risk.MANAGEMENT)

    @property
    def must_be_confirmed(self) -> bool:
        """Whether it needs a confirmation: a port is detached, or the host's own connection changes."""
        return self.risk >= Risk.DETACHES or bool(self.own_line)

    @property
    def mind(self) -> tuple[str, ...]:
        """What somebody should know, a line for each."""
        return tuple(f"{note.subject}: {note.text}" for note in self.notes if note.kind in {"warning", "extra"})

    def with_notes(self, notes: Iterable[Note]) -> Plan:
        """The same with further notes."""
        return replace(self, notes=(*self.notes, *notes))

    def before(self, stage: int) -> Plan:
        """The changes of the phases before one."""
        return Plan(changes=tuple(change for change in self.changes if change.stage < stage))

    def since(self, stage: int) -> Plan:
        """The changes of a phase and those behind it."""
        return Plan(changes=tuple(change for change in self.changes if change.stage >= stage))

    def only(self, subjects: Container[str]) -> Plan:
        """The changes of some subjects."""
        return Plan(changes=tuple(change for change in self.changes if change.subject in subjects))

    def __bool__(self) -> bool:
        return bool(self.changes)
