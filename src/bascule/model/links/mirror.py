"""Copies of frames, as a site file says them."""

from __future__ import annotations

from msgspec import Struct

from bascule.errors import Place
from bascule.model.site_place import NOWHERE
from bascule.model.values import IfName


class Mirror(Struct, frozen=True, kw_only=True):
    """Copies of the frames that pass some ports of a switch, both ways; of all ports where ``sources`` is empty."""

    sources: tuple[IfName, ...]
    to: IfName
    place: Place = NOWHERE

    @property
    def name(self) -> str:
        """What it is called on the switch."""
        return f"to-{self.to}"

    @property
    def words(self) -> str:
        """What it does, for people."""
        return f"mirror {', '.join(self.sources) or 'all'} → {self.to}"
