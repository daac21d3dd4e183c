"""The steps from the tables that are there to those that are wanted: each is replaced whole, in one transaction."""

from __future__ import annotations

from collections.abc import Iterator

from bascule.model.ruleset.rules import ForeignTable, Table, owned, same_but_elements
from bascule.model.ruleset.text import changed_elements, replacing_text
from bascule.model.state import HostState
from bascule.model.values import IfName
from bascule.plan.change import Command, Risk
from bascule.plan.step import Phase, Step, ip, step
from bascule.policy.guards.loaded import loaded_guards
from bascule.providers.nft.words import changed_rules


def steps(before: HostState, after: HostState) -> Iterator[Step]:
    """All of them; where only elements of sets differ, those come and go."""
    old, new = owned(before.tables), owned(after.tables)
    for name, table in sorted(new.items()):
        if old.get(name) == table or isinstance(before.tables.get(name), ForeignTable):
            continue
        words, risk = "load its rules", Risk.ADDITION
        if name in old and same_but_elements(old[name], table):
            yield from _elements(name, old[name], table)
            continue
        if name in old:
            words, risk = f"replace its rules: {changed_rules(old[name], table)}", Risk.CHANGES
        yield step(Phase.RULES, f"nft {name}", words, _load(replacing_text(table)), risk=risk, about="ruleset")
    yield from _forgotten(before, after)
    for name in sorted(old):
        if name not in after.tables:
            delete = _load(f"delete table {name}\n")
            yield step(Phase.OLD_RULES, f"nft {name}", "delete its rules", delete, about="ruleset")


def _elements(name: str, before: Table, after: Table) -> Iterator[Step]:
    """Elements come and go, rules stay: what is new stands before a port joins, what is old goes when it has left."""
    changes = changed_elements(after, before)
    for phase, words, text in (
        (Phase.RULES, "add", changes.added),
        (Phase.OLD_RULES, "delete", changes.left_over),
    ):
        if text:
            what = f"{words} elements of {', '.join(changes.sets)}"
            yield step(phase, f"nft {name}", what, _load(text), risk=Risk.CHANGES, about="ruleset")


def _forgotten(before: HostState, after: HostState) -> Iterator[Step]:
    """What a bridge has learned at a port before it had a guard may be a lie, which would stand for minutes."""
    guarded = loaded_guards(after.tables).keys() - loaded_guards(before.tables).keys()
    for name in sorted(guarded):
        if before.bridge_of(IfName(name)) is not None and name in after.links:
            words = "forget the MACs learned before it had a guard"
            yield step(Phase.PORT, name, words, ip("link", "set", "dev", name, "type", "bridge_slave", "fdb_flush"),
                       about="port")  # fmt: skip


def _load(text: str) -> Command:
    return Command("nft", ("-f", "-"), text)
