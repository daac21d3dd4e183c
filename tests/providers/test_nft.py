"""Tables of rules: what a change of them says, and what the way back makes of others' hands."""

from __future__ import annotations

from bascule.model.ruleset.normal_form import match
from bascule.model.ruleset.rules import AnyTable, Chain, ForeignTable, Hook, Meta, Rule, Table, VerdictStatement
from bascule.model.state import HostState
from bascule.providers.json import from_json, to_json
from bascule.providers.nft import NFT
from bascule.providers.protocol import ThreeWay

ACCEPT, DROP = Rule((VerdictStatement("accept"),)), Rule((VerdictStatement("drop"),))
FORWARD = Hook("filter", "forward", 0)


def table(*rules: Rule, name: str = "bascule_lab", hook: Hook = FORWARD, mark: str = "bascule:t") -> Table:
    return Table("inet", name, (Chain("forward", rules, hook),), mark=mark)


def state(*tables: AnyTable) -> HostState:
    return HostState(tables={one.key: one for one in tables})


def said(before: HostState, after: HostState) -> list[str]:
    return [f"{one.subject}: {one.action}" for one in NFT.diff(before, after)]


THEIRS = ForeignTable("inet", "bascule_lab", "[]")


def test_a_change_says_which_rules_come_and_go() -> None:
    link = Rule((match(Meta("iifname"), "vn-lab"), VerdictStatement("drop")))
    assert said(state(table(ACCEPT, DROP)), state(table(link, DROP))) == [
        'nft inet bascule_lab: replace its rules: - forward: accept; + forward: iifname "vn-lab" drop'
    ]
    assert said(state(table(ACCEPT, ACCEPT)), state(table(ACCEPT))) == [
        "nft inet bascule_lab: replace its rules: - forward: accept"
    ]
    many = [Rule((match(Meta("mark"), number), VerdictStatement("drop"))) for number in range(1, 8)]
    (words,) = said(state(table()), state(table(*many)))
    assert words.endswith("+ forward: mark 4 drop; and 3 more")


def test_what_is_no_rule_is_told_too() -> None:
    before = state(table(ACCEPT, DROP))
    assert said(before, state(table(DROP, ACCEPT))) == [
        "nft inet bascule_lab: replace its rules: their order, hooks or sets"
    ]
    assert said(state(table(ACCEPT, mark="")), state(table(ACCEPT))) == [
        "nft inet bascule_lab: replace its rules: they stay, and are marked as Bascule's"
    ]


def test_tables_of_others_are_in_no_step() -> None:
    assert said(state(THEIRS), state()) == []
    assert said(state(THEIRS), state(table(ACCEPT))) == []
    assert said(state(), state(THEIRS)) == []


def test_the_way_back_keeps_what_others_did_since() -> None:
    other, more = table(DROP, name="bascule_other"), ForeignTable("ip", "filter", "[]")
    before, wanted = state(other), state(other, table(ACCEPT))
    now = state(table(ACCEPT, name="bascule_other"), table(ACCEPT), more)
    found = NFT.merge(ThreeWay(before=before, wanted=wanted, now=now, applied=wanted))
    assert found.part == {"inet bascule_other": table(ACCEPT, name="bascule_other"), "ip filter": more}
    assert found.kept == ("nft inet bascule_other has other rules by now", "nft ip filter is new")


def test_the_way_back_leaves_a_table_that_is_somebody_elses_by_now() -> None:
    before, wanted = state(table(DROP)), state(table(ACCEPT))
    found = NFT.merge(ThreeWay(before=before, wanted=wanted, now=state(THEIRS), applied=wanted))
    assert found.part == {THEIRS.key: THEIRS}
    assert found.kept == ("nft inet bascule_lab is somebody else's now",)
    assert said(state(THEIRS), NFT.with_part(HostState(), found.part)) == []


def test_the_way_back_makes_none_beside_somebody_elses_that_took_the_name() -> None:
    found = NFT.merge(ThreeWay(before=state(table(DROP)), wanted=state(), now=state(THEIRS), applied=state()))
    assert found.part == {THEIRS.key: THEIRS}
    assert found.kept == ("nft inet bascule_lab is somebody else's now",)


def test_a_dump_is_read_back() -> None:
    there = state(table(ACCEPT, DROP), ForeignTable("ip", "filter", "[]"))
    assert from_json(to_json(there)) == there
