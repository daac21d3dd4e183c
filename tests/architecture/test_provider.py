"""A provider is one folder and one entry: it is looked at, planned, carried out, dumped and taken back by all verbs."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

import bascule.providers.registry
from bascule.apply.engine import execute
from bascule.apply.rollback.passes import roll_back
from bascule.host.live import LiveHost
from bascule.model.site import Host, Site
from bascule.model.state import HostState
from bascule.plan.batch import Batch, script
from bascule.plan.change import Command, Note
from bascule.plan.make import make_plan
from bascule.plan.step import Phase, Step, step
from bascule.providers.effects import ObserveScope, PlainEffects
from bascule.providers.json import from_json, to_json
from bascule.providers.merging import merge_mapping
from bascule.providers.observe import look
from bascule.providers.plain import PlainProvider
from bascule.providers.protocol import Merged, PlanInputs, ThreeWay, Wanted
from tests.lab import Lab


class Notices(PlainProvider):
    """Keeps a notice per host in a folder: what it says, by name."""

    name = "notices"
    tools = frozenset({"notice"})

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def want(self, site: Site, host: Host, observed: HostState, wanted: HostState, inputs: PlanInputs) -> Wanted:
        return Wanted(part={**observed.parts[self.name], "motd": f"this is {host.name} of {site.name}"})

    def diff(self, before: HostState, after: HostState) -> Iterable[Step]:
        old, new = self.part(before), self.part(after)
        for name in sorted(old.keys() | new.keys()):
            if old.get(name) != new.get(name):
                command = Command("notice", ("write", name) if name in new else ("remove", name), new.get(name, ""))
                yield step(Phase.SERVER, f"notice {name}", "say so" if name in new else "say no more", command)

    def merge(self, change: ThreeWay) -> Merged:
        kept: list[str] = []
        parts = [self.part(one) for one in (change.before, change.wanted, change.now, change.applied or change.wanted)]
        return Merged(part=merge_mapping(*parts, kept=kept), kept=tuple(kept))

    def to_json(self, part: Any) -> Any:
        return dict(part)

    def from_json(self, data: Any) -> Any:
        return dict(data)

    def effects(self) -> NoticeEffects:
        return NoticeEffects(self.folder)


class NoticeEffects(PlainEffects):
    """Reads and writes the folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def read(self, texts: Callable[[], Sequence[str]], scope: ObserveScope) -> Mapping[str, str]:
        return {path.name: path.read_text() for path in sorted(self.folder.iterdir())}

    def execute(self, batch: Batch, *, where: LiveHost, keep: Sequence[int]) -> tuple[Note, ...]:
        for command in batch.commands:
            verb, name = command.words
            path = self.folder / name
            path.write_text(command.stdin) if verb == "write" else path.unlink()
        return ()


@pytest.fixture
def folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """One entry in the list, wherever it has been imported already."""
    known = bascule.providers.registry.PROVIDERS
    made = (*known, Notices(tmp_path))
    for name, module in list(sys.modules.items()):
        if name.startswith("bascule.") and getattr(module, "PROVIDERS", None) is known:
            monkeypatch.setattr(module, "PROVIDERS", made)
    monkeypatch.setitem(bascule.providers.registry._BY_TOOL, "notice", made[-1])
    return tmp_path


@pytest.mark.kernel
def test_one_entry_makes_a_provider(folder: Path, lab: Lab) -> None:
    (folder / "old").write_text("somebody else's")
    host, where = Host(name="h"), LiveHost(lab.namespace("h"))
    site = Site(name="t", hosts={"h": host})

    def seen() -> HostState:
        return look(ObserveScope(site=site, host=host, where=where))

    before = seen()
    plan, wanted = make_plan(site, host, before)
    assert [(change.subject, change.action) for change in plan.changes] == [("notice motd", "say so")]
    assert script(plan) == "notice write motd <<'.'\nthis is h of t\n.\n"
    assert from_json(json.loads(json.dumps(to_json(wanted)))).parts["notices"] == wanted.parts["notices"]

    execute(plan, where=where)
    assert make_plan(site, host, seen())[0].changes == ()
    change = ThreeWay(before=before, wanted=wanted, now=seen(), applied=seen())
    (folder / "old").write_text("changed meanwhile")
    back = roll_back(change, seen, where=where)
    assert back.left == ()
    assert {path.name: path.read_text() for path in folder.iterdir()} == {"old": "changed meanwhile"}
