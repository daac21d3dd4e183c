"""What the kernel would do with a packet, its policy rules included (ip-route(8), get)."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

from bascule.model.values import IpAddress
from bascule.system.net.netns import Namespace
from bascule.system.run import run

Way = Mapping[str, Any]
"""A row of ``ip -j route get``: ``dev``, ``gateway``, ``table``, ``type``; empty where there is no way."""


def route_to(address: str, *words: str, namespace: Namespace | None = None) -> Way:
    """The way to one address; ``words`` say more of the packet. Raises MissingTool or NotPermitted."""
    done = run(("ip", "-j", "route", "get", address, *words), namespace=namespace, check=False)
    rows: list[dict[str, Any]] = json.loads(done.stdout or "[]") if done.status == 0 else []
    return rows[0] if rows else {}


def routes_to(
    addresses: Sequence[IpAddress],
    namespace: Namespace,
    sources: Mapping[IpAddress, IpAddress] = MappingProxyType({}),
    *,
    by: Mapping[IpAddress, str] = MappingProxyType({}),
) -> dict[str, Way]:
    """The ways to many addresses; those without one are left out.

    ``sources`` are the addresses that the packets come from, where that is asked for; ``by`` are the links that a
    packet is meant for, without which a link-local address may be anywhere.
    """
    if not addresses:
        return {}
    words = ((("from", sources.get(to)), ("oif", by.get(to))) for to in addresses)
    ends = ("".join(f" {key} {value}" for key, value in some if value is not None) for some in words)
    lines = "".join(f"route get {to}{end}\n" for to, end in zip(addresses, ends, strict=True))
    done = run(("ip", "-j", "-force", "-batch", "-"), stdin=lines, namespace=namespace, check=False)
    rows = [row for line in done.stdout.splitlines() if line.strip() for row in json.loads(line)]
    return {row["dst"]: row for row in rows if "dev" in row}
