"""The matrix of ``bascule reach``: what differs from the expectations first, then class by class."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from bascule.cli.common import wrapped
from bascule.cli.show.folding import ranges
from bascule.cli.show.output_style import output_style
from bascule.model.values import count

if TYPE_CHECKING:
    from bascule.topology.trace.answer import Blocker
    from bascule.verify.reachability.matrix import Cell, Matrix, Violation

NAMED = 24  # characters of the names of a class
SIGNS = {"yes": "yes", "no": "-", "perhaps": "perhaps", "unknown": "?"}


def show_reach(found: Matrix, *, columns: int) -> str:
    """Violations (with -q they alone), one row for each class and target, and what could not be told."""
    lines = [line for one in found.violations for line in _violation(one, columns)]
    if output_style().quiet:
        return "\n".join(lines)
    if lines:
        lines.append("")
    names = {group[0]: _named(group) for group in found.classes}
    rows = [("from", "to", *map(str, found.services)), *_rows(found, names)]
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
    kinds = [f"{number} {kind.value}" for kind, number in tally.items()]
    asked = f"{count(sum(tally.values()), 'question')}: {', '.join(kinds)}"
    lines.append("\nresult   " + wrapped(f"{asked}; by the model of {found.where}", indent=9, columns=columns))
    return "\n".join(lines)


def _open(found: Matrix, columns: int) -> Iterator[str]:
    """Where to ask for the reason of an answer that the model cannot give, by the first pair of them."""
    cell = next((one for one in found.pairs() if one.result.value == "unknown"), None)
    if cell is not None:
        ask = f"'bascule why {cell.source} {cell.target} {cell.service}' says why, for this pair"
        yield "\n?        " + wrapped(f"unknown; {ask}", indent=9, columns=columns)


def _stacked(rows: list[tuple[str, ...]], columns: int) -> Iterator[str]:
    """Where the table is wider than the terminal: who asks whom, and below it the services by their answer."""
    for source, target, *cells in rows[1:]:
        answers: dict[str, list[str]] = {}
        for service, cell in zip(rows[0][2:], cells, strict=True):
            answers.setdefault({"-": "no", "": "not asked"}.get(cell, cell), []).append(service)
        words = "; ".join(f"{answer}: {', '.join(services)}" for answer, services in answers.items())
        yield wrapped(f"{source} → {target}", indent=2, columns=columns)
        yield "  " + wrapped(words if len(answers) > 1 else f"{next(iter(answers))}, by all", indent=4, columns=columns)


def _named(group: tuple[str, ...]) -> str:
    """``web-01…web-40``, or the first and how many where that is long."""
    text = ranges(group)
    return text if len(text) <= NAMED else f"{group[0]} ×{len(group)}"


def _rows(found: Matrix, names: dict[str, str]) -> Iterator[tuple[str, ...]]:
    for number, one in enumerate(found.classes):
        for place, other in enumerate(found.classes):
            cells = [found.cells.get((number, place, str(service))) for service in found.services]
            if any(cells):
                shown = tuple(SIGNS[cell.result.value] if cell else "" for cell in cells)
                yield (names[one[0]], names[other[0]] if other is not one else "each other", *shown)


def _violation(one: Violation, columns: int) -> Iterator[str]:
    expected, cell = one.expectation, one.cell
    says = {"reach": "reach", "no-reach": "not reach"}[expected.verdict.value]
    head = f"{expected.source} → {expected.target} {expected.service}: {cell.result.value.upper()}, but shall {says}"
    place = f" ({expected.place.file}:{expected.place.line})" if expected.place.line else ""
    yield wrapped(f"differs  {head}{place}", indent=9, columns=columns)
    yield f"         {wrapped(f'packet: {one.packet}', indent=9, columns=columns)}"
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
    }


def _blocker(blocker: Blocker) -> dict[str, Any]:
    return {"code": blocker.code.value, "subject": blocker.subject, "words": blocker.text}
