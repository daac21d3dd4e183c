"""Tables as nft tells them: ``nft -j list ruleset`` (libnftables-json(5))."""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Container, Iterable, Iterator, Mapping
from typing import Any

import msgspec

from bascule.errors import BasculeError
from bascule.model.ruleset import normal_form
from bascule.model.ruleset import rules as nft
from bascule.model.ruleset.numbers import number
from bascule.model.ruleset.text import MARK_CHAIN
from bascule.model.state import MARK
from bascule.model.values import grouped

VERDICTS = {"accept", "drop", "continue", "return", "jump", "goto"}
NATS = {"snat", "dnat", "masquerade", "redirect"}
OF_THE_MOMENT = {"packets", "bytes", "expires"}  # of an element of a set
NEEDED = {
    "metainfo": (),
    "table": ("family", "name"),
    "rule": ("family", "table", "chain"),
}  # of all others a name, too
ORDINARY_REJECT = {"ip": "icmp", "ip6": "icmpv6", "inet": "icmpx", "bridge": "icmpx", "netdev": "icmpx"}

Json = Mapping[str, Any]


class NotUnderstood(Exception):
    """Something that has no value here."""


class _Listing(msgspec.Struct, frozen=True):
    nftables: list[dict[str, dict[str, Any]]] = []


def objects_of(listing: str) -> list[dict[str, dict[str, Any]]]:
    """What ``nft -j list`` printed, each object by its kind. Raises BasculeError where it is broken."""
    try:
        found = msgspec.json.decode(listing or "{}", type=_Listing).nftables
    except msgspec.DecodeError as error:
        raise _broken(str(error)) from error
    for entry in found:
        kind, told = next(iter(entry.items()), ("object", {}))
        needed = NEEDED.get(kind, ("family", "table", "name"))
        if len(entry) != 1 or not all(isinstance(told.get(key), str) for key in needed):
            raise _broken(f"an object is no {kind}")
        if kind == "rule" and not isinstance(told.get("expr"), list):
            raise _broken(f"a rule of {told['family']} {told['table']} has no statements")
    return found


def _broken(words: str) -> BasculeError:
    hint = "Bascule reads nft 1.0 and newer; see 'nft -v' and 'nft -j list ruleset'"
    return BasculeError.of("NFT-JSON", f"nft's listing is broken: {words}", hint=hint)


def read_ruleset(listing: str) -> dict[str, list[Json]]:
    """``family name`` of each table → the objects that it consists of. Raises BasculeError where it is broken."""
    return {f"{family} {name}": objects for (family, name), objects in by_table(objects_of(listing)).items()}


def by_table(objects: Iterable[Json]) -> dict[tuple[str, str], list[Json]]:
    """Family and name of each table → the objects that it consists of."""
    found: dict[tuple[str, str], list[Json]] = {}
    for entry in objects:
        ((kind, told),) = entry.items()
        if kind == "table":
            found.setdefault((told["family"], told["name"]), [])
        elif kind != "metainfo":
            found.setdefault((told["family"], told["table"]), []).append(entry)
    return found


def mark_of(objects: Iterable[Json]) -> str:
    """The mark that stands in a table, empty where there is none."""
    for entry in objects:
        rule = entry.get("rule", {})
        if rule.get("chain") == MARK_CHAIN and str(rule.get("comment", "")).startswith(MARK):
            return str(rule["comment"])
    return ""


def foreign(key: str, objects: Iterable[Json]) -> nft.ForeignTable:
    """A table of others, of which only the numbers of the moment are left out."""
    family, name = key.split(" ", 1)
    return nft.ForeignTable(family, name, _text([_lasting(entry) for entry in objects]))


def _lasting(entry: Json) -> Json:
    """An object without what is of the moment; others may have thousands of rules, so these are looked at flatly."""
    ((kind, told),) = entry.items()
    kept = {key: value for key, value in told.items() if key != "handle"}
    if kind == "rule":
        kept["expr"] = _uncounted(told["expr"])
    elif "elem" in kept:
        kept["elem"] = _timeless(kept["elem"])
    return {kind: kept}


def _uncounted(statements: Iterable[Json]) -> list[Json]:
    return [{"counter": None} if isinstance(one.get("counter"), dict) else one for one in statements]


def _timeless(told: Any) -> Any:
    if isinstance(told, dict):
        return {key: _timeless(value) for key, value in told.items() if key not in OF_THE_MOMENT}
    return [_timeless(one) for one in told] if isinstance(told, list) else told


def _text(told: object) -> str:
    return msgspec.json.encode(told, order="sorted").decode()


