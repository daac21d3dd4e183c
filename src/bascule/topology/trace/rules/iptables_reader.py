"""From what ``iptables-save`` prints to chains: of iptables-legacy whole, of iptables-nft what nft's JSON hides.

nft tells an extension of iptables (a match or a target of x_tables) by its name alone. The same line stands in
``iptables-nft-save`` at the same place of its chain, so the two are joined by position.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Iterator, Mapping

from msgspec.structs import replace

from bascule.model.ruleset.nft_json import NotUnderstood
from bascule.topology.trace.rules.iptables_words import parts_of
from bascule.topology.trace.rules.lines import Base, Decision, RuleChain, RuleLine
from bascule.topology.trace.rules.tests import Doubt

Key = tuple[str, str, str]

PRIORITIES = {
    ("raw", "PREROUTING"): -300,
    ("raw", "OUTPUT"): -300,
    **{("mangle", hook): -150 for hook in ("PREROUTING", "INPUT", "FORWARD", "OUTPUT", "POSTROUTING")},
    ("nat", "PREROUTING"): -100,
    ("nat", "OUTPUT"): -100,
    ("nat", "INPUT"): 100,
    ("nat", "POSTROUTING"): 100,
    **{("filter", hook): 0 for hook in ("INPUT", "FORWARD", "OUTPUT")},
    **{("security", hook): 50 for hook in ("INPUT", "FORWARD", "OUTPUT")},
}


def saved_lines(text: str) -> Iterator[tuple[str, str, str]]:
    """The table, the chain and the words of each line; of a chain itself the words are ``:POLICY``."""
    table = ""
    for raw in text.splitlines():
        line = raw.strip()
        if line.startswith("*"):
            table = line[1:]
        elif line.startswith(":"):
            name, policy = line[1:].split()[:2]
            yield table, name, f":{policy}"
        elif line.startswith("-A "):
            yield table, line.split(" ", 2)[1], line


def read_legacy(text: str, family: str) -> dict[Key, RuleChain]:
    """The chains of ``iptables-legacy-save`` or ``ip6tables-legacy-save``; ``family`` is ip or ip6."""
    policies: dict[tuple[str, str], str] = {}
    lines: dict[tuple[str, str], list[RuleLine]] = {}
    for table, chain, words in saved_lines(text):
        if words.startswith(":"):
            policies[table, chain] = words[1:]
        else:
            lines.setdefault((table, chain), []).append(read_line(words, len(lines.get((table, chain), ())) + 1))
    found: dict[Key, RuleChain] = {}
    for (table, name), policy in policies.items():
        base = None
        if policy != "-" and (table, name) in PRIORITIES:
            kind = "nat" if table == "nat" else "filter"
            place = PRIORITIES[table, name]
            base = Base(type=kind, hook=name.lower(), priority=place, policy=policy.lower())
        read = RuleChain(
            family=family,
            table=table,
            name=name,
            lines=tuple(lines.get((table, name), ())),
            base=base,
            backend="iptables-legacy",
        )
        found[read.key] = read
    return found


def read_line(words: str, number: int = 0) -> RuleLine:
    """One line; ``number`` is its place in the chain, which iptables shows with --line-numbers."""
    try:
        parts, comment = parts_of(shlex.split(words)[2:])
    except (NotUnderstood, ValueError, IndexError, KeyError) as error:
        return RuleLine(parts=(Doubt(f"{error}"), Decision("unknown", "iptables")), handle=number, text=words)
    return RuleLine(parts=tuple(parts), handle=number, text=words, comment=comment)


def with_extensions(
    chains: Mapping[Key, RuleChain], saved: str, family: str, opaque: Iterable[Key]
) -> dict[Key, RuleChain]:
    """Chains of iptables-nft with the words of ``iptables-nft-save`` in place of what nft's JSON hides.

    ``opaque`` are those in which something is hidden. Where the two have not the same number of lines, nothing is
    joined, and what is hidden stays a doubt.
    """
    by_chain: dict[tuple[str, str], list[str]] = {}
    for table, name, words in saved_lines(saved):
        if not words.startswith(":"):
            by_chain.setdefault((table, name), []).append(words)
    found = dict(chains)
    hidden = set(opaque)
    for key, chain in chains.items():
        if chain.family != family or (chain.table, chain.name) not in by_chain:
            continue
        texts = by_chain[chain.table, chain.name]
        if len(texts) != len(chain.lines):
            continue
        lines = tuple(
            replace(read_line(text, line.handle), comment=line.comment or read_line(text).comment)
            if key in hidden and _is_hidden(line)
            else replace(line, text=text)
            for line, text in zip(chain.lines, texts, strict=True)
        )
        found[key] = replace(chain, lines=lines, backend="iptables-nft")
    return found


def _is_hidden(line: RuleLine) -> bool:
    return any(isinstance(part, Doubt) and part.reason.endswith("of iptables") for part in line.parts)


def opaque_chains(chains: Mapping[Key, RuleChain]) -> tuple[Key, ...]:
    """The chains in which nft's JSON hides something."""
    return tuple(key for key, chain in chains.items() if any(map(_is_hidden, chain.lines)))
