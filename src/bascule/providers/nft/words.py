"""What becomes different in a table, in words."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from bascule.model.ruleset.rules import Chain, NamedMap, Table
from bascule.model.ruleset.text import rule_text

SHOWN = 4  # rules that are named; of more only the number is told


def changed_rules(before: Table, after: Table) -> str:
    """Which rules go (-) and which come (+), with their chains."""
    chains = ({chain.name: chain for chain in table.chains} for table in (before, after))
    old, new = chains
    lines = [
        f"{sign} {name}: {rule}"
        for name in dict.fromkeys((*old, *new))
        for sign, first, second in (("-", old, new), ("+", new, old))
        for rule in _only_in(first.get(name), second.get(name))
    ]
    gone, come = _sets(before) - _sets(after), _sets(after) - _sets(before)
    lines += [f"{sign} {name}" for sign, names in (("-", gone), ("+", come)) for name in sorted(names)]
    if not lines:
        stays = before.chains == after.chains and before.sets == after.sets
        return "they stay, and are marked as Bascule's" if stays else "their order, hooks or sets"
    shown = lines if len(lines) <= SHOWN + 1 else [*lines[:SHOWN], f"and {len(lines) - SHOWN} more"]
    return "; ".join(shown)


def _sets(table: Table) -> set[str]:
    """What is in it beside rules, by kind and name."""
    return {*table.others, *(f"{'map' if isinstance(one, NamedMap) else 'set'} {one.name}" for one in table.sets)}


def _only_in(one: Chain | None, other: Chain | None) -> Iterator[str]:
    left = Counter(map(rule_text, other.rules)) if other else Counter[str]()
    for text in map(rule_text, one.rules if one else ()):
        if left[text]:
            left[text] -= 1
        else:
            yield text
