"""The chains of a firewall as they stand, whoever wrote them: nftables, iptables-nft, iptables-legacy."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import msgspec
from msgspec import Struct, field

from bascule.model.ruleset.owners import owner
from bascule.model.ruleset.rules import AnyTable, ForeignTable
from bascule.topology.firewall.xtables import XtChain, read_save

Statement = Mapping[str, Any]  # as in nft's JSON: one key says what it is
XT_TABLES = {"filter", "nat", "mangle", "raw", "security"}  # the names that iptables-nft gives to its tables
XT_FAMILIES = {"ip", "ip6"}
PRIORITIES = {"raw": -300, "mangle": -150, "filter": 0, "security": 50}  # of iptables-legacy's tables (linux/netfilter)


class FirewallRule(Struct, frozen=True, kw_only=True):
    """A rule: its statements from left to right, and how it reads in its own tool's words."""

    statements: tuple[Statement, ...]
    words: str
    comment: str = ""


class FirewallChain(Struct, frozen=True, kw_only=True):
    """A chain; one without a ``hook`` is reached from others only. ``tool`` changes it: nft, iptables and so on."""

    family: str
    table: str
    name: str
    tool: str
    rules: tuple[FirewallRule, ...] = ()
    hook: str = ""
    type: str = "filter"
    priority: int = 0
    policy: str = "accept"
    owner: str = ""

    def __str__(self) -> str:
        where = f"{self.family} {self.table}" + (" (legacy)" if "legacy" in self.tool else "")
        return f"chain {self.name} of table {where}" + (f" ({self.owner})" if self.owner else "")


class Firewall(Struct, frozen=True, kw_only=True):
    """All chains of others on a host, by family and table, and who calls them for bridged frames.

    ``called`` names the families (ip, ip6, arp) whose chains bridged frames have to pass on every bridge,
    ``called_on`` those of single bridges. ``gaps`` says what could not be read: no answer is certain then.
    """

    tables: Mapping[tuple[str, str], Mapping[str, FirewallChain]] = field(default_factory=dict)
    maps: Mapping[tuple[str, str], Mapping[str, Any]] = field(default_factory=dict)
    called: frozenset[str] = frozenset()
    called_on: Mapping[str, frozenset[str]] = field(default_factory=dict)
    gaps: tuple[str, ...] = ()

    def at(self, hook: str, families: Iterable[str]) -> Iterator[FirewallChain]:
        """The chains that filter at a hook, in the order of their priorities."""
        chains = [chain for table in self.tables.values() for chain in table.values()]
        wanted = set(families)
        found = [x for x in chains if x.hook == hook and x.family in wanted and x.type != "nat"]
        yield from sorted(found, key=lambda chain: chain.priority)

    @property
    def filters(self) -> bool:
        """Whether any chain of others filters here, or that could not be read."""
        return bool(self.gaps) or any(one.hook for chains in self.tables.values() for one in chains.values())

    def calls(self, family: str, bridge: str) -> bool:
        """Whether frames between the ports of a bridge have to pass the chains of a family."""
        return family in self.called or family in self.called_on.get(bridge, ())

    def table(self, chain: FirewallChain) -> Mapping[str, FirewallChain]:
        """All chains of the table that a chain stands in."""
        return next((chains for chains in self.tables.values() if chains.get(chain.name) is chain), {})

    def base(self, chain: FirewallChain) -> FirewallChain:
        """The chain that the kernel calls and that leads to another; the chain itself, if none does."""
        others = self.table(chain).values()
        leading = (one for one in others if one.hook and chain in self._behind(one))
        return chain if chain.hook else next(leading, chain)

    def owners(self, chain: FirewallChain) -> tuple[str, ...]:
        """Whose a chain is: its own maker, else those of the chains that it leads to."""
        behind = (one.owner for one in self._behind(chain))
        return (chain.owner,) if chain.owner else tuple(dict.fromkeys(filter(None, behind)))

    def _behind(self, start: FirewallChain) -> list[FirewallChain]:
        table = self.table(start)
        found = [start]
        for chain in found:  # it grows meanwhile
            told = [one.get("jump") or one.get("goto") for rule in chain.rules for one in rule.statements]
            targets = (table.get(one["target"]) for one in told if one)
            found += [one for one in targets if one is not None and all(one is not other for other in found)]
        return found[1:]


