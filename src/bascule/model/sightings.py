"""Where a MAC and its addresses were seen: what answers "which IP has this guest?"."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from msgspec import Struct

from bascule.model.values import IfName, IpAddress, Mac, parse_mac

SOURCES = ("agent", "lease", "snooped", "neighbour", "heard", "declared")  # the most trustworthy first


class Sighting(Struct, frozen=True, kw_only=True):
    """An address of a MAC. ``age_s`` is how long ago it was confirmed, None where the source does not say."""

    mac: Mac
    address: IpAddress
    source: str
    age_s: float | None = None


class FdbEntry(Struct, frozen=True, kw_only=True):
    """A MAC that a bridge has learned on one of its ports; ``static`` and ``sticky`` ones were set by somebody."""

    mac: Mac
    port: IfName
    bridge: IfName
    vlan: int | None = None
    age_s: float | None = None
    static: bool = False
    sticky: bool = False


def fdb_entries(rows: Iterable[Mapping[str, Any]]) -> Iterator[FdbEntry]:
    """Those of ``bridge -j fdb show``, with their ages if asked for; the links' own MACs are left out."""
    for row in rows:
        if "master" not in row or "mac" not in row or row.get("state") == "permanent":
            continue
        try:
            mac = parse_mac(row["mac"])
        except ValueError:
            continue
        yield FdbEntry(
            mac=mac,
            port=IfName(row["ifname"]),
            bridge=IfName(row["master"]),
            vlan=row.get("vlan"),
            age_s=float(row["updated"]) if "updated" in row else None,
            static=row.get("state") == "static",
            sticky="sticky" in row.get("flags", ()),
        )


def own_macs(rows: Iterable[Mapping[str, Any]]) -> dict[str, frozenset[str]]:
    """The MACs for which each bridge of ``bridge -j fdb show`` hands frames up to the host (``permanent``)."""
    found: dict[str, set[str]] = {}
    for row in rows:
        if "master" in row and "mac" in row:
            own = found.setdefault(row["master"], set())
            own |= {row["mac"]} if row.get("state") == "permanent" else set()
    return {bridge: frozenset(macs) for bridge, macs in found.items()}
