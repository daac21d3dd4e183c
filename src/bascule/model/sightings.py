"""Where a MAC and its addresses were seen: what answers "which IP has this guest?"."""

from __future__ import annotations

from bascule.model.values import IfName, IpAddress, Mac
from bascule.records import dataclass

SOURCES = ("agent", "lease", "snooped", "neighbour", "heard", "declared")  # the most trustworthy first


@dataclass(frozen=True, slots=True, kw_only=True)
class Sighting:
    """An address of a MAC. ``age_s`` is how long ago it was confirmed, None where the source does not say."""

    mac: Mac
    address: IpAddress
    source: str
    age_s: float | None = None
    where: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class FdbEntry:
    """A MAC that a bridge has learned on one of its ports."""

    mac: Mac
    port: IfName
    bridge: IfName
    age_s: float | None = None
    static: bool = False
