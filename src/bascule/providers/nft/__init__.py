"""nft: tables of rules, Bascule's own and those of others, which are seen and never touched."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, ClassVar

from msgspec.structs import replace

from bascule.model.ruleset.rules import AnyTable, ForeignTable, Table, owned, writable
from bascule.model.site import Host, Site
from bascule.model.state import HostState
from bascule.plan.step import Step
from bascule.providers.merging import merge_mapping
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

    def want(self, site: Site, host: Host, observed: HostState, wanted: HostState, inputs: PlanInputs) -> Wanted:
        """The tables that the target of the kernel's part has laid out, for they belong to its links."""
        return Wanted(part=wanted.tables)

    def diff(self, before: HostState, after: HostState) -> Iterable[Step]:
        """Each table is replaced whole, in one transaction."""
        old, new = owned(before.tables), owned(after.tables)
        if old == new:
            return ()
        from bascule.providers.nft.diff import steps

        return steps(before, after)

    def merge(self, change: ThreeWay) -> Merged:
        """Tables that the change altered as they were; what others altered since stays, and is named."""
        from bascule.providers.nft.words import changed_rules

        kept: list[str] = []
        states = (change.before, change.wanted, change.now, change.applied or change.wanted)
        found = merge_mapping(*(owned(state.tables) for state in states), kept=kept, words=_changed_by_others)
        for key, table in found.items():
            if table != change.now.tables.get(key) and table != (bare := writable(table)):
                kept.append(f"nft {key}: others put into it what Bascule cannot write: {changed_rules(table, bare)}")
                found[key] = bare
        others, before = (_others(state) for state in (change.now, change.before))
        made = owned(change.wanted.tables)
        kept += [f"nft {key} is somebody else's now" for key in {**found, **made} if key in others]
        kept += [f"nft {key} is new" for key in others if key not in {**before, **found, **made}]
        kept += [f"nft {key} is gone" for key in before if key not in change.now.tables]
        kept += _lost_with(made, owned(change.now.tables), found)
        return Merged(part=found | others, kept=tuple(kept))


def _others(state: HostState) -> dict[str, ForeignTable]:
    return {key: one for key, one in state.tables.items() if isinstance(one, ForeignTable)}


def _lost_with(made: Mapping[str, Table], now: Mapping[str, Table], back: Mapping[str, Table]) -> Iterator[str]:
    """What others have put into tables that go."""
    from bascule.providers.nft.words import changed_rules

    for key, table in made.items():
        if key not in back and key in now and now[key] != table:
            yield f"nft {key}: others changed it, and it is removed all the same: {changed_rules(table, now[key])}"


def _changed_by_others(key: str, _: object) -> str:
    return f"nft {key} has other rules by now"


NFT = NftProvider()
