"""What a page is told of a host: each difference from the site file once."""

from __future__ import annotations

from msgspec.structs import replace

from bascule.plan.change import Note
from bascule.plan.file_change import FileChange
from bascule.web.view import LastAnswers, state_document
from tests.draw import sites


def test_each_difference_stands_once() -> None:
    site, seen = sites.drifted()
    rule = Note(kind="extra", subject="br3", text="ARP is off, so nobody reaches the host over it")
    file = FileChange(path="/etc/network/interfaces", action="write", old="a", new="b")
    plan = replace(seen.plan, notes=(*seen.plan.notes, rule), files=(file,))
    told = state_document(site, site.hosts["vmserver"], seen.state, plan=plan, problems=(), asking=LastAnswers())
    beside = {"br3: ARP is off, so nobody reaches the host over it", "/etc/network/interfaces: write it"}
    assert beside < set(told["drift"]) == {f"{subject}: {words}" for subject, words in plan.beside_changes}
    subjects = [change["subject"] for change in told["changes"]]
    assert subjects == sorted({change.subject for change in plan.changes}) != []
