"""Tables are listed and loaded by nft itself."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from bascule.host.live import LiveHost
from bascule.model.ruleset.dormant import has_flags, without_hooks
from bascule.model.ruleset.rules import AnyTable
from bascule.plan.batch import Batch
from bascule.plan.change import Note
from bascule.providers.effects import ObserveScope
from bascule.providers.nft.ownership import tables


class NftEffects:
    """One transaction for each table."""

    def programs(self) -> tuple[tuple[str, ...], ...]:
        """All rules of every family."""
        return (("nft", "-j", "list", "ruleset"),)

    def read(self, texts: Callable[[], Sequence[str]], scope: ObserveScope) -> Mapping[str, AnyTable]:
        """Every table, ours and others'."""
        listing = texts()[0]
        if has_flags(listing):
            listing = without_hooks(listing, scope.where.run(("nft", "list", "ruleset")).stdout)
        return tables(listing)

    def execute(self, batch: Batch, *, where: LiveHost, keep: Sequence[int]) -> tuple[Note, ...]:
        """Load each script. Raises CommandFailed with nft's own words."""
        for command in batch.commands:
            where.run(("nft", *command.words), stdin=command.stdin, keep=keep)
        return ()
