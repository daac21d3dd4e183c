"""An 802.1Q link over another link."""

from __future__ import annotations

from typing import ClassVar

from bascule.model.links.options import LinkOptions


class Vlan(LinkOptions, frozen=True, kw_only=True):
    """The tag that the link puts on and takes off."""

    kind: ClassVar[str] = "vlan"
    noun: ClassVar[str] = "a VLAN link"
    fixed: ClassVar[frozenset[str]] = frozenset({"protocol", "id"})

    protocol: str = "802.1Q"
    id: int = 0

    @property
    def tag(self) -> tuple[str, int]:
        """What it puts on, whoever makes it."""
        return self.protocol, self.id
