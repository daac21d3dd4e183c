"""Tables in checkpoints of version 0.1.0: nft's own text, in the few forms that it wrote."""

from __future__ import annotations

import re
from collections.abc import Iterator

from bascule.model.ruleset.normal_form import match
from bascule.model.ruleset.rules import (
    Chain,
    Ct,
    Fib,
    Hook,
    Match,
    Meta,
    Nat,
    Payload,
    Prefix,
    Range,
    Reject,
    Rule,
    Statement,
    Table,
    Value,
    VerdictStatement,
)

_HOOK = re.compile(r"type (\w+) hook (\w+) priority (-?\d+); policy (\w+);")
_TESTS = (
    re.compile(r'(?P<left>iifname|oifname) (?P<right>"[^"]+")'),
    re.compile(r"(?P<left>(?:ip|ip6) [sd]addr|(?:tcp|udp) dport) (?P<operator>!= )?(?P<right>[\da-f.:/-]+)"),
    re.compile(r"(?P<left>ct (?:state|status)) (?P<right>[a-z,]+)"),
    re.compile(r"(?P<left>fib daddr type) (?P<right>local)"),
    re.compile(r"(?P<left>meta l4proto) (?P<right>tcp|udp)"),
)
_NAT = re.compile(r"(masquerade|dnat)(?: (ip6?))?(?: to (?:\[(.+)\]|([^\s:]*|[\da-f:]+))(?::([\d-]+))?)?")


def read_0_1_0(text: str) -> Table:
    """The table. Raises ValueError for a text of any other form."""
    first, *lines = text.strip().splitlines()
    words = first.split()
    if len(words) != 4 or words[:2] != ["table", "inet"] or lines[-1:] != ["}"]:
        raise ValueError(f"no table of version 0.1.0: {first}")
    return Table("inet", words[2], tuple(_chains(line.strip() for line in lines[:-1] if line.strip())))


def _chains(lines: Iterator[str]) -> Iterator[Chain]:
    for line in lines:
        name = re.fullmatch(r"chain (\w+) \{", line)
        hook = _HOOK.fullmatch(next(lines, ""))
        if name is None or hook is None:
            raise ValueError(f"no chain of version 0.1.0: {line}")
        rules = []
        for rule in lines:
            if rule == "}":
                break
            rules.append(Rule(tuple(_statements(rule))))
        yield Chain(name[1], tuple(rules), Hook(hook[1], hook[2], int(hook[3]), hook[4]))


def _statements(rule: str) -> Iterator[Statement]:
    left = rule
    while left:
        found = next((test for pattern in _TESTS if (test := pattern.match(left))), None)
        if found is None:
            yield _last(left)
            return
        yield _test(found)
        left = left[found.end() :].lstrip()


def _test(found: re.Match[str]) -> Match:
    kind, *rest = found["left"].split()
    right = found["right"]
    if kind in {"iifname", "oifname"}:
        return match(Meta(kind), right.strip('"'))
    if kind == "ct":
        return match(Ct(rest[0]), *right.split(","), operator="in")
    if kind == "fib":
        return match(Fib(("daddr",), "type"), right)
    if kind == "meta":
        return match(Meta(rest[0]), right)
    operator = "!=" if found["operator"] else "=="
    return match(Payload(kind, rest[0]), _port(right) if rest[0] == "dport" else _address(right), operator=operator)


def _address(text: str) -> Value:
    address, slash, length = text.partition("/")
    return Prefix(address, int(length)) if slash else address


def _port(text: str) -> int | Range:
    first, dash, last = text.partition("-")
    return Range(int(first), int(last)) if dash else int(first)


def _last(text: str) -> Statement:
    if text in {"accept", "return"}:
        return VerdictStatement(text)
    if text == "reject":
        return Reject()
    found = _NAT.fullmatch(text)
    if found is None:
        raise ValueError(f"no statement of version 0.1.0: {text}")
    name, family, bracketed, plain, port = found.groups()
    return Nat(name, family or "", bracketed or plain or "", _port(port) if port else None)
