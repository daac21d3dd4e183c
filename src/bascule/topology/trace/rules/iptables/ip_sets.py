"""Sets of addresses and ports that ipset(8) keeps, by which lines of iptables ask (``-m set --match-set``)."""

from __future__ import annotations

import itertools
import re
import shlex
from collections.abc import Collection, Iterable, Mapping, Sequence

from msgspec import Struct
from msgspec.structs import replace

from bascule.model.ruleset.nft_json import NotUnderstood
from bascule.topology.trace.rules.lines import RuleChain, RuleLine
from bascule.topology.trace.rules.names import PROTOCOLS
from bascule.topology.trace.rules.tests import AnyTest, Bounds, Constant, Expr, Field, InSet, Test, UncertainTest
from bascule.topology.trace.rules.values import address, mac, prefix

Key = tuple[str, str, str]

ASKS = "--match-set"
CHANGES = re.compile(r"--(?:add|del|map)-set (\S+)")
TCP_TO_UDP = (6, 17)  # of what has neither, a set of ports alone knows no port (ip_set_get_ip_port())
MOST_NESTED = 4


class IpSet(Struct, frozen=True):
    """A set as ``ipset save`` prints it: what its entries are of, its options, and its entries without their own."""

    parts: tuple[str, ...]
    options: Mapping[str, str]
    entries: tuple[str, ...]
    whole: bool = True  # whether all of it is understood


def read_sets(saved: str) -> dict[str, IpSet]:
    """The sets of ``ipset save``."""
    found: dict[str, IpSet] = {}
    for line in saved.splitlines():
        words = shlex.split(line)
        if words[:1] == ["create"] and len(words) > 2:
            kind, _, parts = words[2].partition(":")
            given = dict(itertools.pairwise(words))
            found[words[1]] = IpSet((kind,) if kind == "list" else tuple(parts.split(",")), given, ())
        elif words[:1] == ["add"] and len(words) > 2 and words[1] in found:
            one = found[words[1]]
            found[words[1]] = replace(one, entries=(*one.entries, words[2]), whole=one.whole and "nomatch" not in words)
    return found


def with_sets(chains: Mapping[Key, RuleChain], saves: Iterable[str], saved: str) -> dict[Key, RuleChain]:
    """The chains, their questions for sets answered by what ``ipset save`` printed."""
    moving = {name for text in saves for name in CHANGES.findall(text)}
    sets = read_sets(saved)
    return {
        key: replace(chain, lines=tuple(_answered(line, sets, moving) for line in chain.lines))
        if any(isinstance(part, InSet) for line in chain.lines for part in line.parts)
        else chain
        for key, chain in chains.items()
    }


def _answered(line: RuleLine, sets: Mapping[str, IpSet], moving: Collection[str]) -> RuleLine:
    parts = tuple(_test(part, sets, moving) if isinstance(part, InSet) else part for part in line.parts)
    return replace(line, parts=parts)


def _test(asked: InSet, sets: Mapping[str, IpSet], moving: Collection[str]) -> AnyTest:
    try:
        keys, elements = _elements(asked.name, asked.sides, sets)
    except (NotUnderstood, ValueError, KeyError):
        return UncertainTest(asked.reason)
    if asked.negated and any(isinstance(key, Field) and key.key.startswith("th ") for key in keys):
        return UncertainTest(asked.reason)  # what has no ports is not in it, and so meets the line
    return Test(keys, ranged=tuple(elements), negated=asked.negated, moving=asked.name in moving)


def _elements(
    name: str, sides: Sequence[str], sets: Mapping[str, IpSet], depth: int = 0
) -> tuple[tuple[Expr, ...], list[tuple[Bounds, ...]]]:
    """The fields that a set is asked for and its elements. Raises NotUnderstood, ValueError or KeyError."""
    found = sets[name]
    if not found.whole or depth > MOST_NESTED:
        raise NotUnderstood(name)
    if found.parts == ("list",):
        inner = [_elements(member, sides, sets, depth + 1) for member in found.entries]
        if len({keys for keys, _ in inner}) > 1:
            raise NotUnderstood(name)
        return (inner[0][0] if inner else (Constant(0),)), [one for _, elements in inner for one in elements]
    if len(sides) < len(found.parts):  # ip_set_test() says no to that
        return (Constant(0),), []
    version = "ip6" if found.options.get("family") == "inet6" else "ip"
    keys = [key for part, side in zip(found.parts, sides, strict=False) for key in _fields(part, side, version)]
    elements = [
        tuple(
            bounds
            for part, text in zip(found.parts, entry.split(","), strict=True)
            for bounds in _bounds(part, text, found.options)
        )
        for entry in found.entries
    ]
    return tuple(keys), elements


def _fields(part: str, side: str, version: str) -> list[Expr]:
    if part in {"ip", "net"}:
        return [Field(f"{version} {'saddr' if side == 'src' else 'daddr'}")]
    if part == "port":
        return [Field("meta l4proto"), Field("th sport" if side == "src" else "th dport")]
    if part == "iface":
        return [Field("meta iifname" if side == "src" else "meta oifname")]
    if part == "mac":
        return [Field("ether saddr" if side == "src" else "ether daddr")]
    if part == "mark":
        return [Field("meta mark")]
    raise NotUnderstood(part)


def _bounds(part: str, text: str, options: Mapping[str, str]) -> list[Bounds]:
    if part in {"ip", "net"}:
        low, dash, high = text.partition("-")
        if dash:
            return [(address(low), address(high))]
        length = options.get("netmask", "")
        return [prefix(text, int(length)) if length and "/" not in text else prefix(text)]
    if part == "port":
        protocol, colon, ports = text.rpartition(":")
        low, _, high = ports.partition("-")
        number = PROTOCOLS[protocol] if colon else 0
        return [(number, number) if colon else TCP_TO_UDP, (int(low), int(high or low))]
    if part == "iface":
        if ":" in text:  # physdev:NAME, the port of a bridge
            raise NotUnderstood(text)
        return [text]
    value = mac(text) if part == "mac" else int(text, 0)
    return [(value, value)]
