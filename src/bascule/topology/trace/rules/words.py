"""A rule of nft's JSON in a few words, near to what ``nft list ruleset`` prints; and whose a chain is. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from bascule.model.ruleset.nft_json import read_rule
from bascule.model.ruleset.owners import owner
from bascule.model.ruleset.rules import Rule
from bascule.model.ruleset.text import rule_text
from bascule.topology.trace.rules.lines import Decision, DecisionMap, RuleChain, Rules

PROGRAMS = {"ip": "iptables", "ip6": "ip6tables", "bridge": "ebtables"}
Statement = Mapping[str, Any]  # as in nft's JSON: one key says what it is


def behind(rules: Rules, start: RuleChain) -> tuple[RuleChain, ...]:
    """The chains that a chain leads to, by however many jumps."""
    found = {start.key: start}
    waiting = [start]
    while waiting:
        for name in _targets(waiting.pop()):
            key = (start.key[0], start.table, name)
            other = rules.chains.get(key)
            if other is not None and key not in found:
                found[key] = other
                waiting.append(other)
    return tuple(found.values())[1:]


def _targets(chain: RuleChain) -> Iterator[str]:
    for line in chain.lines:
        for part in line.parts:
            if isinstance(part, Decision) and part.target:
                yield part.target
            elif isinstance(part, DecisionMap):
                yield from (one.target for one in part.decisions if one.target)


def makers(rules: Rules, chain: RuleChain) -> tuple[str, ...]:
    """Whose a chain is: its own maker, else those of the chains that it leads to; empty where no name says so."""
    own = owner(chain.table, chain.name)
    if own:
        return (own,)
    others = (owner(one.table, one.name) for one in behind(rules, chain))
    return tuple(dict.fromkeys(filter(None, others)))


def tool_of(chain: RuleChain) -> str:
    """The program of iptables(8) or ebtables(8) that changes a chain."""
    return PROGRAMS[chain.family] + ("-legacy" if chain.is_legacy else "")


def insert_words(chain: RuleChain, where: str = "") -> str:
    """The command that puts a line at the head of a chain, or of the one that is named, up to the line itself."""
    if chain.backend == "nft":
        return f"nft insert rule {chain}"
    table = "" if chain.table == "filter" else f"-t {chain.table} "
    return f"{tool_of(chain)} {table}-I {where or chain.name}"


def chain_words(chain: RuleChain) -> str:
    """``chain FORWARD of table ip filter (legacy) (Docker)``."""
    whose = owner(chain.table, chain.name)
    legacy = " (legacy)" if chain.is_legacy else ""
    return f"chain {chain.name} of table {chain.family} {chain.table}{legacy}" + (f" ({whose})" if whose else "")


def rule_words(statements: Iterable[Statement]) -> str:
    """A rule of nft as ``nft list ruleset`` prints it, without its counters; what has no value here word by word."""
    rest = [one for one in statements if "counter" not in one]
    read = read_rule({"family": "", "expr": rest})
    return (rule_text(read) if isinstance(read, Rule) else " ".join(map(_words, rest))) or "(an empty rule)"


def _words(statement: Statement) -> str:
    read = read_rule({"family": "", "expr": [statement]})
    if isinstance(read, Rule):
        return rule_text(read)
    ((kind, told),) = statement.items()
    if kind == "match":
        ((left, about),) = told["left"].items()
        sign = "" if told["op"] in {"==", "in"} else f"{told['op']} "
        return f"{left} {_flat(about)} {sign}{_flat(told['right'])}"
    return f"({told.get('name')})" if kind == "xt" and told else f"{kind} {_flat(told)}".rstrip()


def _flat(told: Any) -> str:
    if isinstance(told, dict | list):
        return " ".join(map(_flat, told.values() if isinstance(told, dict) else told))
    return "" if told is None else str(told)
