"""nft: the tables of Bascule's own."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from msgspec.structs import replace

from bascule.model.site import Host, Site
from bascule.model.state import HostState
from bascule.plan.change import Command, Risk
from bascule.plan.step import Phase, Step, step
from bascule.providers.merging import merge_mapping
from bascule.providers.plain import PlainProvider
from bascule.providers.protocol import Merged, Surroundings, ThreeWay, Wanted

if TYPE_CHECKING:
    from bascule.providers.effects import Effects


class NftProvider(PlainProvider):
    """Tables by ``family name``, each as nft's own text."""

    name: ClassVar[str] = "nft"
    tools: ClassVar[frozenset[str]] = frozenset({"nft"})
    programs: ClassVar[frozenset[str]] = tools

    def part(self, state: HostState) -> Mapping[str, str]:
        """The tables."""
        return state.tables

    def with_part(self, state: HostState, part: Any) -> HostState:
        """The state with other tables."""
        return replace(state, tables=part or {})

    def want(
        self, site: Site, host: Host, observed: HostState, wanted: HostState, surroundings: Surroundings
    ) -> Wanted:
        """The tables that the target of the kernel's part has laid out, for they belong to its links."""
        return Wanted(part=wanted.tables)

    def diff(self, before: HostState, after: HostState) -> Iterator[Step]:
        """Each table is replaced whole, in one transaction."""
        for name, text in sorted(after.tables.items()):
            if before.tables.get(name) != text:
                clear = f"table {name}\ndelete table {name}\n"  # nft applies a file at once or not at all
                there = name in before.tables
                words, risk = ("replace its rules", Risk.CHANGES) if there else ("load its rules", Risk.ADDITION)
                yield step(
                    Phase.RULES,
                    f"nft {name}",
                    words,
                    Command("nft", ("-f", "-"), clear + text),
                    risk=risk,
                    about="ruleset",
                )
        for name in sorted(before.tables):
            if name not in after.tables:
                command = Command("nft", ("-f", "-"), f"delete table {name}\n")
                yield step(Phase.OLD_RULES, f"nft {name}", "delete its rules", command, about="ruleset")

    def merge(self, change: ThreeWay) -> Merged:
        """Tables that the change altered as they were; what others altered since stays, and is named."""
        kept: list[str] = []
        states = (change.before, change.wanted, change.now, change.applied or change.wanted)
        return Merged(part=merge_mapping(*(state.tables for state in states), kept=kept), kept=tuple(kept))

    def to_json(self, part: Any) -> Any:
        """Tables are part of the host state's own document."""
        return dict(sorted(part.items()))

    def from_json(self, data: Any) -> Any:
        """The same back."""
        return dict(data)

    def effects(self) -> Effects:
        """How tables are listed and loaded."""
        from bascule.providers.nft.effects import NftEffects

        return NftEffects()


NFT = NftProvider()
