"""From ``nft -j list ruleset`` (libnftables-json(5)) to chains that a packet can be walked through.

What nft tells and this does not understand becomes a doubt in its place, never a rule that is left out.
Facts of nft 1.0.6 (measured): the device of a netdev chain is in its text alone; the tests that a field of a header
implies (``meta l4proto`` of ``tcp dport``) are left out of the JSON; of a dynamic set the flag is left out.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from bascule.model.ruleset.nft_json import NotUnderstood, by_table
from bascule.topology.trace.rules.expressions import GOING_ON, SILENT, TableReader
from bascule.topology.trace.rules.joined import spread
from bascule.topology.trace.rules.lines import Base, Decision, RuleChain, RuleLine
from bascule.topology.trace.rules.tests import UncertainTest

XT_TABLES = {"filter", "nat", "mangle", "raw", "security"}  # the names that iptables-nft gives to its tables
Json = Mapping[str, Any]
Key = tuple[str, str, str]


def read_nft(
    objects: Iterable[Json],
    texts: Mapping[tuple[str, str, int], str] | None = None,
    devices: Mapping[Key, str] | None = None,
) -> dict[Key, RuleChain]:
    """The chains of all tables, by family, table and name.

    ``texts`` has the words of rules by family, table and handle, and ``devices`` what netdev chains hang on: both are
    of ``nft -a list ruleset``.
    """
    found: dict[Key, RuleChain] = {}
    for (family, table), members in by_table(objects).items():
        for chain in _table(family, table, members, texts or {}, devices or {}, born=len(found)):
            found[chain.key] = chain
    return found


def _table(
    family: str,
    table: str,
    members: list[Json],
    texts: Mapping[tuple[str, str, int], str],
    devices: Mapping[Key, str],
    *,
    born: int,
) -> Iterable[RuleChain]:
    reader = TableReader(family, members)
    lines: dict[str, list[RuleLine]] = {}
    for entry in members:
        if (told := entry.get("rule")) is not None:
            handle = told.get("handle", 0)
            words = texts.get((family, table, handle), "")
            lines.setdefault(told["chain"], []).extend(spread(_line(reader, told, words)))
    heads = [entry["chain"] for entry in members if "chain" in entry]
    called = [told["name"] for told in heads if "hook" in told]
    by_iptables = is_of_iptables(family, table) and bool(called) and all(map(str.isupper, called))
    for told in heads:
        born += 1
        name = told["name"]
        yield RuleChain(
            family=family,
            table=table,
            name=name,
            lines=tuple(lines.get(name, ())),
            base=_base(told, devices.get((family, table, name), ""), born) if "hook" in told else None,
            backend="iptables-nft" if by_iptables else "nft",
        )


def is_of_iptables(family: str, table: str) -> bool:
    """Whether a table may be one of iptables-nft, whose extensions nft does not show."""
    return family in {"ip", "ip6"} and table in XT_TABLES


def _base(told: Json, device: str, born: int) -> Base:
    devices = told.get("dev", device)
    return Base(
        type=told.get("type", "filter"),
        hook=told["hook"],
        priority=int(told["prio"]),
        policy=told.get("policy", "accept"),
        device=devices if isinstance(devices, str) else ",".join(devices),
        born=born,
    )


def _line(reader: TableReader, told: Json, words: str) -> RuleLine:
    parts: list[Any] = []
    for statement in told.get("expr", ()):
        try:
            parts += reader.parts(statement)
        except (NotUnderstood, KeyError, TypeError, ValueError, AttributeError) as error:
            parts.append(UncertainTest(f"{' '.join(statement)} {error}".strip()))
            parts += [Decision("unknown", one) for one in statement if one not in {"match", *SILENT, *GOING_ON}]
    return RuleLine(parts=tuple(parts), handle=told.get("handle", 0), text=words, comment=str(told.get("comment", "")))


def read_text(listing: str) -> tuple[dict[tuple[str, str, int], str], dict[Key, str]]:
    """The words of each rule by its handle, and the devices of chains, from ``nft -a list ruleset``."""
    texts: dict[tuple[str, str, int], str] = {}
    devices: dict[Key, str] = {}
    family = table = chain = ""
    for raw in listing.splitlines():
        line, _, handle = raw.strip().rpartition(" # handle ")
        line = line or raw.strip()
        words = line.split()
        if not words:
            continue
        if not raw.startswith(("\t", " ")) and words[0] == "table":
            family, table, chain = words[1], words[2], ""
        elif words[0] == "chain" and raw.startswith("\tchain"):
            chain = words[1]
        elif words[0] == "type" and "hook" in words and ("device" in words or "devices" in words):
            devices[family, table, chain] = _devices(line)
        elif handle.isdigit() and chain:
            texts[family, table, int(handle)] = line
    return texts, devices


def _devices(line: str) -> str:
    """``device "e0"`` or ``devices = { e0, e1 }``."""
    told = re.split(r" devices? =? ?", line, maxsplit=1)[1].partition(" priority")[0]
    return ",".join(re.findall(r'[^\s",{}]+', told))
