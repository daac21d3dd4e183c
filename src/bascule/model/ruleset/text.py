"""Tables as nft's text, which ``nft -f`` loads."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from bascule.model.ruleset.rules import (
    Chain,
    Concatenation,
    Counter,
    Ct,
    Expression,
    Fib,
    Log,
    Match,
    Meta,
    NamedMap,
    NamedSet,
    Nat,
    OpaqueRule,
    Payload,
    Prefix,
    Range,
    Reject,
    Rule,
    SetReference,
    Statement,
    Table,
    Tuple,
    Value,
    VerdictMap,
    VerdictStatement,
)

MARK_CHAIN = "bascule"  # holds the mark of a table, see Table
BARE = {"iif", "iifname", "iiftype", "oif", "oifname", "oiftype", "mark"}  # need no `meta` before them
NAMES = {Meta("iifname"), Meta("oifname")}  # whose values are names of links, and stand in quotes


def table_text(table: Table) -> str:
    """The table as it is loaded where there is none of its name."""
    parts = [_set(one) for one in table.sets] + [_chain(chain) for chain in table.chains]
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


def _set(one: NamedSet | NamedMap) -> str:
    is_map = isinstance(one, NamedMap)
    lines = [f"type {one.type}{' : verdict' if is_map else ''}"]
    if one.flags:
        lines.append(f"flags {','.join(one.flags)}")
    quoted = one.type == "ifname"
    if isinstance(one, NamedMap):
        elements = [f"{_value(value, quoted=quoted)} : {_verdict(verdict)}" for value, verdict in one.entries]
    else:
        elements = [_value(value, quoted=quoted) for value in one.elements]
    if elements:
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
            sign = "" if operator in {"==", "in"} else f"{operator} "
            return f"{_expression(left)} {sign}{_right(right, left, flags=operator == 'in')}"
        case VerdictStatement():
            return _verdict(statement)
        case VerdictMap(key, pairs, name):
            entries = (f"{_value(value, quoted=key in NAMES)} : {_verdict(verdict)}" for value, verdict in pairs)
            return f"{_expression(key)} vmap " + (f"@{name}" if name else f"{{ {', '.join(entries)} }}")
        case Reject(protocol, code):
            return " ".join(("reject", *(("with", protocol) if protocol else ()), *((code,) if code else ())))
        case Nat():
            return " ".join(_nat(statement))
        case Counter():
            return "counter"
        case Log(prefix, group, level):
            words = [f'prefix "{prefix}"'] if prefix else []
            words += [f"level {level}"] if level else []
            words += [f"group {group}"] if group is not None else []
            return " ".join(("log", *words))


def _verdict(verdict: VerdictStatement) -> str:
    return f"{verdict.name} {verdict.target}" if verdict.target else verdict.name


def _nat(nat: Nat) -> Iterator[str]:
    yield nat.name
    if nat.address or nat.port is not None:
        if nat.family:
            yield nat.family
        address = _value(nat.address, quoted=False)
        if nat.port is not None and ":" in address:
            address = f"[{address}]"
        port = "" if nat.port is None else f":{_value(nat.port, quoted=False)}"
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
        case Concatenation(parts):
            return " . ".join(map(_expression, parts))


def _right(values: Iterable[Value], left: Expression, *, flags: bool) -> str:
    written = [_value(value, quoted=left in NAMES) for value in values]
    if flags:
        return ",".join(written)
    alone = len(written) == 1 and (written[0].startswith("@") or not isinstance(left, Concatenation))
    return written[0] if alone else f"{{ {', '.join(written)} }}"


def _value(value: Value, *, quoted: bool) -> str:
    match value:
        case Prefix(address, length):
            return f"{address}/{length}"
        case Range(first, last):
            return f"{first}-{last}"
        case SetReference(name):
            return f"@{name}"
        case Tuple(values):
            return " . ".join(_value(one, quoted=False) for one in values)
        case str() if quoted:
            return f'"{value}"'
    return str(value)
