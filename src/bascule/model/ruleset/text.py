"""Tables as nft's text, which ``nft -f`` loads."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from msgspec import Struct

from bascule.model.ruleset.normal_form import PROTOCOLS
from bascule.model.ruleset.numbers import word_of
from bascule.model.ruleset.rules import (
    Chain,
    Concatenation,
    Counter,
    Ct,
    Expression,
    ExtensionHeader,
    Fib,
    Log,
    Mangle,
    Masked,
    Match,
    Meta,
    NamedMap,
    NamedSet,
    Nat,
    OpaqueRule,
    Payload,
    Prefix,
    Range,
    RateLimit,
    RawPayload,
    Reject,
    Rule,
    SetReference,
    SetUpdate,
    Statement,
    Table,
    Tuple,
    Value,
    VerdictMap,
    VerdictStatement,
)

MARK_CHAIN = "bascule"  # holds the mark of a table, see Table
SHORT_RANGE = 4  # numbers
BLOCK = 32  # values that are compared at once
BARE = {"iif", "iifname", "iiftype", "oif", "oifname", "oiftype", "mark"}  # need no `meta` before them
NAMES = {Meta("iifname"), Meta("oifname")}  # whose values are names of links, and stand in quotes


def table_text(table: Table) -> str:
    """The table as it is loaded where there is none of its name."""
    lookups = dict(_lookups(table))
    parts = [_set(one, lookups.get(one.name)) for one in table.sets] + [_chain(chain) for chain in table.chains]
    if table.mark:
        parts.append(_chain(Chain(MARK_CHAIN, (Rule((VerdictStatement("return"),), table.mark),))))
    body = "\n".join(parts)
    return f"table {table.key} {{\n{body}}}\n"


def replacing_text(table: Table) -> str:
    """The table in place of one of its name, if there is one: nft applies a text at once or not at all."""
    return f"table {table.key}\ndelete table {table.key}\n{table_text(table)}"


def _chain(chain: Chain) -> str:
    lines = [] if chain.hook is None else [
        f"type {chain.hook.type} hook {chain.hook.name} priority {chain.hook.priority}; policy {chain.hook.policy};"
    ]  # fmt: skip
    lines += [rule_text(rule) for rule in chain.rules]
    return f"\tchain {chain.name} {{\n" + "".join(f"\t\t{line}\n" for line in lines) + "\t}\n"


class ElementChanges(Struct, frozen=True):
    """The sets whose elements differ, by name; what is added, and what is taken away afterwards, as nft's text."""

    sets: tuple[str, ...]
    added: str
    left_over: str


def changed_elements(table: Table, before: Table) -> ElementChanges:
    """What the sets of a table need beside those of another that is the same but for their elements.

    Intervals may overlap those that go, so that of sets with intervals these go in the same breath.
    """
    names, new, old = [], [], []
    for one, other in zip(table.sets, before.sets, strict=True):
        some, rest = _differing(_held(one), _held(other))
        names += [one.name] if some or rest else []
        gone = [_element_line("delete", table, one, rest)] if rest else []
        new += gone if "interval" in one.flags else []
        new += [_element_line("add", table, one, some)] if some else []
        old += gone if "interval" not in one.flags else []
    return ElementChanges(tuple(names), "".join(new), "".join(old))


def _element_line(word: str, table: Table, one: NamedSet | NamedMap, some: Sequence[Any]) -> str:
    return f"{word} element {table.key} {one.name} {{ {', '.join(_elements(one, some))} }}\n"


def _held(one: NamedSet | NamedMap) -> tuple[Any, ...]:
    return one.entries if isinstance(one, NamedMap) else one.elements


