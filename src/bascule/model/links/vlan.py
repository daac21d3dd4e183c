"""An 802.1Q link over another link."""

from __future__ import annotations

from typing import ClassVar

from bascule.model.links.options import LinkOptions, option
from bascule.records import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Vlan(LinkOptions):
    """The tag that the link puts on and takes off."""

    kind: ClassVar[str] = "vlan"

    protocol: str = option("802.1Q", fixed=True)
    id: int = option(0, fixed=True)
