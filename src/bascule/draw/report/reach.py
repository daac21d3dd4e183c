"""Who reaches whom as a table of HTML: a row for each class that asks, a column for each that is asked."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from html import escape
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # this folder and verify do not know each other; it is handed the matrix
    from bascule.verify.reachability.matrix import Matrix

SMALL = "small packets alone"
SIGNS = {"yes": "✓", SMALL: "≤", "no": "✗", "perhaps": "~", "unknown": "?"}
LOOKS = {
    "yes": "reaches",
    SMALL: "reaches-perhaps",
    "no": "reaches-not",
    "perhaps": "reaches-perhaps",
    "unknown": "reaches-unknown",
}
KEY = (
    "✓ reaches, ≤ by small packets alone, ✗ does not, ~ perhaps, ? nobody can tell; "
    "! differs from what the site file expects"
)


def reach_table(found: Matrix) -> str:
    """The matrix; a cell has a sign for each service, so that it can be read without colour."""
    differs = {(one.cell.source, one.cell.target, str(one.cell.service)) for one in found.violations}
    return "\n".join(_lines(found, differs))


def _lines(found: Matrix, differs: set[tuple[str, str, str]]) -> Iterator[str]:
    yield f'<p class="soft-text">By the model of {_e(found.where)}: {_e(KEY)}.</p>'
    if found.violations:
        yield '<ul class="reach-differs">'
        for one in found.violations:
            must = {"reach": "must reach", "no-reach": "must not reach"}[one.expectation.verdict.value]
            says = f"{one.cell.source} {must} {one.cell.target} by {one.cell.service}; the model says"
            yield f'<li><b aria-hidden="true">!</b> {_e(says)} <b>{_e(one.cell.result.value)}</b></li>'
        yield "</ul>"
    yield '<div class="reach-wide" tabindex="0" role="group" aria-label="Who reaches whom; scrolls where it is wide">'
    heads = "".join(f'<th scope="col">{_e(_named(group))}</th>' for group in found.classes)
    yield f'<table class="reach"><thead><tr><td>from ↓ to →</td>{heads}</tr></thead><tbody>'
    for number, group in enumerate(found.classes):
        row = "".join(f"<td>{_cells(found, number, place, differs)}</td>" for place in range(len(found.classes)))
        yield f'<tr><th scope="row">{_e(_named(group))}</th>{row}</tr>'
    yield "</tbody></table></div>"
    if found.unasked:
        yield f'<p class="soft-text">No address is known of {_e(", ".join(found.unasked))}.</p>'


def _cells(found: Matrix, number: int, place: int, differs: set[tuple[str, str, str]]) -> str:
    cells = [cell for one in found.services if (cell := found.cells.get((number, place, str(one)))) is not None]
    if not cells:
        return '<span class="soft-text" aria-label="not asked">·</span>'
    pairs = {(source, target) for source in found.classes[number] for target in found.classes[place]}
    wrong = {service for source, target, service in differs if (source, target) in pairs}
    alike: dict[tuple[str, bool], list[str]] = {}
    for cell in cells:
        service = str(cell.service)
        result = SMALL if cell.loses_large and cell.result.value == "yes" else cell.result.value
        alike.setdefault((result, service in wrong), []).append(service)
    parts = []
    for (result, is_wrong), services in alike.items():
        look = LOOKS[result] + (" reaches-wrong" if is_wrong else "")
        whole = len(services) == len(found.services) > 1 and not is_wrong
        words = "all" if whole else ", ".join(services)
        sign = f'<b role="img" aria-label="{result}">{SIGNS[result]}</b>'
        parts.append(f'<span class="{look}">{"! " if is_wrong else ""}{sign} {_e(words)}</span>')
    return "".join(parts)


def _named(group: Iterable[str]) -> str:
    names = tuple(group)
    return names[0] if len(names) == 1 else f"{names[0]} ×{len(names)}"


def _e(text: object) -> str:
    return escape(str(text), quote=True)