def read_table(key: str, objects: Iterable[Json]) -> nft.Table:
    """A table as a value; of what has none a rule is kept as it was told, and all else by its name."""
    family, name = key.split(" ", 1)
    objects = list(objects)
    rules = grouped((told["chain"], read_rule(told)) for entry in objects if (told := entry.get("rule")) is not None)
    mark, filled = mark_of(objects), _filled(objects)
    sets: list[nft.NamedSet | nft.NamedMap] = []
    others: list[str] = []
    for entry in objects:
        ((kind, told),) = entry.items()
        try:
            if kind in {"set", "map"}:
                sets.append(_set(entry, filled))
            elif kind not in {"chain", "rule"}:
                raise NotUnderstood(kind)
        except (NotUnderstood, KeyError, TypeError, ValueError):
            others.append(f"{kind} {told['name']}")
    return nft.Table(
        family,
        name,
        tuple(
            nft.Chain(chain["name"], tuple(rules.get(chain["name"], ())), _hook(chain))
            for entry in objects
            if (chain := entry.get("chain")) is not None and not (mark and chain["name"] == MARK_CHAIN)
        ),
        tuple(sets),
        mark,
        tuple(sorted(others)),
    )


def _filled(objects: Iterable[Json]) -> set[str]:
    """The sets that rules put elements into."""
    statements = (one for entry in objects if "rule" in entry for one in entry["rule"]["expr"])
    return {one["set"]["set"].removeprefix("@") for one in statements if "set" in one}


def _hook(chain: Json) -> nft.Hook | None:
    if "hook" not in chain:
        return None
    return nft.Hook(chain["type"], chain["hook"], chain["prio"], chain.get("policy", "accept"))


def _set(entry: Json, filled: Container[str]) -> nft.NamedSet | nft.NamedMap:
    ((kind, told),) = entry.items()
    type_ = told["type"]
    words = type_ if isinstance(type_, str) else " . ".join(type_)
    flags, elements = _words(told.get("flags", ())), told.get("elem", ())
    if told["name"] in filled:  # nft 1.0.6 does not tell that it is dynamic
        grown = normal_form.named_set(told["name"], words, {*flags, "dynamic"})
        timeout = told.get("timeout", 0)
        return msgspec.structs.replace(grown, size=told.get("size", 0), timeout_s=timeout) if timeout else grown
    if kind == "set":
        return normal_form.named_set(told["name"], words, flags, (_value(_element(one)) for one in elements))
    if told["map"] != "verdict":
        raise NotUnderstood(f"map {told['name']}")
    pairs = ((_value(_element(value)), _verdict(verdict)) for value, verdict in elements)
    return nft.NamedMap(told["name"], words, tuple(sorted(flags)), normal_form.entries(pairs))


def _element(told: Any) -> Any:
    """An element without its comment and its time."""
    return told["elem"]["val"] if isinstance(told, dict) and "elem" in told else told


def read_rule(told: Json) -> nft.Rule | nft.OpaqueRule:
    """One rule; whole as it was told where a word of it is not understood."""
    try:
        return nft.Rule(tuple(_statements(told["expr"], told["family"])), told.get("comment", ""))
    except (NotUnderstood, KeyError, TypeError, ValueError):
        comment = {"comment": told["comment"]} if "comment" in told else {}
        return nft.OpaqueRule(_text({"expr": _uncounted(told["expr"])} | comment))


def _statements(told: Iterable[Json], family: str) -> Iterator[nft.Statement]:
    ordinary = {ORDINARY_REJECT.get(family)}
    for entry in told:
        ((kind, words),) = entry.items()
        if kind in VERDICTS:
            yield _verdict(entry)
        elif kind in NATS:
            yield _nat(kind, words or {})
        elif kind == "reject":
            yield _reject(words or {}, ordinary)
        elif kind in _READERS:
            yield (statement := _READERS[kind](words))
            if isinstance(statement, nft.Match) and isinstance(statement.left, nft.Payload):
                ordinary.add(ORDINARY_REJECT.get(statement.left.protocol))  # from then on of that version alone
        else:
            raise NotUnderstood(kind)


def _match(told: Json) -> nft.Match:
    right = told["right"]
    if isinstance(right, bool):
        return normal_form.match(_expression(told["left"]), "exists" if right else "missing", operator=told["op"])
    if isinstance(right, dict) and "set" in right:
        values = [_value(_element(one)) for one in right["set"]]
    else:
        values = [_value(one) for one in (right if isinstance(right, list) else (right,))]
    return normal_form.match(_expression(told["left"]), *values, operator=told["op"])


def _vmap(told: Json) -> nft.VerdictMap:
    key, data = _expression(told["key"]), told["data"]
    if isinstance(data, str):
        return nft.VerdictMap(key, map=data.removeprefix("@"))
    return nft.VerdictMap(
        key, normal_form.entries((_value(_element(value)), _verdict(one)) for value, one in data["set"])
    )


def _verdict(told: Json) -> nft.VerdictStatement:
    ((name, words),) = told.items()
    if name not in VERDICTS:
        raise NotUnderstood(name)
    return nft.VerdictStatement(name, words["target"] if words else "")


