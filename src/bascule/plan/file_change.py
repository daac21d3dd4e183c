"""The configuration files that a change writes, moves aside or removes, with what they say before and after."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Literal

from msgspec import Struct

Action = Literal["write", "move", "restore", "remove"]
FILES = "files"  # the subject of what a plan says about all of them
_SECRET = re.compile(r"(?im)^([ \t+-]*[\w.-]*(?:password|psk|secret|private-key|wep-key\d?)\"?[ \t]*[:=][ \t]*)\S.*$")


class FileChange(Struct, frozen=True, kw_only=True):
    """One file: ``old`` is what it says now, ``new`` what it will say; None stands for no file.

    ``write`` makes or changes a file of ours, ``remove`` takes one away; ``move`` puts a foreign one aside, whole,
    where ``place`` says, and leaves ``new`` in its place; ``restore`` brings one back that an earlier change moved,
    from where it is ``kept``, as much of ``kept_text`` as ``new`` says, and ``gives`` these addresses to its links once
    something reads it. ``reason`` says why, ``lost`` what nobody takes over of it.
    ``raw`` is what stands in a file of which a part stays, where that is not what its text would be written as.
    ``differs`` is False where nothing is known to be different but the first line, by which a file of ours names the
    version of the site file, and where what stands there could not be read.
    """

    path: str
    action: Action
    root: str = "/"  # the folder that the path begins with, where a host's files lie below another one
    old: str | None = None
    new: str | None = None
    place: str = ""  # where it is kept: a foreign file that moves, or what others made of one meanwhile
    kept: str = ""
    kept_text: str | None = None
    gives: Mapping[str, tuple[str, ...]] = {}
    reason: str = ""
    lost: tuple[str, ...] = ()
    raw: bytes | None = None
    differs: bool = True

    @property
    def words(self) -> str:
        """What happens to it, for people."""
        if self.action == "move":
            return f"move it aside, to {self.place}: {self.reason}"
        return f"{self.action} it" + (f": {self.reason}" if self.reason else "")

    @property
    def content(self) -> bytes | None:
        """What the file will hold: each line that stays has the bytes that it had (another encoding, CR LF)."""
        source = self.old if self.kept_text is None else self.kept_text  # of which the bytes are
        if self.new is None or source is None or self.raw is None:
            return None if self.new is None else self.new.encode()
        before, after, bytes_of = source.split("\n"), self.new.split("\n"), self.raw.split(b"\n")
        head = _alike(before, after)  # a long file changes in one place as a rule, and to match all of it takes long
        tail = _alike(before[head:][::-1], after[head:][::-1])
        old, new = before[head : len(before) - tail], after[head : len(after) - tail]
        found = bytes_of[:head]
        import difflib  # what has no such file needs none of it

        for what, first, last, start, end in difflib.SequenceMatcher(None, old, new, autojunk=False).get_opcodes():
            found += bytes_of[head + first : head + last] if what == "equal" else map(str.encode, new[start:end])
        return b"\n".join(found + bytes_of[len(before) - tail :])

    @property
    def diff(self) -> str:
        """The change as a unified diff; what a key keeps secret is not shown."""
        old, new = (_shown(text).splitlines(keepends=True) for text in (self.old, self.new))
        before = "/dev/null" if self.old is None else f"a{self.path}"
        after = "/dev/null" if self.new is None else f"b{self.path}"
        import difflib

        lines = difflib.unified_diff(old, new, before, after)
        return "".join(line if line.endswith("\n") else f"{line}\n\\ No newline at end of file\n" for line in lines)


def _shown(text: str | None) -> str:
    return _SECRET.sub(r"\1(not shown)", text or "")


def _alike(one: Sequence[str], other: Sequence[str]) -> int:
    """How many lines both begin with."""
    pairs = enumerate(zip(one, other, strict=False))
    return next((number for number, (a, b) in pairs if a != b), min(len(one), len(other)))