def firewall(
    tables: Mapping[str, AnyTable],
    saves: Mapping[str, str],
    *,
    called: Iterable[str] = (),
    called_on: Mapping[str, frozenset[str]] | None = None,
    gaps: Iterable[str] = (),
) -> Firewall:
    """The rules of others. ``saves`` are the texts of ``iptables-nft-save`` and its like, by the program's name."""
    found: dict[tuple[str, str], dict[str, FirewallChain]] = {}
    maps: dict[tuple[str, str], dict[str, Any]] = {}
    for table in tables.values():
        if isinstance(table, ForeignTable):
            tool, save = _tool(table), saves.get(f"{_tool(table)}-nft-save", "")
            key = (table.family, table.name)
            found[key], maps[key] = _read(table, tool, read_save(save).get(table.name, {}))
    for family, tool in (("ip", "iptables-legacy"), ("ip6", "ip6tables-legacy")):
        for name, chains in read_save(saves.get(f"{tool}-save", "")).items():
            found[family, f"{name}\0legacy"] = dict(_legacy(family, name, tool, chains))
    return Firewall(tables=found, maps=maps, called=frozenset(called), called_on=called_on or {}, gaps=tuple(gaps))


def is_of_iptables(table: AnyTable) -> bool:
    """Whether a table may be one of iptables-nft, whose extensions nft does not show."""
    return table.family in XT_FAMILIES and table.name in XT_TABLES


def _tool(table: AnyTable) -> str:
    if is_of_iptables(table):
        return "iptables" if table.family == "ip" else "ip6tables"
    return "nft"


def _read(
    table: ForeignTable, tool: str, saved: Mapping[str, XtChain]
) -> tuple[dict[str, FirewallChain], dict[str, Any]]:
    heads: dict[str, Any] = {}
    rules: dict[str, list[Any]] = {}
    maps: dict[str, Any] = {}
    for entry in msgspec.json.decode(table.content):
        ((kind, told),) = entry.items()
        if kind == "chain":
            heads[told["name"]] = told
        elif kind == "rule":
            rules.setdefault(told["chain"], []).append(told)
        elif kind in {"set", "map"}:
            maps[told["name"]] = told
    chains = {
        name: FirewallChain(
            family=table.family,
            table=table.name,
            name=name,
            tool=tool,
            rules=tuple(_joined(rules.get(name, ()), saved.get(name))),
            hook=head.get("hook", ""),
            type=head.get("type", "filter"),
            priority=head.get("prio", 0),
            policy=head.get("policy", "accept"),
            owner=owner(table.name, name),
        )
        for name, head in heads.items()
    }
    return chains, maps


def _joined(told: Iterable[Any], saved: XtChain | None) -> Iterator[FirewallRule]:
    """What nft says of each rule; where it has an extension of iptables, what iptables itself says at that place."""
    rows = list(told)
    same = saved is not None and len(saved.rules) == len(rows)
    for place, row in enumerate(rows):
        xt = saved.rules[place] if saved is not None and same else None
        opaque = any("xt" in statement for statement in row["expr"])
        statements = xt.statements if xt is not None and opaque else row["expr"]
        words = xt.words if xt is not None else rule_words(row["expr"])
        yield FirewallRule(statements=tuple(statements), words=words, comment=row.get("comment", ""))


def _legacy(family: str, table: str, tool: str, chains: Mapping[str, XtChain]) -> Iterator[tuple[str, FirewallChain]]:
    for name, chain in chains.items():
        rules = tuple(FirewallRule(statements=rule.statements, words=rule.words) for rule in chain.rules)
        yield (
            name,
            FirewallChain(
                family=family,
                table=table,
                name=name,
                tool=tool,
                rules=rules,
                hook=name.lower() if chain.policy else "",
                type="nat" if table == "nat" else "filter",
                priority=PRIORITIES.get(table, 0),
                policy=(chain.policy or "accept").lower(),
                owner=owner(table, name),
            ),
        )


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