def _reject(told: Json, ordinary: Container[str | None]) -> nft.Reject:
    protocol, code = told.get("type", ""), told.get("expr", "")
    if code == "port-unreachable" and protocol in ordinary:
        return nft.Reject()
    return nft.Reject(protocol, code)


def _nat(name: str, told: Json) -> nft.Nat:
    _only(told, {"family", "addr", "port", "flags"})
    address, port = _value(told.get("addr", "")), told.get("port")
    if isinstance(address, int | nft.SetReference | nft.Tuple):
        raise NotUnderstood(str(address))
    read = None if port is None else _value(port)
    if not isinstance(read, int | nft.Range | None):
        raise NotUnderstood(str(read))
    return nft.Nat(name, told.get("family", ""), address, read, _words(told.get("flags", ())))


def _counter(told: object) -> nft.Counter:
    if isinstance(told, str):
        raise NotUnderstood(f"counter {told}")
    return nft.Counter()


def _limit(told: Json) -> nft.RateLimit:
    return nft.RateLimit(
        told["rate"],
        told["per"],
        told.get("burst", 0),
        told.get("rate_unit", "packets"),
        told.get("burst_unit", "packets"),
        told.get("inv", False),
    )


def _update(told: Json) -> nft.SetUpdate:
    statements = []
    for entry in told.get("stmt", ()):
        ((kind, words),) = entry.items()
        statements.append(_counter(words) if kind == "counter" else _limit(words) if kind == "limit" else None)
    if None in statements:
        raise NotUnderstood("set")
    key, name = _expression(told["elem"]), told["set"].removeprefix("@")
    return nft.SetUpdate(told["op"], name, key, tuple(one for one in statements if one is not None))


def _mangle(told: Json) -> nft.Mangle:
    field, value = _expression(told["key"]), _value(told["value"])
    if not isinstance(field, nft.Payload) or not isinstance(value, int | str):
        raise NotUnderstood("mangle")
    return nft.Mangle(field, value)


def _log(told: Json | None) -> nft.Log:
    told = told or {}
    _only(told, {"prefix", "group", "level"})
    return nft.Log(told.get("prefix", ""), told.get("group"), told.get("level", ""))


_READERS: Mapping[str, Callable[[Any], nft.Statement]] = {
    "match": _match,
    "vmap": _vmap,
    "counter": _counter,
    "limit": _limit,
    "set": _update,
    "log": _log,
    "mangle": _mangle,
}


def _words(told: object) -> tuple[str, ...]:
    """Flags: one is told as a word, several as a list."""
    return (told,) if isinstance(told, str) else tuple(told)  # type: ignore[arg-type]  # of words


def _only(told: Json, known: set[str]) -> None:
    if more := told.keys() - known:
        raise NotUnderstood(", ".join(sorted(more)))


def _expression(told: Json) -> nft.Expression:
    ((kind, words),) = told.items()
    if kind == "concat":
        parts = tuple(map(_expression, words))
        if any(isinstance(part, nft.Concatenation | nft.Masked) for part in parts):
            raise NotUnderstood(kind)
        return nft.Concatenation(parts)  # type: ignore[arg-type]  # none of them is one
    if kind == "meta":
        return nft.Meta(words["key"])
    if kind == "payload":
        if "base" in words:
            return nft.RawPayload(words["base"], words["offset"], words["len"])
        return nft.Payload(words["protocol"], words["field"])
    if kind == "exthdr":
        _only(words, {"name", "field"})
        return nft.ExtensionHeader(words["name"], words.get("field", ""))
    if kind == "ct":
        _only(words, {"key", "dir"})
        return nft.Ct(words["key"], words.get("dir", ""))
    if kind == "&":
        of = _expression(words[0])
        if not isinstance(of, nft.Meta | nft.Payload | nft.Ct | nft.RawPayload) or not isinstance(words[1], int):
            raise NotUnderstood(kind)
        return nft.Masked(of, words[1])
    if kind == "fib":
        return nft.Fib(_words(words["flags"]), words["result"])
    raise NotUnderstood(kind)


def _value(told: Any) -> nft.Value:
    if isinstance(told, str):
        if told.startswith("0x"):  # of more than 64 bits
            return number(int(told, 16))
        if told.startswith("::") and "." in told:  # glibc writes ::ffff:192.0.2.1, everybody else numbers alone
            return str(ipaddress.ip_address(told))
        return nft.SetReference(told[1:]) if told.startswith("@") else told
    if isinstance(told, int) and not isinstance(told, bool):
        return told
    if not isinstance(told, dict):
        raise NotUnderstood(str(told))
    ((kind, words),) = told.items()
    if kind == "prefix":
        return nft.Prefix(words["addr"], words["len"])
    if kind == "range":
        return nft.Range(*words)
    if kind == "concat":
        return nft.Tuple(tuple(_value(one) for one in words))  # type: ignore[misc]  # flat
    raise NotUnderstood(kind)
