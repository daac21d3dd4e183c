"""Each folder of tests/cases-of-undo is a way back: what stood × what was made × what others did meanwhile.

``case.json`` names the case of tests/cases whose plan was made, says whether the change came to its end
(``"ended": "whole"``) or was interrupted when all of it was done but not looked at (``"half-way"``), and says in
``meanwhile`` what others did to the state that the plan leads to: links by name (null takes one away, otherwise its
fields are replaced; a new one is whole), ``routes`` and ``rules`` that are added, ``gone`` ones that are taken away,
``sysctls`` and ``tables`` by name. ``undo.txt`` are the commands of the first pass of the way back, ``kept.txt`` the
words for what stays different. ``UPDATE=1`` writes what is expected.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from bascule.model.state import HostState
from bascule.model.state_json import from_json, to_json
from bascule.plan.batch import script
from bascule.plan.diff import diff
from bascule.plan.make import make_plan
from bascule.plan.merge import first_pass, settle, way_back
from bascule.providers.protocol import ThreeWay
from bascule.site import parse
from tests.test_cases import CASES, same

FOLDER = Path(__file__).parent / "cases-of-undo"


def names() -> list[str]:
    return sorted(path.parent.name for path in FOLDER.glob("*/case.json"))


@pytest.mark.parametrize("name", names())
def test_way_back(name: str) -> None:
    told = json.loads((FOLDER / name / "case.json").read_text())
    case = CASES / told["case"]
    site = parse((case / "site.yaml").read_bytes(), "site.yaml")
    before = from_json(json.loads((case / "observed.json").read_text()))
    _, wanted = make_plan(site, next(iter(site.hosts.values())), before)
    now = meanwhile(wanted, told["meanwhile"])
    applied = wanted if told["ended"] == "whole" else None
    change = ThreeWay(before=before, wanted=wanted, now=now, applied=applied)
    merged = way_back(change)
    first = first_pass(merged.part, now)
    same(FOLDER / name / "undo.txt", script(diff(now, first)))
    same(FOLDER / name / "kept.txt", "".join(f"{line}\n" for line in merged.kept))
    goal = settle(merged.part, ThreeWay(before=before, wanted=wanted, now=merged.part, applied=applied))
    assert not diff(merged.part, goal), "the second look at a way back that is done finds something to do"


def meanwhile(state: HostState, told: dict[str, Any]) -> HostState:
    """The state after what others did."""
    document = to_json(state)
    links = {link["name"]: link for link in document["links"]}
    for link, fields in told.get("links", {}).items():
        if fields is None:
            del links[link]
        else:
            merged = {**links.get(link, {"name": link}), **fields}
            links[link] = {key: value for key, value in merged.items() if value is not None}
    document["links"] = list(links.values())
    for key in ("routes", "rules"):
        kept = [one for one in document[key] if one not in told.get("gone", ())]
        document[key] = kept + told.get(key, [])
    for key in ("sysctls", "tables"):
        document[key] = {k: v for k, v in {**document[key], **told.get(key, {})}.items() if v is not None}
    return from_json(document)


def test_there_are_cases() -> None:
    assert names()
