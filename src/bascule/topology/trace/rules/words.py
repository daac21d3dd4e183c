"""A rule of nft's JSON in a few words, near to what ``nft list ruleset`` prints; and whose a chain is. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from bascule.model.ruleset.owners import owner
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
    """A rule of nft in a few words, near to what ``nft list ruleset`` prints."""
    return " ".join(filter(None, map(_words, statements))) or "(an empty rule)"


def _words(statement: Statement) -> str:
    ((kind, told),) = statement.items()
    if kind == "counter":
        return ""
    if kind == "match":
        sign = "" if told["op"] in {"==", "in"} else f"{told['op']} "
        return f"{_value(told['left'])} {sign}{_value(told['right'])}"
    if kind in {"jump", "goto"}:
        return f"{kind} {told['target']}"
    if kind == "reject":
        return "reject" + (f" with {told['type']} {told.get('expr', '')}".rstrip() if told else "")
    if kind == "vmap":
        return f"{_value(told['key'])} vmap {_value(told['data'])}"
    if kind == "xt" and told:
        return f"({told.get('name')})"
    return kind


def _value(told: Any) -> str:
    if isinstance(told, list):
        return "{ " + ", ".join(map(_value, told)) + " }"
    if isinstance(told, bool):
        return "exists" if told else "missing"
    if not isinstance(told, dict):
        return str(told)
    ((kind, inner),) = told.items() if len(told) == 1 else ((next(iter(told)), told),)
    if kind in {"meta", "rt", "socket"} and isinstance(inner, dict):
        key = str(inner.get("key", ""))
        return key if key in {"iifname", "oifname", "iif", "oif"} else f"{kind} {key}"
    if kind == "ct":
        return f"ct {inner.get('key', '')}"
    if kind == "payload":
        return f"{inner.get('protocol', '@' + str(inner.get('base', '')))} {inner.get('field', '')}".strip()
    if kind == "fib":
        flags = inner["flags"] if isinstance(inner["flags"], list) else [inner["flags"]]
        return f"fib {' . '.join(flags)} {inner['result']}"
    if kind == "prefix":
        return f"{inner['addr']}/{inner['len']}"
    if kind == "range":
        return "-".join(map(_value, inner))
    if kind == "concat":
        return " . ".join(map(_value, inner))
    if kind == "set":
        return _value(inner) if isinstance(inner, list | dict) else str(inner)
    return str(kind)
