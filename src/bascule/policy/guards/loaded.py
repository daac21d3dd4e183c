"""Which ports are behind a guard in the tables of a host, whatever the site file says; pure."""

from __future__ import annotations

from collections.abc import Mapping

from bascule.model.guarding import GuardLevel
from bascule.model.ruleset.rules import AnyTable, NamedSet, Table
from bascule.policy.guards.table import KEY


def loaded_guards(tables: Mapping[str, AnyTable]) -> dict[str, GuardLevel]:
    """The guard of each port that has one, by the port's name."""
    table = tables.get(KEY)
    if not isinstance(table, Table):
        return {}
    found: dict[str, GuardLevel] = {}
    for one in table.sets:
        if isinstance(one, NamedSet) and one.name in {"strict", "loose"}:
            level = GuardLevel.STRICT if one.name == "strict" else GuardLevel.MAC
            found |= {str(port): level for port in one.elements}
    return found
