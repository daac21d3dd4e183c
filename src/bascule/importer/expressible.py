"""A site file that stands: what its checks refuse is taken out of it, thing by thing, and told."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from bascule.errors import BasculeError, Place, Problem, SiteFault
from bascule.model.site import Site
from bascule.site import parse
from bascule.site.findings import Findings, Path
from bascule.site.tree import read_tree
from bascule.site.write import flow, site_text

FILE = "the imported site file"
_VANISH = {"networks", *("nics", "bonds", "vlans", "bridges"), "guests"}
_VANISH |= {"address", "gateway", "routes", "dns", "search", "ports"}
_NEEDED = (("site",), ("hosts",))  # without which there is no site file


def expressible(document: dict[str, Any]) -> tuple[Site, str, list[str]]:
    """The site that a document says without what a site file cannot say, its text, and what was taken out of it.

    Each round takes out one entry, that of the first problem: others may follow from it. A bridge whose uplink goes
    is left with ``uplink: unknown``. Raises BasculeError where nothing can be taken out, as for a host's name.
    """
    told: list[str] = []
    while True:
        text = site_text(document)
        data = text.encode()
        try:
            return parse(data, FILE), text, told
        except SiteFault as fault:
            problem, path = _first(fault.problems, data)
            if path is None:
                raise _inexpressible(fault) from fault
            if path[-3:-2] == ("routes",) and path[-1] in {"via", "src"}:
                path = path[:-1]  # without its router a route would lead elsewhere
            value = _take_out(document, path)
            told.append(_words(path, value, problem))


def _first(problems: Sequence[Problem], data: bytes) -> tuple[Problem, Path | None]:
    """The first problem that something can be taken out for, and the path of that."""
    paths = _paths(data)
    for problem in sorted(problems, key=lambda one: one.code != "UNKNOWN-KEY"):  # it follows from no other
        place = problem.place
        path = paths.get((place.line, place.column)) if place else None
        if path and path not in _NEEDED and not (path[0] == "hosts" and len(path) == 2):
            return problem, path
    return problems[0], None


def _paths(data: bytes) -> Mapping[tuple[int, int], Path]:
    """What stands at each place of a file."""
    found = Findings(FILE)
    read_tree(data, found)

    def places() -> Iterator[tuple[Place, Path]]:
        yield from ((found.at_mark(mark), path) for path, mark in found.values.items())
        yield from ((found.at_mark(mark), path) for path, mark in found.keys.items())

    return {(place.line, place.column): path for place, path in places()}


def _take_out(document: dict[str, Any], path: Path) -> Any:
    """Take an entry out, with the list or mapping that is empty without it; what was there."""
    above: list[Any] = [document]
    for step in path[:-1]:
        above.append(above[-1][step])
    value = above[-1].pop(path[-1])
    if path[-1] == "uplink":
        above[-1]["uplink"] = "unknown"
    elif not above[-1] and len(path) > 2 and path[-2] in _VANISH:
        above[-2].pop(path[-2])
    return value


def _words(path: Path, value: Any, problem: Problem) -> str:
    subject = [str(step) for step in path if not isinstance(step, int)]
    owner = subject[3] if subject[0] == "hosts" and len(subject) > 3 else subject[1] if len(subject) > 1 else ""
    rest = " ".join(subject[4:] if subject[0] == "hosts" else subject[2:])
    said = f"{rest} {flow(value)}".strip() if rest else flow(value) if value else ""
    what = f"{owner}: {said}".rstrip(": ")
    return f"{what}: left out, {problem.message}"


def _inexpressible(fault: SiteFault) -> BasculeError:
    follow = "1 problem follows" if len(fault.problems) == 1 else f"{len(fault.problems)} problems follow"
    return BasculeError(
        Problem(
            code="IMPORT",
            message=f"what was found makes no site file ({follow})",
            hint="choose other names with --host and --site",
        ),
        *fault.problems,
    )
