"""A bond: several NICs as one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from bascule.model.links.options import LinkOptions

LOSES_GUESTS = {  # under a bridge, by mode, from Documentation/networking/bonding.rst of the kernel
    "balance-alb": "it sends under its members' own MACs, and loses the guests'",
    "balance-tlb": "the switch learns a guest's MAC on two ports alternately",
    "balance-rr": "the switch learns a guest's MAC on two ports alternately",
}


class Bond(LinkOptions, frozen=True, kw_only=True):
    """The mode and the link monitoring; ``miimon`` is in milliseconds."""

    kind: ClassVar[str] = "bond"
    noun: ClassVar[str] = "a bond"
    said: ClassVar[str] = "linux"  # the word for who makes it in a site file
    alone: ClassVar[tuple[str, ...]] = ()  # modes that the kernel does not have
    fixed: ClassVar[frozenset[str]] = frozenset({"mode", "ad_lacp_rate", "ad_select"})  # only while it is down
    argument_names: ClassVar[Mapping[str, str]] = {"ad_lacp_rate": "lacp_rate"}

    mode: str = "balance-rr"
    miimon: int = 0
    updelay: int = 0
    downdelay: int = 0
    xmit_hash_policy: str = "layer2"
    ad_lacp_rate: str = "slow"
    ad_select: str = "stable"
    min_links: int = 0
    primary: str | None = None  # the kernel tells of none that is no member
