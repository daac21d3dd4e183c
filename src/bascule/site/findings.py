"""Problems on their way to the user: collected, placed, never thrown one by one."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Protocol

from msgspec import Struct, field

from bascule.errors import Place, Problem, SiteFault
from bascule.model.values import listed

Path = tuple[str | int, ...]  # the way from the top of the file to a value: ("guests", "guest_01", "nics", 0, "mac")

COMPARED = 50  # names
SHOWN = 60  # characters of a wrong value that a message repeats


def shown(text: object) -> str:
    """A value as it stands in a message: in quotes, printable, and not longer than a line."""
    plain = "".join(c if c.isprintable() else f"\\u{ord(c):04x}" for c in str(text))
    return f"'{plain}'" if len(plain) <= SHOWN else f"'{plain[: SHOWN - 1]}…'"


def nearest(name: str, known: Iterable[str]) -> str | None:
    """The known name that was probably meant; what differs in capitals, separators or zeros alone counts as nearest."""
    names = list(known)
    same = {_flat(each): each for each in names}.get(_flat(name))
    if same is not None:
        return same
    near = [each for each in names if abs(len(each) - len(name)) <= 4]
    if len(near) > COMPARED:  # difflib is slow, and in a large file a wrong name may stand a thousand times
        begin, end = name[:3], name[-3:]
        near = [each for each in near if each.startswith(begin) or each.endswith(end)][:COMPARED]
    from difflib import get_close_matches  # a file without mistakes does not need it

    return next(iter(get_close_matches(name, near, n=1, cutoff=0.6)), None)


def _flat(name: str) -> str:
    """A name as one may remember it: ``guest_1`` of ``Guest-01``."""
    return re.sub("0+(?=[0-9])", "", name.lower().replace("-", "_"))


def suggest(name: str, known: Iterable[str], *, kind: str) -> str:
    """What to do about an unknown name: the nearest one, or all that there are."""
    names = list(known)
    close = nearest(name, names)
    if close is not None and (_flat(close) == _flat(name) or not _one_of_many(name, close, names)):
        return f"did you mean '{close}'?"
    if not names:
        return f"the file declares no {kind} here"
    return f"known: {listed(names, 12)}"


def _one_of_many(name: str, close: str, names: Iterable[str]) -> bool:
    """Whether only numbers tell the near name from others: eth7 is as near to eth5 as to eth4, no guess is good."""
    shape = _shape(name)
    return _shape(close) == shape and any(_shape(each) == shape for each in names if each != close)


def _shape(name: str) -> str:
    """A name with its numbers taken out."""
    return re.sub(r"[0-9]+", "#", name)


class Mark(Protocol):
    """Where something begins; both count from 0."""

    line: int
    column: int


class Findings(Struct):
    """All problems of one file, and where everything in it stands."""

    file: str
    values: dict[Path, Mark] = field(default_factory=dict)
    keys: dict[Path, Mark] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)
    broken: set[Path] = field(default_factory=set)
    containers: set[Path] = field(default_factory=set)  # paths of mappings and lists
    spoiled: set[Place] = field(default_factory=set)  # values whose text is wrong already: nothing more is said of them

    def place(self, path: Path, *, key: bool = False) -> Place:
        """Where a value (or its key) stands; for what is not in the file, where its nearest parent stands."""
        if key and path in self.keys:
            return self.at_mark(self.keys[path])
        while path and path not in self.values:
            path = path[:-1]
        mark = self.values.get(path)
        return Place(self.file, 1, 1) if mark is None else self.at_mark(mark)

    def at_mark(self, mark: Mark) -> Place:
        """The parser's mark as people count."""
        return Place(self.file, mark.line + 1, mark.column + 1)

    def item(self, path: Path) -> Place:
        """Where something is shown as a second place: an entry at its name, a value where it stands."""
        return self.place(path, key=path in self.containers)

    def add(
        self,
        code: str,
        message: str,
        path: Path,
        *,
        hint: str | None = None,
        key: bool = False,
        also: Iterable[tuple[str, Path]] = (),
    ) -> None:
        """Note a problem with the value at a path, and with further ones."""
        place = self.place(path, key=key)
        if place not in self.spoiled:
            self.at(code, message, place, hint, tuple((label, self.item(other)) for label, other in also))

    def at(
        self,
        code: str,
        message: str,
        place: Place,
        hint: str | None = None,
        also: tuple[tuple[str, Place], ...] = (),
    ) -> None:
        """Note a problem at a place."""
        self.problems.append(Problem(code=code, message=message, place=place, hint=hint, also=also))

    def is_broken(self, path: Path) -> bool:
        """Whether the item was left out because its own shape is wrong, which was said already."""
        return any(path[:length] in self.broken for length in range(1, len(path) + 1))

    def raise_all(self) -> None:
        """Raise SiteFault with every problem in the order of the file, if there is one."""
        if self.problems:
            unique = sorted(dict.fromkeys(self.problems), key=lambda p: (p.place or Place("", 0, 0), p.code, p.message))
            raise SiteFault(*_once(unique))


def _once(problems: Iterable[Problem]) -> Iterable[Problem]:
    """One wrong name is one problem, at its first place, with the others where it stands."""
    kept: dict[object, Problem] = {}
    for problem in problems:
        wrong_name = problem.code in {"UNKNOWN-NAME", "NAME"} and problem.place is not None
        key = (problem.message, problem.hint) if wrong_name else problem
        first = kept.get(key)
        if first is not None and problem.place is not None:
            problem = first._replace(also=(*first.also, ("as well", problem.place)))  # noqa: PLW2901
        kept[key] = problem
    return kept.values()
