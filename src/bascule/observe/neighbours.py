"""The host's ARP and ND caches, with ages in seconds."""

from __future__ import annotations

import ipaddress

from bascule.model.sightings import Sighting
from bascule.model.values import parse_mac
from bascule.system.net.netns import Namespace
from bascule.system.run import rows

NEIGHBOURS = ("ip", "-j", "-s", "neigh", "show")
_GONE = {"FAILED", "INCOMPLETE", "NOARP"}


def sightings(*, namespace: Namespace | None = None) -> tuple[Sighting, ...]:
    """What the neighbour caches know; entries that did not answer are left out."""
    found = []
    for row in rows(NEIGHBOURS, namespace=namespace):
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
            )
        )
    return tuple(found)
