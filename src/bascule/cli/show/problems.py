"""What is wrong, for people: each problem with its place and a hint; of many alike in a file some, and a number."""

from __future__ import annotations

import re
from collections.abc import Hashable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, NamedTuple

from bascule.cli.show.folding import MOST_PIECES, NamesIn, ranges, shorter_lists
from bascule.cli.show.output_style import output_style
from bascule.model.values import grouped, natural

if TYPE_CHECKING:
    from bascule.errors import Place, Problem
    from bascule.site.remarks import SiteRemark

MOST_ALIKE = 5  # as many are shown one by one; of more the first
SHOWN = 2
LONG = 300  # characters of a message whose lists of names become ranges; -v keeps them
_MARKED = re.compile(r"…(?:, …)*")  # a list of names, each of which is a mark
_VARYING = re.compile(r"'([^']*)'|(?<!\S)[^\s,;]*\d[^\s,;]*")  # a quoted name, or a word with a digit


class _Entry(NamedTuple):
    """What is printed of one; those of one kind are alike."""

    kind: Hashable
    text: str
    names: tuple[str, ...]  # what differs from one to the next
    place: Place | None


def show_problems(problems: Iterable[Problem]) -> str:
    """The problems in their order; with -v all of them, however many are alike."""
    return _shown([_of_problem(problem) for problem in problems])


def show_remarks(remarks: Iterable[SiteRemark], guests: Iterable[str]) -> str:
    """What ``check`` says of a valid file, whose guests have these names; as ``show_problems``."""
    known = NamesIn(guests)
    return _shown([_of_remark(remark, known) for remark in remarks])


def _of_problem(problem: Problem) -> _Entry:
    kind, names = _VARYING.sub("…", problem.message), tuple(word[1] for word in _VARYING.finditer(problem.message))
    if len(problem.message) > LONG and not output_style().verbose:
        problem = problem._replace(message=shorter_lists(problem.message))
    return _Entry((problem.code, kind), str(problem), names, problem.place)


def _of_remark(remark: SiteRemark, known: NamesIn) -> _Entry:
    text = remark.text if output_style().verbose else shorter_lists(remark.text, most=MOST_PIECES)
    kind = _MARKED.sub("…", known.marked(remark.text, "…"))
    words = f"warning: {remark.subject} {text}\n --> {remark.place}"
    return _Entry(kind, words, (remark.subject,), remark.place)


def _shown(entries: Sequence[_Entry]) -> str:
    return "\n\n".join(_parts(entries))


def _parts(entries: Sequence[_Entry]) -> Iterator[str]:
    alike = grouped((entry.kind, entry) for entry in entries)
    seen: dict[Hashable, int] = {}
    for entry in entries:
        seen[entry.kind] = number = seen.get(entry.kind, 0) + 1
        some = alike[entry.kind]
        # mended once it is mended for all; the places of a site are equal to each other, their words are not
        one_place = entry.place is not None and len({str(each.place) for each in some}) == 1
        shown = 1 if one_place else SHOWN
        if output_style().verbose or len(some) <= (SHOWN if one_place else MOST_ALIKE) or number <= shown:
            yield entry.text
        elif number == shown + 1:
            yield _more(some[shown:])


def _more(rest: Sequence[_Entry]) -> str:
    lines = sorted({entry.place.line for entry in rest if entry.place is not None})
    where = f", in lines {lines[0]} to {lines[-1]}" if len(lines) > 1 else ""
    names = _names(rest)
    about = f": {ranges(names, most=MOST_PIECES)}" if names else ""
    return f"and {len(rest)} more like this{where}{about}; -v shows each"


def _names(some: Sequence[_Entry]) -> list[str]:
    """The names by which they differ; where several places of the message do, those that tell most of them apart."""
    found = (entry.names for entry in some)
    told_apart = max(({name for name in names if name} for names in zip(*found, strict=True)), key=len, default=set())
    return sorted(told_apart, key=natural) if len(told_apart) > 1 else []