def _differing(some: tuple[Any, ...], others: tuple[Any, ...]) -> tuple[Sequence[Any], Sequence[Any]]:
    """What is in one of them alone.

    Both are sorted, so that one value more leaves what is around it alike: that is passed over block by block, each
    value compared once, for tuples are compared faster than each of their values.
    """
    size, length = len(some), len(others)
    start, tail, most = 0, 0, min(size, length)
    while start < most and some[start : start + BLOCK] == others[start : start + BLOCK]:
        start += BLOCK
    while tail + BLOCK <= most - start and (
        some[size - tail - BLOCK : size - tail] == others[length - tail - BLOCK : length - tail]
    ):
        tail += BLOCK
    left, right = some[start : size - tail], others[start : length - tail]
    here, there = set(left), set(right)
    return [one for one in left if one not in there], [one for one in right if one not in here]


def _elements(one: NamedSet | NamedMap, some: Sequence[Any]) -> list[str]:
    names = tuple(part == "ifname" for part in one.type.split(" . "))
    if isinstance(one, NamedMap):
        return [f"{_value(value, names)} : {_verdict(verdict)}" for value, verdict in some]
    return [_value(value, names) for value in some]


def _lookups(table: Table) -> Iterator[tuple[str, Expression]]:
    """What rules look up in each named set, or put into it."""
    for rule in (rule for chain in table.chains for rule in chain.rules if isinstance(rule, Rule)):
        for statement in rule.statements:
            match statement:
                case Match(left, (SetReference(name),), _):
                    yield name, left
                case SetUpdate(_, name, key, _):
                    yield name, key


def _set(one: NamedSet | NamedMap, key: Expression | None) -> str:
    is_map = isinstance(one, NamedMap)
    has_bits = key is not None and "integer" in one.type.split(" . ")
    type_ = f"typeof {_expression(key)}" if key is not None and has_bits else f"type {one.type}"
    lines = [f"{type_}{' : verdict' if is_map else ''}"]
    if one.flags:
        lines.append(f"flags {','.join(one.flags)}")
    if isinstance(one, NamedSet) and one.size:
        lines.append(f"size {one.size}")
    if isinstance(one, NamedSet) and one.timeout_s:
        lines.append(f"timeout {one.timeout_s}s")
    if elements := _elements(one, _held(one)):
        lines.append(f"elements = {{ {', '.join(elements)} }}")
    word = "map" if is_map else "set"
    return f"\t{word} {one.name} {{\n" + "".join(f"\t\t{line}\n" for line in lines) + "\t}\n"


def rule_text(rule: Rule | OpaqueRule) -> str:
    """A rule in one line. One that is not understood is told as a remark, which nft passes over."""
    if isinstance(rule, OpaqueRule):
        return f"# a rule that Bascule cannot write: {rule.content}"
    words = [_statement(statement) for statement in rule.statements]
    if rule.comment:
        words.append(f'comment "{rule.comment}"')
    return " ".join(words)


def _statement(statement: Statement) -> str:
    match statement:
        case Match(left, right, operator):
            sign = "" if operator in {"==", "in"} and not isinstance(left, Masked) else f"{operator} "
            return f"{_expression(left)} {sign}{_right(right, left, flags=operator == 'in')}"
        case SetUpdate(operation, name, key, some):
            words = [_expression(key), *map(_statement, some)]
            return f"{operation} @{name} {{ {' '.join(words)} }}"
        case RateLimit():
            return _limit(statement)
        case VerdictStatement():
            return _verdict(statement)
        case VerdictMap(key, pairs, name):
            entries = (f"{_value(value, _named(key))} : {_verdict(verdict)}" for value, verdict in pairs)
            return f"{_expression(key)} vmap " + (f"@{name}" if name else f"{{ {', '.join(entries)} }}")
        case Reject(protocol, code):
            return " ".join(("reject", *(("with", protocol) if protocol else ()), *((code,) if code else ())))
        case Nat():
            return " ".join(_nat(statement))
        case Counter():
            return "counter"
        case Mangle(field, value):
            return f"{_expression(field)} set {_value(value)}"
        case Log(prefix, group, level):
            words = [f'prefix "{prefix}"'] if prefix else []
            words += [f"level {level}"] if level else []
            words += [f"group {group}"] if group is not None else []
            return " ".join(("log", *words))


