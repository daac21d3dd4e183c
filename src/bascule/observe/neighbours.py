"""The host's ARP and ND caches, with ages in seconds."""

from __future__ import annotations

import ipaddress
import json
from typing import Any

from bascule.model.sightings import Sighting
from bascule.model.values import parse_mac
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


def _json(argv: tuple[str, ...], namespace: Namespace | None) -> list[dict[str, Any]]:
    text = run(argv, namespace=namespace).stdout.strip()
    rows: list[dict[str, Any]] = json.loads(text) if text else []
    return rows
