"""What is wrong, for people: each problem with its place and a hint; of many alike in a file some, and a number."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence

from bascule.cli.show.folding import MOST_PIECES, natural, ranges
from bascule.cli.show.output_style import output_style
from bascule.errors import Problem

MOST_ALIKE = 5  # as many are shown one by one; of more the first
SHOWN = 2
_VARYING = re.compile(r"'([^']*)'|(?<!\S)[^\s,;]*\d[^\s,;]*")  # a quoted name, or a word with a digit


def show_problems(problems: Iterable[Problem]) -> str:
    """The problems in their order; with -v all of them, however many are alike."""
    return "\n\n".join(_parts(list(problems)))


def _parts(problems: Sequence[Problem]) -> Iterator[str]:
    alike: dict[tuple[str, str], list[Problem]] = {}
    for problem in problems:
        alike.setdefault(_kind(problem), []).append(problem)
    seen: dict[tuple[str, str], int] = {}
    for problem in problems:
        kind = _kind(problem)
        seen[kind] = number = seen.get(kind, 0) + 1
        some = alike[kind]
        one_line = len({each.place for each in some}) == 1  # where mending it does for all
        shown = 1 if one_line else SHOWN
        if (
            output_style().verbose
            or problem.place is None
            or len(some) <= (SHOWN if one_line else MOST_ALIKE)
            or number <= shown
        ):
            yield str(problem)
        elif number == shown + 1:
            yield _more(some[shown:])


def _kind(problem: Problem) -> tuple[str, str]:
    return problem.code, _VARYING.sub("…", problem.message)


def _more(rest: Sequence[Problem]) -> str:
    lines = sorted({problem.place.line for problem in rest if problem.place is not None})
    where = f", in lines {lines[0]} to {lines[-1]}" if len(lines) > 1 else ""
    names = _names(rest)
    about = f": {ranges(names, most=MOST_PIECES)}" if names else ""
    return f"and {len(rest)} more like this{where}{about}; -v shows each"


def _names(some: Sequence[Problem]) -> list[str]:
    """The names by which they differ; where several places of the message do, those that tell most of them apart."""
    found = ([word[1] for word in _VARYING.finditer(problem.message)] for problem in some)
    told_apart = max(({name for name in names if name} for names in zip(*found, strict=True)), key=len, default=set())
    return sorted(told_apart, key=natural) if len(told_apart) > 1 else []
