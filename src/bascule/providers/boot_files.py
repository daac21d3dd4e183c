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
        before, now = self.part(change.before), self.part(change.now)
        if before is not None and now is not None and before.unit is now.unit is None:
            return Merged(part=now)  # none then, none now, wherever they would have been
        return Merged(part=now if before is None else before)

    def lasts(self, before: HostState, wanted: HostState) -> bool:
        """Whether the change altered what the next boot loads."""
        return bool(self.part(before) != self.part(wanted))
