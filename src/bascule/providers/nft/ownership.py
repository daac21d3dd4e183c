"""Which tables are Bascule's: those that carry its mark, and those of version 0.1.0, which are known by their form."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from bascule.model.ruleset.nft_json import foreign, mark_of, read_ruleset, read_table
from bascule.model.ruleset.rules import AnyTable
from bascule.policy.network_rules import TABLE_PREFIX
from bascule.policy.version_0_1_0 import is_of_0_1_0


def tables(listing: str) -> dict[str, AnyTable]:
    """Every table in the output of ``nft -j list ruleset``."""
    return {key: _table(key, objects) for key, objects in read_ruleset(listing).items()}


def _table(key: str, objects: Iterable[Mapping[str, Any]]) -> AnyTable:
    objects = list(objects)
    if mark_of(objects):
        return read_table(key, objects)
    if key.startswith(f"inet {TABLE_PREFIX}") and is_of_0_1_0(table := read_table(key, objects)):
        return table
    return foreign(key, objects)
