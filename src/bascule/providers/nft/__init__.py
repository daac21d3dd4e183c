"""nft: tables of rules, Bascule's own and those of others, which are seen and never touched."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, ClassVar

from msgspec.structs import replace

from bascule.model.ruleset.rules import AnyTable, ForeignTable, Table, owned, same_but_elements, writable
from bascule.model.ruleset.text import changed_elements, replacing_text
from bascule.model.site import Host, Site
from bascule.model.state import HostState
from bascule.model.values import IfName
from bascule.plan.change import Command, Risk
from bascule.plan.step import Phase, Step, ip, step
from bascule.policy.guards.loaded import loaded_guards
from bascule.providers.merging import merge_mapping
from bascule.providers.nft.words import changed_rules
from bascule.providers.plain import PlainProvider
from bascule.providers.protocol import Merged, PlanInputs, ThreeWay, Wanted


class NftProvider(PlainProvider):
    """Tables by ``family name``; of those of others none is ever changed or deleted."""

    name: ClassVar[str] = "nft"
    tools: ClassVar[frozenset[str]] = frozenset({"nft"})
    programs: ClassVar[frozenset[str]] = tools

    def part(self, state: HostState) -> Mapping[str, AnyTable]:
        """The tables."""
        return state.tables

    def with_part(self, state: HostState, part: Any) -> HostState:
        """The state with other tables."""
        return replace(state, tables=part or {})

    def want(self, site: Site, host: Host, observed: HostState, wanted: HostState, surroundings: PlanInputs) -> Wanted:
        """The tables that the target of the kernel's part has laid out, for they belong to its links."""
        return Wanted(part=wanted.tables)

    def diff(self, before: HostState, after: HostState) -> Iterator[Step]:
        """Each table is replaced whole, in one transaction."""
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

    def merge(self, change: ThreeWay) -> Merged:
        """Tables that the change altered as they were; what others altered since stays, and is named."""
        kept: list[str] = []
        states = (change.before, change.wanted, change.now, change.applied or change.wanted)
        found = merge_mapping(*(owned(state.tables) for state in states), kept=kept, words=_changed_by_others)
        for key, table in found.items():
            if table != change.now.tables.get(key) and table != (bare := writable(table)):
                kept.append(f"nft {key}: others put into it what Bascule cannot write: {changed_rules(table, bare)}")
                found[key] = bare
        others = {key: one for key, one in change.now.tables.items() if isinstance(one, ForeignTable)}
        kept += [f"nft {key} is somebody else's now" for key in found if key in others]
        return Merged(part=found | others, kept=tuple(kept))


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


def _changed_by_others(key: str, _: object) -> str:
    return f"nft {key} has other rules by now"


NFT = NftProvider()
