"""Tables are listed and loaded by nft itself."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from bascule.host.live import LiveHost
from bascule.plan.batch import Batch
from bascule.plan.change import Note
from bascule.providers.effects import Scope
from bascule.providers.nft.observe import read_tables


class NftEffects:
    """One transaction for each table."""

    def programs(self) -> tuple[tuple[str, ...], ...]:
        """The names of all tables."""
        return (("nft", "-j", "list", "tables"),)

    def read(self, texts: Callable[[], Sequence[str]], scope: Scope) -> Mapping[str, str]:
        """Those that Bascule owns."""
        return read_tables(texts()[0], namespace=scope.where.namespace)

    def execute(self, batch: Batch, *, where: LiveHost, keep: Sequence[int]) -> tuple[Note, ...]:
        """Load each script. Raises CommandFailed with nft's own words."""
        for command in batch.commands:
            where.run(("nft", *command.words), stdin=command.stdin, keep=keep)
        return ()
