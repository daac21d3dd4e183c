"""Policy rules as ip-rule(8) writes them, which most dialects take over word by word."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from ipaddress import ip_network

from msgspec.structs import replace

from bascule.model.host_links import MAIN_TABLE, PolicyRule
from bascule.model.site_place import NOWHERE
from bascule.model.state import RoutingRule
from bascule.model.values import IfName
from bascule.persist.config import LinkConfig, NetworkConfig
from bascule.persist.formats.values import parse_number, parse_prefix, parse_table

_ARGUMENTS = {  # the words of ip-rule(8) and their short and old forms
    **dict.fromkeys(("from", "to", "iif", "fwmark", "table", "priority", "protocol"), ""),
    "dev": "iif",
    "lookup": "table",
    "pref": "priority",
    "preference": "priority",
    "prio": "priority",
    "order": "priority",
}


def rule_words(rule: PolicyRule) -> str:
    """The words behind ``ip rule add``."""
    words = ["priority", str(rule.priority), "from", str(rule.source or "all")]
    for key, value in (("to", rule.to), ("fwmark", rule.fwmark), ("iif", rule.iif)):
        words += [key, str(value)] if value is not None else []
    return " ".join([*words, "table", "main" if rule.table == MAIN_TABLE else str(rule.table)])


def parse_rule_words(given: list[str], *, ipv6: bool = False) -> PolicyRule:
    """A rule from the words behind ``ip rule add``; its priority is 0 where they leave it to the kernel.

    Raises ValueError for what a site file has no word for.
    """
    values: dict[str, str] = {}
    rest = list(given)
    while rest:
        word = rest.pop(0)
        if word not in _ARGUMENTS or not rest:
            raise ValueError(f"'{word}' of a rule is not supported")
        values[_ARGUMENTS[word] or word] = rest.pop(0)
    prefixes = {
        key: parse_prefix(values[key]) for key in ("from", "to") if values.get(key, "all") not in {"all", "any"}
    }
    mark = values.get("fwmark")
    return PolicyRule(
        priority=parse_number(values.get("priority", "0")),
        table=parse_table(values.get("table", "main")),
        source=ip_network(prefixes["from"]) if "from" in prefixes else None,
        to=ip_network(prefixes["to"]) if "to" in prefixes else None,
        iif=values.get("iif"),
        fwmark="/".join(f"{int(part, 0):#x}" for part in mark.split("/")) if mark else None,
        ipv6=ipv6 or any(":" in text for text in prefixes.values()),
    )


def is_same_rule(rule: PolicyRule, told: PolicyRule) -> bool:
    """Whether a rule is the one that a file says; where that leaves the priority to the kernel, it chose one."""
    return replace(rule, place=NOWHERE) == replace(told, place=NOWHERE, priority=rule.priority)


def kernel_rule(rule: RoutingRule) -> PolicyRule:
    """A rule that the kernel has. Raises ValueError for what a site file has no word for."""
    return parse_rule_words(["priority", str(rule.priority), *rule.words], ipv6=rule.ipv6)


def with_priorities(rules: Iterable[PolicyRule]) -> Iterator[PolicyRule]:
    """As the kernel has it: a rule without a priority is asked before all that are there already (fib_rules.c)."""
    first = {False: 32766, True: 32766}
    for rule in rules:
        given = replace(rule, priority=first[rule.ipv6] - 1) if rule.priority == 0 else rule
        first[rule.ipv6] = min(first[rule.ipv6], given.priority)
        yield given


def by_link(config: NetworkConfig) -> Mapping[IfName, list[PolicyRule]]:
    """The rules by the link in whose file they stand: the one that they name, whose address or whose table it is."""
    found: dict[IfName, list[PolicyRule]] = {}
    links = [link for link in config.links.values() if link.master is None]
    for rule in config.rules:
        home = next(
            (link for fits in _HOMES for link in links if fits(rule, link)),
            links[0] if links else None,
        )
        if home is not None:
            found.setdefault(home.name, []).append(rule)
    return found


def _names(rule: PolicyRule, link: LinkConfig) -> bool:
    return rule.iif == link.name


def _routes(rule: PolicyRule, link: LinkConfig) -> bool:
    return any(route.table == rule.table != MAIN_TABLE for route in link.routes)


def _speaks(rule: PolicyRule, link: LinkConfig) -> bool:
    return link.speaks and (not rule.ipv6 or any(":" in address for address in link.addresses))


_HOMES = (_names, _routes, _speaks)