def _verdict(verdict: VerdictStatement) -> str:
    return f"{verdict.name} {verdict.target}" if verdict.target else verdict.name


def _limit(limit: RateLimit) -> str:
    unit = "" if limit.unit == "packets" else f" {limit.unit}"
    over = "over " if limit.over else ""
    burst = f" burst {limit.burst} {limit.burst_unit}" if limit.burst else ""
    return f"limit rate {over}{limit.rate}{unit}/{limit.per}{burst}"


def _nat(nat: Nat) -> Iterator[str]:
    yield nat.name
    if nat.address or nat.port is not None:
        if nat.family:
            yield nat.family
        address = _value(nat.address)
        if nat.port is not None and ":" in address:
            address = f"[{address}]"
        port = "" if nat.port is None else f":{_value(nat.port)}"
        yield f"to {address}{port}"
    if nat.flags:
        yield ",".join(nat.flags)


def _expression(one: Expression) -> str:
    match one:
        case Meta(key):
            return key if key in BARE else f"meta {key}"
        case Payload(protocol, field):
            return f"{protocol} {field}"
        case Ct(key, direction):
            return f"ct {direction} {key}" if direction else f"ct {key}"
        case Fib(flags, result):
            return f"fib {' . '.join(flags)} {result}"
        case RawPayload(base, offset, length):
            return f"@{base},{offset},{length}"
        case ExtensionHeader(name, field):
            return f"{name} {field}" if field else f"exthdr {name}"
        case Masked(of, mask):
            return f"{_expression(of)} & {mask:#x}"
        case Concatenation(parts):
            return " . ".join(map(_expression, parts))


def _right(values: Iterable[Value], left: Expression, *, flags: bool) -> str:
    written = [_value(value, _named(left)) for value in _spelled(tuple(values))]
    if left in PROTOCOLS:
        written = [word_of(word) for word in written]
    if flags:
        return ",".join(written)
    alone = len(written) == 1 and (written[0].startswith("@") or not isinstance(left, Concatenation))
    return written[0] if alone else f"{{ {', '.join(written)} }}"


def _spelled(values: tuple[Value, ...]) -> Iterator[Value]:
    """Short ranges among several values number by number: the kernel looks up a set without intervals faster."""
    short = len(values) > 1 and all(_numbers(value) <= SHORT_RANGE for value in values)
    for value in values:
        if short and isinstance(value, Range):
            yield from range(int(value.first), int(value.last) + 1)
        else:
            yield value


def _numbers(value: Value) -> float:
    """How many numbers a value stands for; infinite where it is no number."""
    if isinstance(value, Range) and isinstance(value.first, int) and isinstance(value.last, int):
        return value.last - value.first + 1
    return 1 if isinstance(value, int) else math.inf


def _named(left: Expression) -> tuple[bool, ...]:
    """Which of the looked up parts are names of links."""
    return tuple(part in NAMES for part in (left.parts if isinstance(left, Concatenation) else (left,)))


def _part(value: int | str | Prefix | Range, quoted: bool) -> str:  # noqa: FBT001 - of thousands of elements
    if isinstance(value, str):
        return f'"{value}"' if quoted else value
    return str(value) if isinstance(value, int) else _value(value)


def _value(value: Value, quoted: Sequence[bool] = ()) -> str:
    match value:
        case Prefix(address, length):
            return f"{address}/{length}"
        case Range(first, last):
            return f"{first}-{last}"
        case SetReference(name):
            return f"@{name}"
        case Tuple(values):
            return " . ".join(_part(one, at < len(quoted) and quoted[at]) for at, one in enumerate(values))
        case str() if any(quoted):
            return f'"{value}"'
    return str(value)
