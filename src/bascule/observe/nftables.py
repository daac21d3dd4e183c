"""The nft tables that Bascule owns. Everybody else's are seen by ``doctor`` only."""

from __future__ import annotations

import json

from bascule.system.netns import Namespace
from bascule.system.run import run_all

PREFIX = "bascule"  # of the name of every nft table that Bascule makes


def read_tables(listing: str, *, namespace: Namespace | None) -> dict[str, str]:
    """``family name`` → the table in nft's own text, from the output of ``nft -j list tables``."""
    names = [
        (entry["table"]["family"], entry["table"]["name"])
        for entry in json.loads(listing or "{}").get("nftables", ())
        if entry.get("table", {}).get("name", "").startswith(PREFIX)
    ]
    texts = run_all([("nft", "list", "table", family, name) for family, name in names], namespace=namespace)
    return {f"{family} {name}": text for (family, name), text in zip(names, texts, strict=True)}
