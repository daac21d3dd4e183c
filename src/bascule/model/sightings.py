"""Where a MAC and its addresses were seen: what answers "which IP has this guest?"."""

from __future__ import annotations

from msgspec import Struct

from bascule.model.values import IfName, IpAddress, Mac

SOURCES = ("agent", "lease", "snooped", "neighbour", "heard", "declared")  # the most trustworthy first


class Sighting(Struct, frozen=True, kw_only=True):
    """An address of a MAC. ``age_s`` is how long ago it was confirmed, None where the source does not say."""

    mac: Mac
    address: IpAddress
    source: str
    age_s: float | None = None
    where: str = ""


class FdbEntry(Struct, frozen=True, kw_only=True):
    """A MAC that a bridge has learned on one of its ports."""

    mac: Mac
    port: IfName
    bridge: IfName
    vlan: int | None = None
    age_s: float | None = None
    static: bool = False
