"""Which rules of others ask for a link by its name. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from fnmatch import fnmatchcase
from typing import Any

from msgspec import Struct

from bascule.topology.firewall.rules import Firewall, FirewallChain, FirewallRule

DEVICE_KEYS = {"iif", "iifname", "oif", "oifname", "ibrname", "obrname", "sdif", "sdifname"}


class NamingRule(Struct, frozen=True, kw_only=True):
    """A rule that names a link, itself or by a pattern. ``except_it``: it is about every other link."""

    chain: FirewallChain
    rule: FirewallRule
    except_it: bool = False


def rules_naming(firewall: Firewall, link: str, other: str = "") -> Iterator[NamingRule]:
    """The rules that ask for a link, by its name or by a pattern that ``other`` does not fit."""
    for chains in firewall.tables.values():
        for chain in chains.values():
            for rule in chain.rules:
                found = [
                    negated
                    for statement in rule.statements
                    for names, negated in _asked(firewall, chain, statement)
                    if any(_fits(name, link) and not (other and _fits(name, other)) for name in names)
                ]
                if found:
                    yield NamingRule(chain=chain, rule=rule, except_it=all(found))


def _fits(pattern: str, link: str) -> bool:
    return pattern == link or ("*" in pattern and pattern != "*" and fnmatchcase(link, pattern))


def _asked(firewall: Firewall, chain: FirewallChain, statement: Any) -> Iterator[tuple[set[str], bool]]:
    """The names of links that a statement compares with, and whether it asks for all others."""
    ((kind, told),) = statement.items()
    if kind == "match" and _is_device(told["left"]):
        yield set(_texts(firewall, chain, told["right"])), told["op"] == "!="
    elif kind == "vmap" and _is_device(told["key"]):
        yield set(_texts(firewall, chain, told["data"])), False
    elif kind == "physdev" and told["what"] in {"in", "out"}:
        yield {str(told["value"]).replace("+", "*")}, bool(told.get("negated"))


def _is_device(told: Any) -> bool:
    if isinstance(told, list):
        return any(map(_is_device, told))
    if not isinstance(told, dict):
        return False
    return any((key == "key" and value in DEVICE_KEYS) or _is_device(value) for key, value in told.items())


def _texts(firewall: Firewall, chain: FirewallChain, told: Any) -> Iterator[str]:
    """Every text in a value, those of a named set included."""
    if isinstance(told, str):
        yield told
        if told.startswith("@"):
            named = firewall.maps.get((chain.family, chain.table), {}).get(told[1:], {})
            yield from _texts(firewall, chain, named.get("elem", []))
    elif isinstance(told, list):
        for one in told:
            yield from _texts(firewall, chain, one)
    elif isinstance(told, dict):
        for one in told.values():
            yield from _texts(firewall, chain, one)
