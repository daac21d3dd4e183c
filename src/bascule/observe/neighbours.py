"""The host's ARP and ND caches and its bridges' forwarding databases, with ages in seconds."""

from __future__ import annotations

import ipaddress
import json
from typing import Any

from bascule.model.sightings import FdbEntry, Sighting
from bascule.model.values import IfName, parse_mac
from bascule.system.net.netns import Namespace
from bascule.system.run import run

_GONE = {"FAILED", "INCOMPLETE", "NOARP"}


def sightings(*, namespace: Namespace | None = None) -> tuple[Sighting, ...]:
    """What the neighbour caches know; entries that did not answer are left out."""
    rows = _json(("ip", "-j", "-s", "neigh", "show"), namespace)
    found = []
    for row in rows:
        if "lladdr" not in row or _GONE & set(row.get("state", ())):
            continue
        try:
            mac, address = parse_mac(row["lladdr"]), ipaddress.ip_address(row["dst"])
        except ValueError:
            continue  # a tunnel's neighbour has no MAC
        age = row.get("confirmed", row.get("updated"))
        found.append(
            Sighting(
                mac=mac,
                address=address,
                source="neighbour",
                age_s=None if age is None else float(age),
                where=row["dev"],
            )
        )
    return tuple(found)


def fdb(*, namespace: Namespace | None = None) -> tuple[FdbEntry, ...]:
    """What the bridges have learned; the links' own MACs and group addresses are left out."""
    rows = _json(("bridge", "-j", "-s", "fdb", "show"), namespace)
    found = []
    for row in rows:
        if "master" not in row or row.get("state") == "permanent":
            continue
        try:
            mac = parse_mac(row["mac"])
        except ValueError:
            continue
        age = row.get("updated")
        found.append(
            FdbEntry(
                mac=mac,
                port=IfName(row["ifname"]),
                bridge=IfName(row["master"]),
                age_s=None if age is None else float(age),
                static=row.get("state") == "static",
            )
        )
    return tuple(found)


def _json(argv: tuple[str, ...], namespace: Namespace | None) -> list[dict[str, Any]]:
    text = run(argv, namespace=namespace).stdout.strip()
    rows: list[dict[str, Any]] = json.loads(text) if text else []
    return rows
