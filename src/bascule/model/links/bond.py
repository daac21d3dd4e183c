"""A bond: several NICs as one."""

from __future__ import annotations

from typing import ClassVar

from bascule.model.links.options import LinkOptions, option
from bascule.records import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Bond(LinkOptions):
    """The mode and the link monitoring; ``miimon`` is in milliseconds."""

    kind: ClassVar[str] = "bond"

    mode: str = option("balance-rr", fixed=True)
    miimon: int = option(0)
    updelay: int = option(0)
    downdelay: int = option(0)
    xmit_hash_policy: str = option("layer2")
    ad_lacp_rate: str = option("slow", arg="lacp_rate")
