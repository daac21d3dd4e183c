"""From what ``iptables-save`` and ``ebtables-save`` print to chains: of legacy whole, else what nft's JSON hides.

nft tells an extension of iptables (a match or a target of x_tables) by its name alone. The same line stands in
``iptables-nft-save`` at the same place of its chain, so the two are joined by position.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Iterator, Mapping, Sequence

from msgspec.structs import replace

from bascule.model.ruleset.nft_json import NotUnderstood
from bascule.model.values import grouped
from bascule.topology.trace.rules.iptables.frame_words import read_line as ebtables_line
from bascule.topology.trace.rules.iptables.words import parts_of
from bascule.topology.trace.rules.lines import Base, Decision, Part, RuleChain, RuleLine
from bascule.topology.trace.rules.tests import Field, Test, UncertainTest

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
EBTABLES = {  # NF_BR_PRI_* in linux/netfilter_bridge.h
    ("broute", "BROUTING"): -(1 << 31),
    ("nat", "PREROUTING"): -300,
    ("nat", "OUTPUT"): 100,
    ("nat", "POSTROUTING"): 300,
    **{("filter", hook): place for hook, place in (("INPUT", -200), ("FORWARD", -200), ("OUTPUT", 200))},
}
DROP = Decision("drop")
ETHER_TYPE = Field("ether type")
HOOKS = {"BROUTING": "prerouting"}


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
    """The chains of ``iptables-legacy-save`` and ``ip6tables-legacy-save``, of ``ebtables-legacy-save`` for bridge."""
    bridged = family == "bridge"
    priorities = EBTABLES if bridged else PRIORITIES
    policies: dict[tuple[str, str], str] = {}
    lines: dict[tuple[str, str], list[RuleLine]] = {}
    for table, chain, words in saved_lines(text):
        if words.startswith(":"):
            policies[table, chain] = words[1:]
            continue
        own = lines.setdefault((table, chain), [])
        number = len(own) + 1
        own.append(ebtables_line(words, number) if bridged else read_line(words, number, family))
    found: dict[Key, RuleChain] = {}
    for (table, name), policy in policies.items():
        own, base = lines.get((table, name), []), None
        if (table, name) in priorities and policy != "-":
            kind = "filter" if bridged else {("nat", name): "nat", ("mangle", "OUTPUT"): "route"}.get((table, name))
            hook = HOOKS.get(name, name.lower())
            place = priorities[table, name]
            base = Base(type=kind or "filter", hook=hook, priority=place, policy=policy.lower())
        elif bridged:  # a chain of one's own has a policy as well
            own = [*own, RuleLine(parts=(Decision(policy.lower()),), handle=len(own) + 1, text=f"-P {name} {policy}")]
        if table == "broute":
            own, base = list(map(_brouted, own)), base and replace(base, policy="accept")
            own += [_brouted(RuleLine(parts=(DROP,), text=f"-P {name} DROP"))] if policy == "DROP" else []
        read = RuleChain(
            family=family,
            table=table,
            name=name,
            lines=tuple(own),
            base=base,
            backend="ebtables-legacy" if bridged else "iptables-legacy",
        )
        found[read.key] = read
    return found


def _brouted(line: RuleLine) -> RuleLine:
    """A line of the table broute, where DROP hands a frame up to the host, past the bridge: no walk follows that."""
    parts = tuple(Decision("unknown", "broute") if part == DROP else part for part in line.parts)
    return replace(line, parts=parts)


def read_line(words: str, number: int = 0, family: str = "ip") -> RuleLine:
    """One line; ``number`` is its place in the chain, which iptables shows with --line-numbers."""
    try:
        parts, comment = parts_of(shlex.split(words)[2:], family)
    except (NotUnderstood, ValueError, IndexError, KeyError) as error:
        return RuleLine(parts=(UncertainTest(f"{error}"), Decision("unknown", "iptables")), handle=number, text=words)
    return RuleLine(parts=tuple(parts), handle=number, text=words, comment=comment)


def with_extensions(
    chains: Mapping[Key, RuleChain], saved: str, family: str, opaque: Iterable[Key]
) -> dict[Key, RuleChain]:
    """Chains of iptables-nft or ebtables-nft with the words of their ``-save`` in place of what nft's JSON hides.

    ``opaque`` are those in which something is hidden. Where the two have not the same number of lines, nothing is
    joined, and what is hidden stays a doubt.
    """
    by_chain = grouped(((table, name), words) for table, name, words in saved_lines(saved) if not words.startswith(":"))
    found, hidden, bridged = dict(chains), set(opaque), family == "bridge"
    for key, chain in chains.items():
        if chain.family != family or (chain.table, chain.name) not in by_chain:
            continue
        texts = by_chain[chain.table, chain.name]
        more = chain.lines[len(texts) :]
        if len(texts) > len(chain.lines) or (more and not (bridged and _is_policy(chain, more))):
            continue
        lines = tuple(
            (_of_ebtables(line, text) if bridged else _of_iptables(line, text, family))
            if key in hidden and _is_hidden(line)
            else replace(line, text=text, parts=(*(_unseen_type(line, text) if bridged else ()), *line.parts))
            for line, text in zip(chain.lines, texts, strict=False)
        )
        found[key] = replace(chain, lines=(*lines, *more), backend=chain.backend if bridged else "iptables-nft")
    return found


def _of_iptables(line: RuleLine, text: str, family: str) -> RuleLine:
    said = read_line(text, line.handle, family)
    return replace(said, comment=line.comment or said.comment)


def _of_ebtables(line: RuleLine, text: str) -> RuleLine:
    return ebtables_line(text, line.handle)


def _unseen_type(line: RuleLine, text: str) -> tuple[Part, ...]:
    """``-p 802_1Q``, which nft does not list before a look at a MAC and an address together (1.0.6, measured)."""
    words = shlex.split(text)
    if "-p" not in words[:-2] or any(isinstance(part, Test) and ETHER_TYPE in part.keys for part in line.parts):
        return ()
    place = words.index("-p")
    asked = words[place : place + (3 if words[place + 1] == "!" else 2)]
    said = ebtables_line(shlex.join([*words[:2], *asked, "-j", "CONTINUE"]))
    return tuple(part for part in said.parts if isinstance(part, Test))


def _is_policy(chain: RuleChain, more: Sequence[RuleLine]) -> bool:
    """Whether the lines that ebtables-nft does not print are the policy of a chain of one's own."""
    return chain.base is None and len(more) == 1 and all(isinstance(part, Decision) for part in more[0].parts)


def _is_hidden(line: RuleLine) -> bool:
    return any(isinstance(part, UncertainTest) and part.reason.endswith("of iptables") for part in line.parts)


def opaque_chains(chains: Mapping[Key, RuleChain]) -> tuple[Key, ...]:
    """The chains in which nft's JSON hides something."""
    return tuple(key for key, chain in chains.items() if any(map(_is_hidden, chain.lines)))
