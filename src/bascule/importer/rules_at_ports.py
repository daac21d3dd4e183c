"""Others' rules of layer 2 at single ports (nft's bridge family, ebtables, libvirt's nwfilter), for the notes. Pure.

They stay where they are, and a plan never touches them. What they hold a guest to is told, and the guard that says so.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from msgspec import Struct, field

from bascule.importer.words import few
from bascule.model.ruleset.owners import owner
from bascule.model.ruleset.rules import AnyTable, ForeignTable
from bascule.model.values import grouped

Json = dict[str, Any]

_FIELDS = {  # what a rule compares: in words, and the guard that compares it as well
    ("ether", "saddr"): ("MAC", "mac"),
    ("arp", "saddr ether"): ("MAC in ARP", "mac"),
    ("ip", "saddr"): ("IPv4 address", "strict"),
    ("arp", "saddr ip"): ("IPv4 address in ARP", "strict"),
    ("ip6", "saddr"): ("IPv6 address", "strict"),
}
_EXTENSIONS = {"ip": "IPv4", "ip6": "IPv6", "arp": "ARP"}  # of ebtables, whose values nft does not show
MOST = 40  # rules that a note spells out
_DEEPEST = 8  # chains that lead to each other


class _Held(Struct):
    """What the rules of one table compare of the frames that come from a port."""

    values: dict[str, list[str]] = field(default_factory=dict)
    hidden: list[str] = field(default_factory=list)
    levels: set[str] = field(default_factory=set)
    rules: int = 0
    apart: bool = False  # from another port


def rules_at_ports(tables: Mapping[str, AnyTable]) -> Iterator[str]:
    """A sentence for each port of each table of somebody else."""
    for table in tables.values():
        if isinstance(table, ForeignTable) and table.family == "bridge":
            yield from _table(table)


def has_extensions(tables: Mapping[str, AnyTable]) -> bool:
    """Whether ebtables made a rule that compares or does something in a way of its own."""
    foreign = (table for table in tables.values() if isinstance(table, ForeignTable) and table.family == "bridge")
    return any('"xt"' in table.content for table in foreign)


def extension_rules(saved: str) -> Iterator[str]:
    """The rules of ``ebtables-save`` with words of extensions, whose values nft does not show."""
    found: dict[str, list[str]] = {}
    table = ""
    for line in saved.splitlines():
        if line.startswith("*"):
            table = line[1:].strip()
        elif line.startswith("-A ") and " --" in line:
            found.setdefault(table, []).append(line)
    for name, lines in found.items():
        shown = [*lines[:MOST], *([f"and {len(lines) - MOST} more"] if lines[MOST:] else [])]
        yield f"ebtables, table {name}: {'; '.join(shown)}; they stay"


def _table(table: ForeignTable) -> Iterator[str]:
    rules = [entry["rule"] for entry in _entries(table.content) if "rule" in entry]
    chains = grouped((rule["chain"], rule) for rule in rules)
    found: dict[str, tuple[_Held, str]] = {}
    for rule in rules:
        for port in _ports(rule, "iifname"):
            held, _ = found.setdefault(port, (_Held(), ""))
            _read(rule, chains, held, 0)
            found[port] = held, owner(table.name, rule["chain"], targets=_targets(rule))
    for port, (held, whose) in sorted(found.items()):
        yield _sentence(port, held, f"table {table.key}" + (f" ({whose})" if whose else ""))


def _sentence(port: str, held: _Held, where: str) -> str:
    parts = [f"its {what} ({', '.join(few(dict.fromkeys(values), 'of them'))})" for what, values in held.values.items()]
    parts += [f"its {what} by a match that nft does not show" for what in dict.fromkeys(held.hidden)]
    words = (
        f"restricts the guest to {', '.join(parts)}"
        if parts
        else f"has {held.rules} {'rule' if held.rules == 1 else 'rules'} for it"
    )
    words += "; keeps it from another port" if held.apart else ""
    level = "strict" if "strict" in held.levels else "mac" if held.levels else ""
    key = f"; 'guard: {level}' at the guest's NIC says so and more, in its place" if level else ""
    return f"{port}: {where} {words}; it stays{key}"


def _read(rule: Json, chains: Mapping[str, list[Json]], held: _Held, depth: int) -> None:
    """What a rule compares, and those that it leads to."""
    held.rules += 1
    held.apart |= bool([*_ports(rule, "oifname")]) and any("drop" in part for part in rule["expr"])
    for part in rule["expr"]:
        match = part.get("match") if isinstance(part, dict) else None
        for left, right in _compared(match) if match else ():
            what = _FIELDS.get((left.get("protocol", ""), left.get("field", "")))
            if what is not None:
                held.values.setdefault(what[0], []).append(right)
                held.levels.add(what[1])
        extension = part.get("xt") if isinstance(part, dict) else None
        if extension and extension.get("name") in _EXTENSIONS:
            held.hidden.append(_EXTENSIONS[extension["name"]])
            held.levels.add("strict")
    for target in _targets(rule) if depth < _DEEPEST else ():
        for below in chains.get(target, ()):
            _read(below, chains, held, depth + 1)


def _compared(match: Json) -> Iterator[tuple[Json, str]]:
    """The fields of a packet on the left, each with what stands on the right."""
    left = match["left"]
    fields = left["concat"] if isinstance(left, dict) and "concat" in left else [left]
    for one in fields:
        if isinstance(one, dict) and "payload" in one:
            yield one["payload"], ", ".join(_texts(match["right"]))


def _ports(rule: Json, key: str) -> Iterator[str]:
    for part in rule["expr"]:
        match = part.get("match") if isinstance(part, dict) else None
        if match and match["left"] == {"meta": {"key": key}} and match.get("op") in {"==", "in"}:
            yield from _texts(match["right"])


def _targets(rule: Json) -> list[str]:
    said = [part[verb]["target"] for part in rule["expr"] for verb in ("jump", "goto") if verb in part]
    return [str(target) for target in said]


def _texts(right: Any) -> Iterator[str]:
    """``"vnet1"``, ``{"set": […]}``, ``{"prefix": {…}}``, ``"@ok"``."""
    if isinstance(right, dict) and "prefix" in right:
        yield f"{right['prefix']['addr']}/{right['prefix']['len']}"
    elif isinstance(right, dict):
        for value in right.values():
            yield from _texts(value)
    elif isinstance(right, list):
        for value in right:
            yield from _texts(value)
    else:
        yield f"the set {right[1:]}" if str(right).startswith("@") else str(right)


def _entries(content: str) -> Iterable[Json]:
    entries: list[Json] = json.loads(content or "[]")
    return entries
