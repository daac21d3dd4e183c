"""The nft tables that Bascule owns. Everybody else's are seen by ``doctor`` only."""

from __future__ import annotations

import json
import re

from bascule.system.net.netns import Namespace
from bascule.system.run import run_all

PREFIX = "bascule"  # of the name of every nft table that Bascule makes


def read_tables(listing: str, *, namespace: Namespace | None) -> dict[str, str]:
    """``family name`` → the table in nft's text, from the output of ``nft -j list tables``."""
    names = [
        (entry["table"]["family"], entry["table"]["name"])
        for entry in json.loads(listing or "{}").get("nftables", ())
        if entry.get("table", {}).get("name", "").startswith(PREFIX)
    ]
    texts = run_all([("nft", "list", "table", family, name) for family, name in names], namespace=namespace)
    return {f"{family} {name}": _plain(text) for (family, name), text in zip(names, texts, strict=True)}


PRIORITIES = {"raw": -300, "mangle": -150, "dstnat": -100, "filter": 0, "security": 50, "srcnat": 100}  # nft(8), ip


def _plain(text: str) -> str:
    """Priorities as numbers: which of them nft lists by name, and at which hook, differs between its versions."""
    names = "|".join(PRIORITIES)
    return re.sub(rf"\bpriority ({names})(?: ([+-]) (\d+))?;", _number, text)


def _number(found: re.Match[str]) -> str:
    offset = int(f"{found[2]}{found[3]}") if found[2] else 0
    return f"priority {PRIORITIES[found[1]] + offset};"
