"""Tables as a host's state has them, ours as values and others' as JSON, as chains to walk through."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import msgspec

from bascule.model.ruleset import rules as nft
from bascule.model.ruleset.text import rule_text
from bascule.topology.trace.connection_tracking import families_of_objects
from bascule.topology.trace.rules.lines import Rules
from bascule.topology.trace.rules.nft_reader import read_nft
from bascule.topology.trace.rules.words import rule_words

Json = dict[str, Any]


def rules_of(
    tables: Mapping[str, nft.AnyTable],
    unread: Iterable[str] = (),
    devices: Mapping[tuple[str, str, str], str] | None = None,
) -> Rules:
    """The rules of a saved state or of one that is wanted; handles are not kept there, so a line has its number.

    ``devices`` has the links that chains hang on, which nft's JSON does not tell.
    """
    objects: list[Json] = []
    texts: dict[tuple[str, str, int], str] = {}
    for table in tables.values():
        if isinstance(table, nft.ForeignTable):
            entries: list[Json] = msgspec.json.decode(table.content)
        else:
            entries = list(_objects(table, texts))
        objects.append({"table": {"family": table.family, "name": table.name}})
        for number, entry in enumerate(entries, 1):
            ((kind, told),) = entry.items()
            objects.append({kind: {"handle": number, **told}} if kind == "rule" else entry)
            if kind == "rule":
                texts.setdefault((table.family, table.name, number), rule_words(told["expr"]))
    return Rules(read_nft(objects, texts, devices), tuple(unread), families_of_objects(objects))


def _objects(table: nft.Table, texts: dict[tuple[str, str, int], str]) -> Iterator[Json]:
    where = {"family": table.family, "table": table.name}
    number = 0
    for one in table.sets:
        if isinstance(one, nft.NamedMap):
            pairs = [[_value(value), _verdict(verdict)] for value, verdict in one.entries]
            yield {"map": {**where, "name": one.name, "flags": list(one.flags), "elem": pairs}}
        else:
            yield {
                "set": {**where, "name": one.name, "flags": list(one.flags), "elem": list(map(_value, one.elements))}
            }
        number += 1
    for chain in table.chains:
        told: Json = {**where, "name": chain.name}
        if chain.hook is not None:
            hook = chain.hook
            told |= {"type": hook.type, "hook": hook.name, "prio": hook.priority, "policy": hook.policy}
        yield {"chain": told}
        number += 1
        for rule in chain.rules:
            number += 1
            expr = msgspec.json.decode(rule.content)["expr"] if isinstance(rule, nft.OpaqueRule) else _rule(rule)
            texts[table.family, table.name, number] = rule_text(rule)
            comment = "" if isinstance(rule, nft.OpaqueRule) else rule.comment
            yield {"rule": {**where, "chain": chain.name, "expr": expr, "comment": comment}}


def _rule(rule: nft.Rule) -> list[Json]:
    return [told for one in rule.statements if (told := _statement(one))]


def _statement(one: nft.Statement) -> Json:
    if isinstance(one, nft.Match):
        return {"match": {"left": _expression(one.left), "op": one.operator, "right": _right(one)}}
    if isinstance(one, nft.VerdictStatement):
        return _verdict(one)
    if isinstance(one, nft.VerdictMap):
        data: Any = f"@{one.map}" if one.map else {"set": [[_value(v), _verdict(d)] for v, d in one.entries]}
        return {"vmap": {"key": _expression(one.key), "data": data}}
    if isinstance(one, nft.Reject):
        return {"reject": {"type": one.protocol}}
    if isinstance(one, nft.Nat):
        told: Json = {"family": one.family}
        if one.address:
            told["addr"] = _value(one.address)
        if one.port is not None:
            told["port"] = _value(one.port)
        return {one.name: told}
    if isinstance(one, nft.Mangle):
        return {"mangle": {"key": _expression(one.field), "value": _value(one.value)}}
    if isinstance(one, nft.Counter | nft.Log):
        return {}
    if isinstance(one, nft.RateLimit):
        return {"limit": {"rate": one.rate, "per": one.per, "inv": one.over}}
    if isinstance(one, nft.SetUpdate):
        inner = [told for each in one.statements if (told := _statement(each))]
        return {"set": {"op": one.operation, "elem": _expression(one.key), "set": f"@{one.set}", "stmt": inner}}
    return {type(one).__name__.lower(): {}}


def _right(one: nft.Match) -> Any:
    values = [_value(value) for value in one.right]
    if one.operator == "in":
        return values
    if isinstance(one.left, nft.ExtensionHeader | nft.Fib) and values[0] in {"exists", "missing"}:
        return values[0] == "exists"
    return values[0] if len(values) == 1 else {"set": values}


def _expression(one: nft.Expression) -> Json:
    if isinstance(one, nft.Concatenation):
        return {"concat": [_expression(part) for part in one.parts]}
    if isinstance(one, nft.Meta):
        return {"meta": {"key": one.key}}
    if isinstance(one, nft.Payload):
        return {"payload": {"protocol": one.protocol, "field": one.field}}
    if isinstance(one, nft.Ct):
        return {"ct": {"key": one.key, **({"dir": one.direction} if one.direction else {})}}
    if isinstance(one, nft.Fib):
        return {"fib": {"flags": list(one.flags), "result": one.result}}
    if isinstance(one, nft.RawPayload):
        return {"payload": {"base": one.base, "offset": one.offset, "len": one.length}}
    if isinstance(one, nft.Masked):
        return {"&": [_expression(one.of), one.mask]}
    if isinstance(one, nft.ExtensionHeader):
        return {"exthdr": {"name": one.name, "field": one.field}}
    return {type(one).__name__.lower(): {}}


def _value(value: Any) -> Any:
    if isinstance(value, nft.Prefix):
        return {"prefix": {"addr": value.address, "len": value.length}}
    if isinstance(value, nft.Range):
        return {"range": [value.first, value.last]}
    if isinstance(value, nft.SetReference):
        return f"@{value.name}"
    if isinstance(value, nft.Tuple):
        return {"concat": [_value(one) for one in value.values]}
    return value


def _verdict(one: nft.VerdictStatement) -> Json:
    return {one.name: {"target": one.target} if one.target else None}
