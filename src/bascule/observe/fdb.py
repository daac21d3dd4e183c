"""The MACs that the bridges have learned, and on which port (bridge(8), fdb)."""

from __future__ import annotations

import json

from bascule.system.net.netns import Namespace
from bascule.system.run import run_all


def learned(namespace: Namespace | None = None) -> dict[str, tuple[str, ...]]:
    """Port → the MACs behind it, each once, with ``vlan N`` where the bridge keeps VLANs apart.

    The links' own and permanent entries are left out. Raises MissingTool, CommandFailed.
    """
    (text,) = run_all((("bridge", "-j", "fdb", "show", "dynamic"),), namespace=namespace)
    found: dict[str, dict[str, None]] = {}
    for entry in json.loads(text or "[]"):
        if "master" not in entry or entry.get("state") in {"permanent", "static"} or "mac" not in entry:
            continue
        vlan = f" vlan {entry['vlan']}" if "vlan" in entry else ""
        found.setdefault(entry["ifname"], {})[f"{entry['mac']}{vlan}"] = None
    return {port: tuple(macs) for port, macs in found.items()}
