"""Many lines that say the same of several things become one line; names that follow each other become a range."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Collection, Hashable, Iterable, Iterator, Sequence
from functools import lru_cache
from itertools import chain
from typing import TypeVar

from bascule.cli.show.output_style import output_style
from bascule.model.values import grouped, natural

_Way = TypeVar("_Way")
RANGE_FROM = 3  # names that follow each other, and
STEPS_FROM = 4  # those between which others are left out
FOLD_FROM = 3  # lines that say the same of things that make a range, or
FOLD_ANY_FROM = 6  # of any
FEW = 8  # rows
LONG_NAME = 20  # characters
MOST_PIECES = 5  # names and ranges, where only the kind of thing matters
_NUMBERED = tuple(map(re.compile, (r"^(.*?)(\d+)(\D*(?:\.\d+)?)$", r"^(.*\D)(\d+)()$")))  # web-01.0, eth0.101
_LIST = re.compile(r"[\w.~-]+(?:, (?!and )[\w.~-]+){2,}")
_LINE_OF_FILE = re.compile(r"(?<=:)\d+(?=\)|:\d+\)|$)")
_MAC = re.compile(r"[0-9a-f]{2}(?::[0-9a-f]{2}){5}")
_LINK_LOCAL = re.compile(r"fe80::[0-9a-f:]+")
_VLAN = r"(?<=VLAN )\d+"
_NAME_WITH_NUMBER = re.compile(r"[A-Za-z][\w-]*\d+(?:\.\d+)*")
_NUMBERS = re.compile(r"[\d.]+")
_WORD = re.compile(r"[\w-]+")
# a name is no part of another address: fd01::1
_VARYING = re.compile(
    rf"{_MAC.pattern}|{_LINK_LOCAL.pattern}|{_VLAN}|(?<![\w:]){_NAME_WITH_NUMBER.pattern}\b(?!:[\w:])"
)
_PIECES = re.compile(f"({_VARYING.pattern})")  # splits a text into what is the same and what varies, in turn
_THING, _NAME, _LINE = "\ue000", "\ue001", "\ue002"  # stand for what differs from line to line


def ranges(names: Iterable[str], *, most: int | None = None) -> str:
    """``web-01…web-40, db``: names in their order, those that are numbered at equal distances as a range.

    Of more than ``most`` names and ranges the last are a number, which -v unfolds.
    """
    listed = list(dict.fromkeys(names))
    pieces: list[str] = []
    start = 0
    while start < len(listed):
        if len(pieces) == most:
            return f"{', '.join(pieces)} and {len(listed) - start} more"
        step, length = _run(listed, start)
        every = f" (every {_ordinal(step)})" if step > 1 else ""
        first, last = listed[start], listed[start + length - 1]
        pieces.append(f"{first}…{_end(last)}{every}" if length > 1 else first)
        start += length
    return ", ".join(pieces)


def shorter_lists(text: str, *, most: int | None = None) -> str:
    """A sentence with ranges in place of long lists of names, of which ``most`` are named as in ``ranges``."""
    return _LIST.sub(lambda found: ranges(found[0].split(", "), most=most), text)


def _end(name: str) -> str:
    """Of a long name its number is enough where a range ends, which begins with the whole name."""
    found = _NUMBERED[0].match(name)
    return f"{found[2]}{found[3]}" if found and len(name) > LONG_NAME else name


def _run(names: Sequence[str], start: int) -> tuple[int, int]:
    """How far apart names are numbered from ``start`` on, and how many of them make a range: 1 where they make none."""
    return max((_run_of(names, start, pattern) for pattern in _NUMBERED), key=lambda run: run[1])


def _run_of(names: Sequence[str], start: int, pattern: re.Pattern[str]) -> tuple[int, int]:
    step, length, before = 0, 1, _numbered(names[start], pattern)
    for place in range(start + 1, len(names)):
        one = _numbered(names[place], pattern)
        if not before or not one or not _same(before, one):
            break
        apart = one[1] - before[1]
        if apart < 1 or (step and apart != step):
            break
        step, length, before = apart, length + 1, one
    return (step, length) if length >= (RANGE_FROM if step == 1 else STEPS_FROM) else (1, 1)


def _numbered(name: str, pattern: re.Pattern[str]) -> tuple[tuple[str, int, str], int] | None:
    """What stands before the number, the digits that it is filled up to and what is behind it; the number."""
    found = pattern.match(name)
    return ((found[1], len(found[2]) if found[2].startswith("0") else 0, found[3]), int(found[2])) if found else None


def _same(one: tuple[tuple[str, int, str], int], other: tuple[tuple[str, int, str], int]) -> bool:
    """``09`` goes before ``10``, as ``9`` does."""
    return one[0][::2] == other[0][::2]


def _ordinal(number: int) -> str:
    last = "th" if number % 100 in {11, 12, 13} else {1: "st", 2: "nd", 3: "rd"}.get(number % 10, "th")
    return f"{number}{last}"


def folded(
    rows: Iterable[Sequence[str]], names: Collection[str] = (), *, most: int | None = None, into: float = math.inf
) -> list[tuple[str, ...]]:
    """Rows of cells of which the first says what each is about; alike ones are one row, as they are with -v.

    Alike but for that first cell, for ``names`` and for lines of files; the row stands in the place of the first.
    ``most`` names and ranges stand in such a row, as in ``ranges``: where each of them matters, all. Where more
    than ``into`` rows would be left there are none.
    """
    if output_style().verbose:
        return [tuple(row) for row in rows]
    listed: list[tuple[str, ...]] = []
    groups: dict[tuple[str, ...], list[int]] = {}
    words = NamesIn(names)
    for place, row in enumerate(map(tuple, rows)):
        listed.append(row)
        one = len({name for cell in row for name in words.of(cell)}) == 1
        groups.setdefault(tuple(_shape(cell, row[0], words if one else None) for cell in row), []).append(place)
        if len(groups) > into:
            return []
    if len(listed) < FOLD_FROM:
        return listed
    made: list[tuple[int, tuple[str, ...]]] = []
    for shape, places in groups.items():
        some = sorted((listed[place] for place in places), key=lambda row: natural(row[0]))
        things = ranges((row[0] for row in some), most=most)
        if len(places) < (FOLD_FROM if "…" in things else FOLD_ANY_FROM):
            made += [(place, listed[place]) for place in places]
            continue
        called = sorted((name for row in some for cell in row for name in words.of(cell)), key=natural)
        named = ranges(called, most=most)
        put = {ord(_THING): things, ord(_NAME): named, ord(_LINE): _lines(some)}
        made.append((places[0], tuple(cell.translate(put) for cell in shape)))
    return [row for _, row in sorted(made, key=lambda one: one[0])]


def shortest(rows: Sequence[tuple[str, ...]], names: Collection[str] = ()) -> list[tuple[str, ...]]:
    """Rows as in ``folded``; where many are left, those that differ in names of the same places are one as well."""
    short = folded(rows, names, most=MOST_PIECES)
    if len(short) <= FEW or output_style().verbose:
        return short
    return min(short, [row for row, _ in folded_by_place(rows, most=MOST_PIECES)], key=len)


def folded_by_place(
    rows: Sequence[tuple[str, ...]], *, most: int | None
) -> list[tuple[tuple[str, ...], tuple[int, ...]]]:
    """Rows of a long list, each with the places of those that it stands for.

    Those are one that say the same of different things: alike but for numbered names, MACs, link-local addresses and
    lines of files. Names are ranges in their natural order; MACs, which are many, are dots.
    """
    groups = grouped((tuple(_parted(cell)[0] for cell in row), place) for place, row in enumerate(rows))
    found: list[tuple[tuple[str, ...], tuple[int, ...]]] = []
    for places in groups.values():
        some = sorted((rows[place] for place in places), key=lambda row: natural(row[0]))
        varying = [list(zip(*(_parted(cell)[1] for cell in cells), strict=True)) for cells in zip(*some, strict=True)]
        if len(places) >= FOLD_FROM and all(map(_are_in_order, chain.from_iterable(varying))):
            cells = zip(zip(*some, strict=True), varying, strict=True)
            found.append((tuple(_in_one(each, those, most) for each, those in cells), tuple(places)))
        else:
            found += [(rows[place], (place,)) for place in places]
    return sorted(found, key=lambda one: one[1][0])


@lru_cache(maxsize=1 << 16)  # what is said of a link is said in each stage of a plan
def _parted(cell: str) -> tuple[str, tuple[str, ...]]:
    """What a cell says of whatever thing, and what varies in it."""
    pieces = _PIECES.split(cell)
    return _LINE_OF_FILE.sub(_LINE, _THING.join(pieces[::2])), tuple(pieces[1::2])


def _are_in_order(values: Sequence[str]) -> bool:
    """Whether names that pair off go up: "eth0, eth1 … of br0, br1" must not hide that eth0 is in br1."""
    pairs_off = len(set(values)) == len(values) and not _MAC.fullmatch(values[0])
    return not pairs_off or bool(_LINK_LOCAL.fullmatch(values[0])) or list(values) == sorted(values, key=natural)


def _in_one(cells: Sequence[str], varying: Sequence[Sequence[str]], most: int | None) -> str:
    """Cells of one column as one, with all values in each place where they differ."""
    words = iter([_told(values, most) for values in varying])
    return _LINE_OF_FILE.sub(_lines([cells]), _VARYING.sub(lambda _: next(words), cells[0]))


def _told(values: Sequence[str], most: int | None) -> str:
    several = set(values)
    if len(several) == 1:
        return values[0]
    if _LINK_LOCAL.fullmatch(values[0]):
        return "fe80::…"
    return "…" if _MAC.fullmatch(values[0]) else ranges(sorted(several, key=natural), most=most)


def alike_ways(
    ways: Iterable[_Way], *, ends: Callable[[_Way], tuple[str, str]], kind: Callable[[_Way], Hashable]
) -> Iterator[list[_Way]]:
    """Ways of one kind from one to many together, then those from many to one; all others by themselves.

    With -v all are by themselves.
    """
    left = list(ways)
    for end in () if output_style().verbose else (0, 1):
        groups = grouped(((ends(way)[end], kind(way)), way) for way in left)
        left = []
        for some in groups.values():
            if len(some) >= FOLD_FROM:
                yield some
            else:
                left += some
    yield from ([way] for way in left)


def without_numbers(text: str) -> str:
    """What is left of a sentence about a numbered thing that the one about the next says as well."""
    return _NUMBERS.sub("", text)


class NamesIn:
    """Names as they stand in a text, as words of their own; where two begin alike it is the longer one.

    What a text costs follows from its length alone, however many names there are.
    """

    def __init__(self, names: Iterable[str]) -> None:
        self._by_word: dict[str, list[str]] = {}
        for name in sorted(filter(None, names), key=len, reverse=True):
            self._by_word.setdefault(_first_word(name), []).append(name)
        self._seen: dict[str, list[tuple[int, str]]] = {}

    def of(self, text: str) -> list[str]:
        """Those that stand in a text, in its order."""
        return [name for _, name in self._found(text)]

    def marked(self, text: str, mark: str) -> str:
        """The text with a mark in the place of each of them."""
        parts, end = [], 0
        for start, name in self._found(text):
            parts += [text[end:start], mark]
            end = start + len(name)
        return "".join((*parts, text[end:]))

    def _found(self, text: str) -> list[tuple[int, str]]:
        """Each name and where it begins; the cells of many rows say the same."""
        if (found := self._seen.get(text)) is None:
            some = not self._by_word.keys().isdisjoint(_WORD.findall(text))
            found = self._seen[text] = list(self._look(text)) if some else []
        return found

    def _look(self, text: str) -> Iterator[tuple[int, str]]:
        end = 0
        for word in _WORD.finditer(text):
            for name in self._by_word.get(word[0], ()):
                start = word.start() - name.index(word[0])
                if start >= end and text.startswith(name, start) and not _WORD.match(text, start + len(name)):
                    yield start, name
                    end = start + len(name)
                    break


def _first_word(name: str) -> str:
    word = _WORD.search(name)
    return word[0] if word else name


def _shape(cell: str, thing: str, names: NamesIn | None) -> str:
    """A cell with marks for what differs; a line that names several stays as it is but for its own thing."""
    if cell == thing:
        return _THING
    shape = _LINE_OF_FILE.sub(_LINE, cell)
    if thing and thing in shape:
        shape = NamesIn((thing,)).marked(shape, _THING)
    return names.marked(shape, _NAME) if names is not None else shape


def _lines(rows: Iterable[Sequence[str]]) -> str:
    numbers = sorted({int(number) for row in rows for cell in row for number in _LINE_OF_FILE.findall(cell)})
    return f"{numbers[0]}-{numbers[-1]}" if len(numbers) > 1 else "".join(map(str, numbers))
