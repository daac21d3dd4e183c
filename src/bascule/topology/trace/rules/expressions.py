"""Statements and expressions of nft's JSON, one by one."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from bascule.model.ruleset.nft_json import NATS, VERDICTS, NotUnderstood
from bascule.topology.trace.rules.lines import BY_PATH, MSS, Decision, DecisionMap, NoTrack, Part, SetField, Translate
from bascule.topology.trace.rules.tests import AnyFlag, Bits, Bounds, Constant, Expr, Field, Lookup, Test, UncertainTest
from bascule.topology.trace.rules.values import LARGEST, atom, bounds, element, is_flags, joined, split

Json = Mapping[str, Any]

HIDING = {"snat", "masquerade"}  # whose port is the sender's own, of which nothing of the way depends
# what changes nothing that a later rule or the packet's way depends on
SILENT = {"counter", "log", "comment", "flow", "dup", "last"}
# what lets a packet go on in its rule, or ends the rule; of all others nobody knows whether the packet ends there
GOING_ON = {"limit", "quota", "ct count", "ct helper", "ct timeout", "ct expectation", "meter"}
CHOOSING = {"numgen", "jhash", "symhash"}
NO_EFFECT = {"nftrace", "priority", "secmark"}


class TableReader:
    """Reads the rules of one table, whose sets and maps it knows."""

    def __init__(self, family: str, members: Iterable[Json]) -> None:
        self.family = family
        self.sets: dict[str, Json] = {}
        self.moving: set[str] = set()
        self._split: dict[tuple[str, tuple[str, ...]], Any] = {}
        for entry in members:
            ((kind, told),) = entry.items()
            if kind in {"set", "map", "meter"}:
                self.sets[told["name"]] = told
                if "dynamic" in told.get("flags", ()):
                    self.moving.add(told["name"])
            elif kind == "rule":
                self.moving.update(
                    str(one["set"].get("set", "")).lstrip("@") for one in told.get("expr", ()) if "set" in one
                )

    def parts(self, statement: Json) -> list[Part]:
        """What one statement is. Raises NotUnderstood."""
        ((kind, told),) = statement.items()
        if kind == "match":
            return [self._match(told)]
        if kind in VERDICTS:
            return [_decision(statement)]
        if kind == "reject":
            return [*self._implied((told or {}).get("type", "")), Decision("reject")]
        if kind in SILENT:  # a counter by what a packet is ends the rule for one that has none
            return [self._has_entry(told["map"])] if isinstance(told, dict) and "map" in told else []
        if kind in NATS:
            return [*self._implied((told or {}).get("family", "")), self._translate(kind, told or {})]
        if kind == "vmap":
            return [self._decisions(told)]
        if kind == "mangle":
            return self._mangle(told)
        if kind == "notrack":
            return [NoTrack()]
        if kind == "set":  # what it limits by ends the rule or lets it go on
            inner = (next(iter(one.items())) for one in told.get("stmt", ()))
            return [UncertainTest(_words(name, what)) for name, what in inner if name not in SILENT]
        if kind in {"queue", "synproxy", "tproxy", "fwd"}:
            return [*self._implied(told.get("family", "") if isinstance(told, dict) else ""), Decision("unknown", kind)]
        may_end = kind not in GOING_ON and not (kind == "xt" and told.get("type") == "match")
        return [UncertainTest(_words(kind, told)), *([Decision("unknown", kind)] if may_end else [])]

    def _implied(self, word: str) -> list[Part]:
        """The test that a reason or a family implies, and that nft leaves out for it: of two versions or of TCP."""
        if word == "tcp reset":
            return [Test((Field("meta l4proto"),), frozenset({(6,)}))]
        version = {"icmp": 4, "ip": 4, "icmpv6": 6, "ip6": 6}.get(word)
        if version is None or self.family in {"ip", "ip6"}:
            return []
        return [Test((Field("meta protocol"),), frozenset({(0x0800 if version == 4 else 0x86DD,)}))]

    # ---- tests

    def _match(self, told: Json) -> Part:
        left, right, sign = told["left"], told["right"], told["op"]
        keys = self._keys(left)
        names = tuple(map(_name, keys))
        if sign in {"in", "!"}:
            values = right if isinstance(right, list) else [right]
            return AnyFlag(keys[0], joined(values, names[0]), negated=sign == "!")
        negated = sign == "!="
        if any(name.startswith("exthdr ") for name in names):  # the packets that are asked for have none
            holds = isinstance(right, bool) and right is negated  # no test of what stands in one does
            return Test((Constant(0),), frozenset({(0 if holds else 1,)}))
        if isinstance(right, bool):
            if names[0].startswith("fib "):
                return Test(keys, frozenset({("",)}), negated=right is not negated)
            return Test(keys, frozenset({(int(right),)}), negated=negated)
        if isinstance(right, str) and right.startswith("@"):
            exact, ranged = self._set(right[1:], names)
            lapse = "timeout" in self.sets[right[1:]].get("flags", ())
            return Test(keys, exact, ranged, negated=negated, moving=right[1:] in self.moving, lapse=lapse)
        if isinstance(right, dict) and "set" in right:
            exact, ranged = split(element(one, names) for one in right["set"])
            return Test(keys, exact, ranged, negated=negated)
        if sign in {"<", ">", "<=", ">="}:
            return Test(keys, ranged=((_beyond(sign, atom(right, names[0])),),))
        if isinstance(right, list) and not is_flags(names[0]):
            exact, ranged = split(element(one, names) for one in right)
            return Test(keys, exact, ranged, negated=negated)
        parts = element(right, names)
        if negated and len(parts) == 1 and isinstance(parts[0], tuple) and parts[0][0] > parts[0][1]:
            # nft 1.0.6 shows "< 80 and > 50" as "!= 80-50"
            return Test(keys, ranged=(((parts[0][1] + 1, parts[0][0] - 1),),))
        exact, ranged = split([parts])
        return Test(keys, exact, ranged, negated=negated)

    def _set(self, name: str, keys: tuple[str, ...]) -> Any:
        if (name, keys) not in self._split:
            told = self.sets.get(name)
            if told is None:
                raise NotUnderstood(f"set {name}")
            self._split[name, keys] = split(element(one, keys) for one in told.get("elem", ()))
        return self._split[name, keys]

    def expression(self, told: Any) -> Expr:
        """What is looked at. Raises NotUnderstood."""
        if not isinstance(told, dict):
            return Constant(atom(told, ""))
        ((kind, words),) = told.items()
        if kind == "meta":
            return Field(f"meta {words['key']}")
        if kind == "payload":
            if "base" in words:
                return Field("@{},{},{}".format(words["base"], words["offset"], words["len"]))
            return Field(f"{words['protocol']} {words['field']}")
        if kind == "ct":
            return Field(f"ct {words['dir']} {words['key']}" if "dir" in words else f"ct {words['key']}")
        if kind == "fib":
            flags = words["flags"] if isinstance(words["flags"], list) else [words["flags"]]
            result = "oif" if words["result"] == "oifname" else words["result"]
            return Field(f"fib {','.join(sorted(flags))} {result}")
        if kind in {"&", "|", "^", "<<", ">>"}:
            left = self.expression(words[0])
            key = _name(left)
            value = words[1]
            plain = not isinstance(value, dict) or next(iter(value)) in {"|", "elem"}
            right = Constant(atom(value, key)) if plain else self.expression(value)
            return Bits(kind, left, right)
        if kind == "map":
            keys = self._keys(words["key"])
            return Lookup(keys, self._entries(words["data"], tuple(map(_name, keys))))
        if kind in CHOOSING:  # by chance, in turn, or by a hash: of one it is always that one
            return Constant(words.get("offset", 0)) if words["mod"] == 1 else Field(f"unknown {kind}")
        if kind == "exthdr":
            return Field(f"exthdr {words.get('name', '')}")
        raise NotUnderstood(kind)

    def _keys(self, told: Json) -> tuple[Expr, ...]:
        return tuple(map(self.expression, told["concat"])) if "concat" in told else (self.expression(told),)

    # ---- maps

    def _pairs(self, data: Any) -> Iterable[tuple[Any, Any]]:
        if isinstance(data, str):
            told = self.sets.get(data.lstrip("@"))
            if told is None:
                raise NotUnderstood(data)
            return [(one[0], one[1]) for one in told.get("elem", ())]
        return [(one[0], one[1]) for one in data["set"]]

    def _has_entry(self, told: Json) -> Test:
        keys = self._keys(told["key"])
        exact, ranged = split(element(key, tuple(map(_name, keys))) for key, _ in self._pairs(told["data"]))
        name = told["data"]
        return Test(keys, exact, ranged, moving=isinstance(name, str) and name.lstrip("@") in self.moving)

    def _entries(self, data: Any, names: tuple[str, ...]) -> Any:
        return tuple((element(key, names), _atoms(value)) for key, value in self._pairs(data))

    def _decisions(self, told: Json) -> DecisionMap:
        keys = self._keys(told["key"])
        names = tuple(map(_name, keys))
        exact, ranged = {}, []
        for key, value in self._pairs(told["data"]):
            decision = _decision(value)
            alone, wide = split([element(key, names)])
            if wide:
                ranged.append((wide[0], decision))
            exact.update(dict.fromkeys(alone, decision))
        name = told["data"]
        moving = isinstance(name, str) and name.lstrip("@") in self.moving
        return DecisionMap(keys, tuple(ranged), exact, moving=moving)

    # ---- effects

    def _mangle(self, told: Json) -> list[Part]:
        ((kind, words),) = told["key"].items()
        if kind == "tcp option" and words.get("name") == "maxseg":
            size = told["value"]
            by_path = isinstance(size, dict) and size.get("rt", {}).get("key") == "mtu"
            known = BY_PATH if by_path else size if isinstance(size, int) else None
            return [SetField(MSS, Constant(known) if known is not None else None)]
        if kind == "tcp option" or (kind == "meta" and words["key"] in NO_EFFECT):
            return []
        if kind == "ct" and words["key"] == "zone" and "dir" in words:
            return [SetField("ct zone", None)]
        if kind not in {"meta", "ct", "payload"}:
            return [UncertainTest(f"{kind} set")]
        key = _name(self.expression(told["key"]))
        try:
            value: Expr | None = self._value(told["value"], key)
        except (NotUnderstood, KeyError, TypeError, ValueError):
            value = None
        return [SetField(key, value)]

    def _value(self, told: Any, key: str) -> Expr:
        if isinstance(told, dict) and next(iter(told)) not in {"elem"}:
            return self.expression(told)
        return Constant(atom(told, key))

    def _translate(self, kind: str, told: Json) -> Translate:
        where, port = told.get("addr"), told.get("port")
        unsure = ""
        address: Expr | None = None
        pair = None
        if isinstance(where, dict) and "map" in where:
            keys = self._keys(where["map"]["key"])
            entries = self._entries(where["map"]["data"], tuple(map(_name, keys)))
            if isinstance(keys[0], Field) and keys[0].key.startswith("unknown "):
                unsure = "one of several addresses"
                entries = ((((0, LARGEST),), entries[0][1]),)
                keys = (Constant(0),)
            if any(len(found) > 1 for _, found in entries):
                pair = keys, entries
            else:
                address = Lookup(keys, entries)
        elif isinstance(where, dict):
            unsure = "one of several addresses"
            address = Constant(bounds(where, "ip addr")[0])
        elif where is not None:
            address = Constant(atom(where, "ip addr"))
        found: Expr | None = None
        if isinstance(port, dict) and "map" in port:
            keys = self._keys(port["map"]["key"])
            found = Lookup(keys, self._entries(port["map"]["data"], tuple(map(_name, keys))))
        elif isinstance(port, dict):
            several = bounds(port, "th dport")
            found = Constant(several if isinstance(several, str) or kind in HIDING else several[0])
            unsure = unsure or ("" if kind in HIDING else "one of several ports")
        elif port is not None:
            found = Constant(atom(port, "th dport"))
        return Translate(kind, address, found, pair, unsure)


def _name(expression: Expr) -> str:
    """The field by whose names and numbers the other side of a test is read."""
    if isinstance(expression, Field):
        return expression.key
    return _name(expression.left) if isinstance(expression, Bits) else ""


def _beyond(sign: str, value: Any) -> Bounds:
    if not isinstance(value, int):
        raise NotUnderstood(f"{sign} {value}")
    return {"<": (0, value - 1), "<=": (0, value), ">": (value + 1, LARGEST), ">=": (value, LARGEST)}[sign]


def _atoms(told: Any) -> tuple[Any, ...]:
    parts = told["concat"] if isinstance(told, dict) and "concat" in told else (told,)
    return tuple(atom(part, "") for part in parts)


def _decision(told: Json) -> Decision:
    ((name, words),) = told.items()
    if name not in VERDICTS:
        raise NotUnderstood(name)
    return Decision(name, words["target"] if words else "")


def _words(kind: str, told: Any) -> str:
    if kind == "limit":
        over = "over " if told.get("inv") else ""
        return f"limit rate {over}{told.get('rate', '')}/{told.get('per', 'second')}"
    if kind == "xt":
        return f"{told.get('type', 'xt')} {told.get('name', '')} of iptables"
    return f"{kind} {told['val']}" if isinstance(told, dict) and "val" in told else kind
