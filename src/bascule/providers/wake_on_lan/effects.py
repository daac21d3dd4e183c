"""The drivers are asked by the kernel's own call, and set by ethtool."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from bascule.model.links.wake_on_lan import of_bits
from bascule.providers.effects import ObserveScope, PlainEffects
from bascule.providers.wake_on_lan import WakeOnLan
from bascule.system.net.ethtool import wake_on_lan


class WakeOnLanEffects(PlainEffects):
    """A call takes microseconds, so the NICs are asked one by one."""

    def read(self, texts: Callable[[], Sequence[str]], scope: ObserveScope) -> Mapping[str, WakeOnLan] | None:
        """The NICs of which the file says something, and those of a checkpoint."""
        said = [name for name, nic in scope.host.nics.items() if nic.wol is not None] if scope.host is not None else []
        names = dict.fromkeys([*said, *(scope.known.get("wake_on_lan") or ())])
        if not names:
            return None
        found: dict[str, WakeOnLan] = {}
        with scope.where.entered():
            for name in names:
                told = wake_on_lan(name)
                found[name] = WakeOnLan(None) if told is None else WakeOnLan(of_bits(told.now), of_bits(told.able))
        return found
