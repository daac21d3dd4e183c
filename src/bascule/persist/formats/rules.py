"""Policy rules as ip-rule(8) writes them, which most dialects take over word by word."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from ipaddress import ip_network

from msgspec.structs import replace

from bascule.model.host_links import MAIN_TABLE, RULE_ENDS, PolicyRule
from bascule.model.site_place import NOWHERE
from bascule.model.state import RoutingRule
from bascule.model.values import IP_PROTOCOLS, IfName, parse_fwmark, parse_ip_protocol, parse_span
from bascule.persist.config import LinkConfig, NetworkConfig
from bascule.persist.formats.values import parse_number, parse_prefix, parse_table

SELECTORS = ("fwmark", "iif", "oif", "ipproto", "sport", "dport", "uidrange")
_ARGUMENTS = {  # the words of ip-rule(8) and their short and old forms
    **dict.fromkeys(("from", "to", "table", "priority", "protocol", *SELECTORS, "suppress_prefixlength"), ""),
    "sup_pl": "suppress_prefixlength",
    "suppress_pl": "suppress_prefixlength",
    "dev": "iif",
    "lookup": "table",
    "pref": "priority",
    "preference": "priority",
    "prio": "priority",
    "order": "priority",
}


def rule_words(rule: PolicyRule, *, by_number: bool = False) -> str:
    """The words behind ``ip rule add``; ``by_number``: with the number of a protocol, where it is known."""
    if by_number and rule.ipproto is not None:
        numbers = {name: number for number, name in IP_PROTOCOLS.items()}
        rule = replace(rule, ipproto=numbers.get(rule.ipproto, rule.ipproto))
    words = [*(["not"] if rule.inverted else []), "priority", str(rule.priority), "from", str(rule.source or "all")]
    words += ["to", str(rule.to)] if rule.to is not None else []
    words += [word for pair in rule.selectors for word in pair]
    words += [rule.action] if rule.action else ["table", "main" if rule.table == MAIN_TABLE else str(rule.table)]
    suppressed = rule.suppress_prefixlength
    return " ".join(words + (["suppress_prefixlength", str(suppressed)] if suppressed is not None else []))


def parse_rule_words(given: list[str], *, ipv6: bool = False) -> PolicyRule:
    """A rule from the words behind ``ip rule add``; its priority is 0 where they leave it to the kernel.

    Raises ValueError for what a site file has no word for.
    """
    values: dict[str, str] = {}
    ends = [word for word in given if word in RULE_ENDS]
    rest = [word for word in given if word not in {"not", *RULE_ENDS}]
    while rest:
        word = rest.pop(0)
        if word not in _ARGUMENTS or not rest:
            raise ValueError(f"'{word}' of a rule is not supported")
        values[_ARGUMENTS[word] or word] = rest.pop(0)
    prefixes = {
        key: parse_prefix(values[key]) for key in ("from", "to") if values.get(key, "all") not in {"all", "any"}
    }
    if len(ends) > 1 or (ends and "table" in values):
        raise ValueError(f"'{ends[-1]}' beside another end of a rule is not supported")
    mark, suppressed = values.get("fwmark"), values.get("suppress_prefixlength")
    return PolicyRule(
        priority=parse_number(values.get("priority", "0")),
        table=None if ends else parse_table(values.get("table", "main")),
        action=ends[0] if ends else None,
        source=ip_network(prefixes["from"]) if "from" in prefixes else None,
        to=ip_network(prefixes["to"]) if "to" in prefixes else None,
        iif=values.get("iif"),
        oif=values.get("oif"),
        ipproto=parse_ip_protocol(values["ipproto"]) if "ipproto" in values else None,
        sport=parse_span(values["sport"], 65535) if "sport" in values else None,
        dport=parse_span(values["dport"], 65535) if "dport" in values else None,
        uidrange=parse_span(values["uidrange"], 2**32 - 1, always=True) if "uidrange" in values else None,
        inverted="not" in given,
        suppress_prefixlength=None if suppressed in {None, "-1"} else parse_number(suppressed or "", 0, 128),
        fwmark=parse_fwmark(mark) if mark not in {None, "0", "0x0"} else None,
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
    return link.name in {rule.iif, rule.oif}


def _routes(rule: PolicyRule, link: LinkConfig) -> bool:
    return any(route.table == rule.table not in {MAIN_TABLE, None} for route in link.routes)


def _speaks(rule: PolicyRule, link: LinkConfig) -> bool:
    return link.has_address and (not rule.ipv6 or any(":" in address for address in link.addresses))


_HOMES = (_names, _routes, _speaks)
