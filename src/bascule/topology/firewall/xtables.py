"""What ``iptables-save`` and its like print, as the statements that nft's JSON would have for the same.

nft shows an extension of iptables by its name alone; here are those of them that decide on whom a rule is about. An
option that is not known here becomes a test whose outcome is unknown.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping
from typing import Any

from msgspec import Struct

Statements = tuple[Mapping[str, Any], ...]
UNKNOWN: Mapping[str, Any] = {"opaque": None}
NO_EFFECT = {"LOG", "NFLOG", "MARK", "CONNMARK", "CHECKSUM", "TCPMSS", "CLASSIFY", "SECMARK", "CONNSECMARK", "TRACE",
             "DSCP", "TOS", "TTL", "HL", "CT", "NOTRACK", "AUDIT", "SET", "ULOG", "RATEEST", "TEE"}  # fmt: skip
VERDICTS = {"ACCEPT": "accept", "DROP": "drop", "RETURN": "return", "REJECT": "reject", "QUEUE": "queue",
            "NFQUEUE": "queue"}  # fmt: skip
NATS = {"MASQUERADE", "SNAT", "DNAT", "REDIRECT", "NETMAP"}
ALONE = {"--physdev-is-bridged", "--physdev-is-in", "--physdev-is-out", "--syn", "-f", "--fragment", "--ashort",
         "--rttl", "--set", "--update", "--rcheck", "--remove", "--validmark", "--loose", "--accept-local",
         "--invert", "--ctexpire", "--notrack"}  # fmt: skip  # options without a value


class XtRule(Struct, frozen=True):
    """A rule as statements, and its line."""

    statements: Statements
    words: str


class XtChain(Struct, frozen=True):
    """A chain; one that the kernel calls has a policy."""

    policy: str
    rules: tuple[XtRule, ...]


def read_save(text: str) -> dict[str, dict[str, XtChain]]:
    """The chains of each table in what a ``-save`` program printed."""
    found: dict[str, dict[str, tuple[str, list[XtRule]]]] = {}
    table: dict[str, tuple[str, list[XtRule]]] = {}
    for line in text.splitlines():
        if line.startswith("*"):
            table = found.setdefault(line[1:].strip(), {})
        elif line.startswith(":"):
            name, policy, *_ = line[1:].split()
            table[name] = ("" if policy == "-" else policy, [])
        elif line.startswith("-A "):
            words = shlex.split(line)
            table.setdefault(words[1], ("", []))[1].append(XtRule(tuple(_statements(words[2:])), line))
    return {
        name: {chain: XtChain(policy, tuple(rules)) for chain, (policy, rules) in chains.items()}
        for name, chains in found.items()
    }


def _statements(words: list[str]) -> Iterator[Mapping[str, Any]]:
    place, negated = 0, False
    while place < len(words):
        word = words[place]
        place += 1
        if word == "!":
            negated = True
            continue
        if word in {"-j", "-g"}:
            yield from _target(word, words[place])
            return  # the rest are the target's own options
        if word == "-m" and words[place] == "rpfilter":
            yield _reverse_path(words)
        takes_value = word not in ALONE and place < len(words) and words[place] != "!"
        value = words[place] if takes_value else ""
        place += takes_value
        statement = _test(word, value)
        if statement is not None:
            yield _negated(statement) if negated else statement
        negated = False


def _test(option: str, value: str) -> Mapping[str, Any] | None:
    """The test of an option; None for what tests nothing."""
    if option in {"-m", "--match", "--comment", "--loose", "--invert", "--validmark", "--accept-local"}:
        return None
    if option in {"-i", "-o"}:
        return _match(f"{option[1]}ifname", value.removesuffix("+") + ("*" if value.endswith("+") else ""))
    if option == "-p":
        return None if value in {"all", "0"} else _match("l4proto", value)
    if option in {"--ctstate", "--state"}:
        return {"match": {"op": "in", "left": {"ct": {"key": "state"}}, "right": value.lower().split(",")}}
    if option == "--ctstatus":
        return {"match": {"op": "in", "left": {"ct": {"key": "status"}}, "right": value.lower().split(",")}}
    if option in {"--dport", "--sport", "--dports", "--sports"}:
        ports = [_port(one) for one in value.split(",")]
        return {"match": {"op": "==", "left": {"payload": {"protocol": "th", "field": option[2:7]}}, "right": ports}}
    if option == "--dst-type":
        return {"match": {"op": "==", "left": {"fib": {"flags": ["daddr"], "result": "type"}}, "right": value.lower()}}
    if option.startswith("--physdev"):
        return {"physdev": {"what": option.removeprefix("--physdev-"), "value": value}}
    return UNKNOWN


def _reverse_path(words: list[str]) -> Mapping[str, Any]:
    """Whether the way back to the sender leads by the link that the packet came in by; with --loose, by any."""
    flags = ["saddr"] if "--loose" in words else ["saddr", "iif"]
    sign = "==" if "--invert" in words else "!="
    return {"match": {"op": sign, "left": {"fib": {"flags": flags, "result": "oif"}}, "right": False}}


def _match(key: str, value: str) -> Mapping[str, Any]:
    return {"match": {"op": "==", "left": {"meta": {"key": key}}, "right": value}}


def _port(text: str) -> Any:
    first, _, last = text.partition(":")
    if not first.isdigit() or (last and not last.isdigit()):
        return text
    return {"range": [int(first), int(last)]} if last else int(first)


def _negated(statement: Mapping[str, Any]) -> Mapping[str, Any]:
    if (match := statement.get("match")) is not None:
        return {"match": {**match, "op": "!="}}
    if (physdev := statement.get("physdev")) is not None:
        return {"physdev": {**physdev, "negated": True}}
    return statement


def _target(option: str, target: str) -> Iterator[Mapping[str, Any]]:
    if option == "-g":
        yield {"goto": {"target": target}}
    elif target in VERDICTS:
        yield {VERDICTS[target]: None}
    elif target in NATS:
        yield {"accept": None}  # the translation ends the chain, and the packet goes on
    elif target not in NO_EFFECT:
        yield {"jump": {"target": target}}  # a chain of the same table, or an extension that is not known here
