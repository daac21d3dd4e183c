"""One plan: every verb that shows or makes one gets it through the one function, at one place of the program."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

from tests.architecture.sources import SOURCE, files, nodes


def calls_of(name: str) -> list[str]:
    """The places that call a function of this name, however they came by it."""
    return [f"{path.relative_to(SOURCE)}:{line}" for path in files() for line in _lines(path, name)]


def _lines(path: Path, name: str) -> Iterator[int]:
    for node in nodes(path):
        if isinstance(node, ast.Call) and name in {getattr(node.func, "id", ""), getattr(node.func, "attr", "")}:
            yield node.lineno
        if isinstance(node, ast.Call) and any(getattr(word, "id", "") == name for word in node.args):
            yield node.lineno  # partial(make_plan, …)


def test_d20_one_place_makes_plans() -> None:
    places = calls_of("make_plan")
    assert len(places) == 1, places


def test_d20_one_merge_leads_back() -> None:
    """The two-state way back, which forgets what others did meanwhile, is called nowhere."""
    places = {place.partition(":")[0] for place in calls_of("roll_back")}
    assert {"apply/rollback/go_back.py", "apply/rollback/passes.py", "rehearsal.py"} <= places
