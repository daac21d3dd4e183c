"""Each folder of tests/cases is a case: a site and an observed state, and what must follow from them.

``plan.txt`` is the printed plan, ``commands.txt`` its commands, ``undo.txt`` the commands of the way back.
``UPDATE=1`` writes what is expected; look at the difference before you commit it.
"""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from bascule.cli.show.plan import show_plan
from bascule.errors import BasculeError
from bascule.model.state_json import from_json, to_json
from bascule.plan.batch import script
from bascule.plan.diff import diff
from bascule.plan.make import make_plan
from bascule.plan.merge import first_pass, way_back
from bascule.providers.protocol import ThreeWay
from bascule.site import parse

CASES = Path(__file__).parent / "cases"
COLUMNS = 100


def cases() -> list[str]:
    return sorted(path.parent.name for path in CASES.glob("*/site.yaml"))


def same(path: Path, text: str) -> None:
    if os.environ.get("UPDATE"):
        path.write_text(text)
    assert text == path.read_text(), f"{path} differs; UPDATE=1 writes it anew"


@pytest.mark.parametrize("name", cases())
def test_case(name: str) -> None:
    folder = CASES / name
    site = parse((folder / "site.yaml").read_bytes(), "site.yaml")
    observed = from_json(json.loads((folder / "observed.json").read_text()))
    host = next(iter(site.hosts.values()))
    try:
        plan, wanted = make_plan(site, host, observed)
    except BasculeError as error:
        same(folder / "error.txt", f"{error}\n")
        return
    same(folder / "plan.txt", show_plan(host.name, plan, columns=COLUMNS) + "\n")
    same(folder / "commands.txt", script(plan))
    goal = way_back(ThreeWay(before=observed, wanted=wanted, now=wanted, applied=wanted)).part
    same(folder / "undo.txt", script(diff(wanted, first_pass(goal, wanted))))
    assert not diff(goal, observed), "the way back does not lead to what was before"
    again, _ = make_plan(site, host, wanted)
    assert not again, f"a second plan is not empty: {[(c.subject, c.action) for c in again.changes]}"


@pytest.mark.parametrize("name", cases())
def test_dump_is_read_back(name: str) -> None:
    text = json.loads((CASES / name / "observed.json").read_text())
    state = from_json(text)
    assert from_json(to_json(state)) == state
    assert to_json(state) == text


def test_there_are_cases() -> None:
    assert cases()
