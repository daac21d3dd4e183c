"""Which rules ask for a link by its name. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from fnmatch import fnmatchcase

from msgspec import Struct

from bascule.topology.trace.rules.lines import DecisionMap, Part, RuleChain, RuleLine, Rules
from bascule.topology.trace.rules.tests import Bounds, Field, Test

DEVICES = frozenset(
    f"meta {name}"
    for name in ("iif", "iifname", "oif", "oifname", "ibrname", "obrname", "sdif", "sdifname", "physin", "physout")
)

GROUPS = re.compile(r"(?:[io]ifgroup|--(?:src|dst)-group) (?:!= )?(\{[^}]*\}|\S+)")  # of links (ip-link(8))


class NamingRule(Struct, frozen=True, kw_only=True):
    """A rule that names a link, itself or by a pattern. ``except_it``: it is about every other link."""

    chain: RuleChain
    line: RuleLine
    except_it: bool = False


def rules_naming(rules: Rules, link: str, other: str = "") -> Iterator[NamingRule]:
    """The rules that ask for a link, by its name or by a pattern that ``other`` does not fit."""
    for chain in rules.chains.values():
        for line in chain.lines:
            found = [
                negated
                for part in line.parts
                for names, negated in _asked(part)
                if any(_fits(name, link) and not (other and _fits(name, other)) for name in names)
            ]
            if found:
                yield NamingRule(chain=chain, line=line, except_it=all(found))


def rules_naming_group(rules: Rules, group: str) -> Iterator[NamingRule]:
    """The rules that ask for links by this group of theirs."""
    for chain in rules.chains.values():
        for line in chain.lines:
            said = {word for found in GROUPS.findall(line.text) for word in re.findall(r"[\w.-]+", found)}
            if any(_number(word) == _number(group) for word in said):
                yield NamingRule(chain=chain, line=line)


def _number(word: str) -> int | str:
    try:
        return int(word, 0)
    except ValueError:
        return word


def names_of_links(rules: Rules) -> frozenset[str]:
    """Every name and pattern that rules ask a device by."""
    kept: frozenset[str] | None = rules.__dict__.get("_names_of_links")
    if kept is None:
        asked = (names for line in rules.lines for part in line.parts for names, _ in _asked(part))
        kept = rules.__dict__["_names_of_links"] = frozenset(name for names in asked for name in names)
    return kept


def links_with_chains(rules: Rules) -> frozenset[str]:
    """The links that chains of family netdev hang on."""
    kept: frozenset[str] | None = rules.__dict__.get("_links_with_chains")
    if kept is None:
        names = (name for base in rules.bases for name in base.device.split(","))
        kept = rules.__dict__["_links_with_chains"] = frozenset(filter(None, names))
    return kept


def fits(pattern: str, link: str) -> bool:
    """Whether a name is that of a link, or a pattern that it fits."""
    return pattern == link or ("*" in pattern and fnmatchcase(link, pattern))


def _fits(pattern: str, link: str) -> bool:
    return pattern != "*" and fits(pattern, link)


def _asked(part: Part) -> Iterator[tuple[set[str], bool]]:
    """The names of links that a test compares with, and whether it asks for all others."""
    if not isinstance(part, Test | DecisionMap):
        return
    for place, key in enumerate(part.keys):
        if isinstance(key, Field) and key.key in DEVICES:
            names = set(_texts(place, part.exact)) | set(_texts(place, part.ranged))
            yield names, isinstance(part, Test) and part.negated


def _texts(place: int, elements: Iterable[tuple[Bounds | int, ...]]) -> Iterator[str]:
    for one in elements:
        if place < len(one) and isinstance(name := one[place], str):
            yield name
