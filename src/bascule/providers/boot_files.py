"""What the providers share whose part is a few files that a unit of systemd reads when the machine starts."""

from __future__ import annotations

from typing import ClassVar

from bascule.model.state import HostState
from bascule.providers.plain import PlainProvider
from bascule.providers.protocol import Merged, ThreeWay


class BootFilesProvider(PlainProvider):
    """Nobody but Bascule writes these files."""

    tools: ClassVar[frozenset[str]] = frozenset()  # files and systemctl are the tools of another provider

    def merge(self, change: ThreeWay) -> Merged:
        """As they were; what others have changed since is overwritten."""
        before = self.part(change.before)
        return Merged(part=self.part(change.now) if before is None else before)

    def lasts(self, before: HostState, wanted: HostState) -> bool:
        """Whether the change altered what the next boot loads."""
        return bool(self.part(before) != self.part(wanted))
