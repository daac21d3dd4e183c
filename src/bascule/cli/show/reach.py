"""The matrix of ``bascule reach``: what differs from the expectations first, then class by class."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

from bascule.cli.common import wrapped
from bascule.cli.show.folding import alike_ways, folded_by_place, ranges, without_numbers
from bascule.cli.show.output_style import output_style
from bascule.model.values import count, grouped, natural

if TYPE_CHECKING:
    from bascule.topology.trace.answer import Blocker
    from bascule.verify.reachability.matrix import Cell, Matrix, Violation

NAMED = 28  # characters of the names of a class
SCREEN = 24  # rows of the table from which on it says what is most common once, and alike rows in one
ALIKE_FROM = 3  # rows, or differences
_T = TypeVar("_T")
EACH_OTHER = "each other"
Row = tuple[str, ...]  # who asks, whom, and the answer for each service
SIGNS = {"yes": "yes", "no": "-", "perhaps": "perhaps", "unknown": "?"}
SMALL = "small"  # in place of yes, where large packets are lost


def show_reach(found: Matrix, *, columns: int) -> str:
    """Violations (with -q they alone), one row for each class and target, and what could not be told."""
    lines = list(_violations(found.violations, columns))
    if output_style().quiet:
        return "\n".join(lines)
    if lines:
        lines.append("")
    names = {group[0]: _named(group) for group in found.classes}
    members = {names[group[0]]: group for group in found.classes}
    shown = list(_rows(found, names))
    rows = [
        ("from", "to", *map(str, found.services)),
        *(shown if output_style().verbose else short_table(shown, members)),
    ]
    widths = [max(len(row[place]) for row in rows) for place in range(len(rows[0]))]
    if len(rows) == 1:
        pass  # no pair could be asked: there is no table
    elif sum(widths) + 2 * len(widths) - 2 > columns:
        lines += _stacked(rows, columns)
    else:
        lines += ["  ".join(f"{cell:<{wide}}" for cell, wide in zip(row, widths, strict=True)).rstrip() for row in rows]
    for name in found.unasked:
        lines.append(f"unknown  {name}: no address of it is known here")
    lines += [f"note     {wrapped(words, indent=9, columns=columns)}" for words in found.unread]
    lines += _open(found, columns)
    tally = found.tally()
    small = found.number(lambda one: one.loses_large)
    kinds = [f"{number} {kind.value}" for kind, number in tally.items()]
    kinds[0] += f" ({small} for small packets alone)" if small else ""
    asked = f"{count(sum(tally.values()), 'question')}: {', '.join(kinds)}"
    lines.append("\nresult   " + wrapped(f"{asked}; by the model of {found.where}", indent=9, columns=columns))
    return "\n".join(lines)


def _open(found: Matrix, columns: int) -> Iterator[str]:
    """What answers that are not plain mean, and where to ask for the reason of the first of them."""

    def ask(cell: Cell) -> str:
        return f"'bascule why {cell.source} {cell.target} {cell.service}' says"

    explained = []
    if (cell := found.first(lambda one: one.loses_large)) is not None:
        explained.append((SMALL, f"small packets pass and large ones are lost; {ask(cell)} where, for this pair"))
    if (cell := found.first(lambda one: one.result.value == "unknown")) is not None:
        explained.append(("?", f"unknown; {ask(cell)} why, for this pair"))
    if untold := found.number(lambda one: one.result.passes and one.large.value == "unknown"):
        explained.append(("note", f"large packets were not followed for {count(untold, 'further question')}"))
    for number, (sign, words) in enumerate(explained):
        yield f"{'' if number else chr(10)}{sign:<9}" + wrapped(words, indent=9, columns=columns)


def _stacked(rows: list[tuple[str, ...]], columns: int) -> Iterator[str]:
    """Where the table is wider than the terminal: who asks whom, and the services by their answer."""
    yield wrapped(f"services: {', '.join(rows[0][2:])}", indent=2, columns=columns)
    for source, target, *cells in rows[1:]:
        answers = grouped(
            ({"-": "no", "": "not asked"}.get(cell, cell), service)
            for service, cell in zip(rows[0][2:], cells, strict=True)
        )
        words = "; ".join(f"{answer}: {', '.join(services)}" for answer, services in answers.items())
        words = words if len(answers) > 1 else f"{next(iter(answers))}, by every service"
        if len(line := f"{source} → {target}: {words}") <= columns:
            yield line
        else:
            yield wrapped(f"{source} → {target}", indent=2, columns=columns)
            yield "  " + wrapped(words, indent=4, columns=columns)


def _named(group: tuple[str, ...]) -> str:
    """``web-01…web-40``, or the first and how many where that is long."""
    text = ranges(group)
    return text if len(text) <= NAMED else f"{group[0]} ×{len(group)}"


def _rows(found: Matrix, names: dict[str, str]) -> Iterator[tuple[str, ...]]:
    for number, one in enumerate(found.classes):
        for place, other in enumerate(found.classes):
            cells = [found.cells.get((number, place, str(service))) for service in found.services]
            if any(cells):
                shown = tuple(_sign(cell) if cell else "" for cell in cells)
                yield (names[one[0]], names[other[0]] if other is not one else EACH_OTHER, *shown)


def _sign(cell: Cell) -> str:
    return SMALL if cell.loses_large and cell.result.value == "yes" else SIGNS[cell.result.value]


def short_table(rows: Sequence[Row], members: Mapping[str, Sequence[str]]) -> list[Row]:
    """The rows of a large table: alike ones as one, and at the end what each hears from most others.

    ``members`` are those of a class, by what it is called in the table.
    """
    if len(rows) <= SCREEN:
        return list(rows)
    usual = {
        source: Counter(row[2:] for row in some).most_common(1)[0][0] for source, some in _by(rows, lambda row: row[0])
    }
    left = [row for row in rows if row[2:] != usual[row[0]]]
    among = [row for row in left if row[1] == EACH_OTHER]
    joined: list[Row] = []
    left = [row for row in left if row[1] != EACH_OTHER]
    for same in (0, 1):  # one who asks many with the same answers, then many who ask one
        more, left = _joined(left, same, members)
        joined += more
    rest = [
        (_names(sources, members), "all others", *cells) for cells, sources in _by(usual, lambda source: usual[source])
    ]
    groups = [("; ".join(row[0] for row in some), *some[0][1:]) for _, some in _by(among, lambda row: row[2:])]
    return [*joined, *_in_pairs(left), *groups, *rest]


def _joined(rows: Sequence[Row], same: int, members: Mapping[str, Sequence[str]]) -> tuple[list[Row], list[Row]]:
    """Rows that have one end and their answers in common, as one; and the rows that are left."""
    joined: list[Row] = []
    left: list[Row] = []
    for _, some in _by(rows, lambda row: (row[same], *row[2:])):
        if len(some) < ALIKE_FROM:
            left += some
            continue
        ends = list(some[0][:2])
        ends[1 - same] = _names((row[1 - same] for row in some), members)
        joined.append((*ends, *some[0][2:]))
    return joined, left


def _names(ends: Iterable[str], members: Mapping[str, Sequence[str]]) -> str:
    return ranges(sorted((name for end in ends for name in members[end]), key=natural))


def _in_pairs(rows: Sequence[Row]) -> Iterator[Row]:
    """Names that go up together: the first asks the first, the second the second."""
    pairs = [row for row in rows if not any(sign in end for end in row[:2] for sign in "…×,")]
    stems = [(*row, *(re.sub(r"\d+", "", end) for end in row[:2])) for row in pairs]
    for row, places in folded_by_place(stems, most=None):
        yield (row[0], f"{row[1]}, in pairs" if len(places) > 1 else row[1], *row[2:-2])
    yield from (row for row in rows if row not in pairs)


def _by(rows: Iterable[_T], key: Callable[[_T], object]) -> Iterable[tuple[Any, list[_T]]]:
    """What has the same key, in the order of the first of each."""
    groups = grouped((key(row), row) for row in rows)
    return groups.items()


def _violations(found: Iterable[Violation], columns: int) -> Iterator[str]:
    """What differs; the same of one who asks many, or of many who ask one, for the same reasons once."""

    def ends(one: Violation) -> tuple[str, str]:
        return one.expectation.source, one.expectation.target

    for some in alike_ways(found, ends=ends, kind=_how_it_differs):
        yield from _violation(some, columns)


def _how_it_differs(one: Violation) -> tuple[object, ...]:
    expected = one.expectation
    why = tuple((blocker.code, without_numbers(f"{blocker.subject} {blocker.text}")) for blocker in one.blockers)
    return expected.place.line, str(expected.service), expected.verdict, one.cell.result, why


def _violation(some: Sequence[Violation], columns: int) -> Iterator[str]:
    """One, or some that differ in one end alone, with the packet of the first."""
    one = some[0]
    expected, cell = one.expectation, one.cell
    says = {"reach": "reach", "no-reach": "not reach"}[expected.verdict.value]
    source, target = ranges(each.expectation.source for each in some), ranges(each.expectation.target for each in some)
    head = f"{source} → {target} {expected.service}: {cell.result.value.upper()}, but shall {says}"
    place = f" ({expected.place.file}:{expected.place.line})" if expected.place.line else ""
    yield wrapped(f"differs  {head}{place}", indent=9, columns=columns)
    first = f" (the first of {len(some)})" if len(some) > 1 else ""
    yield f"         {wrapped(f'packet: {one.packet}{first}', indent=9, columns=columns)}"
    for blocker in one.blockers:
        words = f"{blocker.code.value}: {blocker.subject}: {blocker.text}"
        yield f"         {wrapped(words, indent=9, columns=columns)}"
    yield f"         why: bascule why {expected.source} {expected.target} {expected.service}"


def reach_as_json(found: Matrix) -> dict[str, Any]:
    """DESIGN.md, section 6."""
    return {
        "endpoints": list(found.endpoints),
        "services": [str(one) for one in found.services],
        "classes": [list(group) for group in found.classes],
        "pairs": [_cell(cell) for cell in found.pairs()],
        "violations": [
            {
                **_cell(one.cell),
                "expected": one.expectation.verdict.value,
                "file": one.expectation.place.file,
                "line": one.expectation.place.line,
                "packet": one.packet,
                "blockers": [_blocker(blocker) for blocker in one.blockers],
            }
            for one in found.violations
        ],
        "unknown": list(found.unasked),
        "unread": list(found.unread),
    }


def _cell(cell: Cell) -> dict[str, Any]:
    return {
        "from": cell.source,
        "to": cell.target,
        "service": str(cell.service),
        "result": cell.result.value,
        "request": cell.request.value,
        "reply": cell.reply.value,
        "large": cell.large.value if cell.result.passes else cell.result.value,
    }


def _blocker(blocker: Blocker) -> dict[str, Any]:
    return {"code": blocker.code.value, "subject": blocker.subject, "words": blocker.text}
