"""Tables that version 0.1.0 made: they carry no mark, and are known by name and form."""

from __future__ import annotations

from bascule.model.ruleset.rules import Fib, Match, Meta, Nat, OpaqueRule, Rule, Table, VerdictStatement
from bascule.model.values import bridge_name
from bascule.policy.network_rules import FAMILY, HOOKS, TABLE_PREFIX


def is_of_0_1_0(table: Table) -> bool:
    """Whether that version wrote a table: its name, its hooks, and every rule as it wrote them, for that bridge."""
    network = table.name.removeprefix(TABLE_PREFIX)
    if table.mark or table.sets or table.others or not table.chains or (table.family, network) == (FAMILY, table.name):
        return False
    known = all(chain.name in HOOKS and chain.hook == HOOKS[chain.name] for chain in table.chains)
    rules = [(chain.name, rule) for chain in table.chains for rule in chain.rules]
    return table.family == FAMILY and known and all(_is_known(name, rule, bridge_name(network)) for name, rule in rules)


def _is_known(chain: str, rule: Rule | OpaqueRule, bridge: str) -> bool:
    if isinstance(rule, OpaqueRule) or rule.comment or not rule.statements:
        return False
    *tests, last = rule.statements
    links = {x.right for x in tests if isinstance(x, Match) and x.left in {Meta("iifname"), Meta("oifname")}}
    if not all(isinstance(x, Match) for x in tests) or links - {(bridge,)}:
        return False
    if chain == "forward":
        return bool(links)
    if chain == "postrouting":
        return last == VerdictStatement("return") or (isinstance(last, Nat) and last.name == "masquerade")
    first = tests[0] if tests else None
    return isinstance(first, Match) and isinstance(first.left, Fib) and isinstance(last, Nat) and last.name == "dnat"
