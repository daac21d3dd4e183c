"""What a rule asks of a packet, answered yes, no, or unknown (None).

A packet is its fields by nft's names (``ip saddr``, ``meta iifname``, ``ct state``). A field has a number, a name, a
pair of numbers (somewhere between them, both included), or None where nobody knows it. A field that is not there
makes any test of it fail, a negated one too, for the kernel ends the rule at a header that is missing.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from enum import Enum
from typing import Final

from msgspec import Struct

from bascule.topology.trace.rules.raw import raw_bits

Atom = int | str
Bounds = tuple[int, int] | str
"""Numbers from one to another, both included, or a name; ``eth*`` stands for all that begin so."""


class HeaderMissing(Enum):
    """That a packet has no such header."""

    HEADER = "header"


MISSING: Final = HeaderMissing.HEADER
Value = int | str | tuple[int, int] | None
Fields = Mapping[str, Value]

# keys of these kinds are known of every packet: one that the walk does not set is unknown, not absent
HEADERS = {
    "ip": "ip saddr",
    "ip6": "ip6 saddr",
    "tcp": "tcp dport",
    "udp": "udp dport",
    "icmp": "icmp type",
    "icmpv6": "icmpv6 type",
    "arp": "arp operation",
}  # by a field that whatever has this header has: what else stands in it is unknown
ALWAYS = ("meta", "ct", "fib", "unknown")


def read(fields: Fields, key: str) -> Value | HeaderMissing:
    """A field of a packet, None where it is unknown."""
    if key in fields:
        return fields[key]
    if key.startswith("@"):
        base, offset, length = key[1:].split(",")
        return raw_bits(fields, base, int(offset), int(length))
    if key.startswith("th "):
        return _ports_of_an_echo(fields, key)
    header = key.partition(" ")[0]
    return None if header in ALWAYS or HEADERS.get(header) in fields else MISSING


def is_missing(fields: Fields, key: str) -> bool:
    """Whether a packet has no such header, so that no test of it holds."""
    return key not in fields and read(fields, key) is MISSING


def _ports_of_an_echo(fields: Fields, key: str) -> Value | HeaderMissing:
    """What stands where others have ports, which ``th`` reads of each protocol: type and code, and the checksum."""
    for name in ("icmp", "icmpv6"):
        kind, code = fields.get(f"{name} type"), fields.get(f"{name} code")
        if isinstance(kind, int) and isinstance(code, int):
            return kind << 8 | code if key == "th sport" else None
    return MISSING


class Field(Struct, frozen=True):
    """A field as it stands."""

    key: str


class Constant(Struct, frozen=True):
    """A number or a name that the rule itself has, or one of some numbers: which one, the kernel chooses."""

    value: Atom | tuple[int, int]


class Bits(Struct, frozen=True):
    """Two expressions joined bit by bit: ``meta mark & 0xff``. ``sign`` is one of ``& | ^ << >>``."""

    sign: str
    left: Expr
    right: Expr


class Lookup(Struct, frozen=True):
    """A value by the fields of the packet: ``ip saddr map { … }``."""

    keys: tuple[Expr, ...]
    entries: tuple[tuple[tuple[Bounds, ...], tuple[Atom, ...]], ...]


Expr = Field | Constant | Bits | Lookup

_SIGNS = {
    "&": int.__and__,
    "|": int.__or__,
    "^": int.__xor__,
    "<<": int.__lshift__,
    ">>": int.__rshift__,
}


def value_of(expression: Expr, fields: Fields) -> Value | HeaderMissing:
    """What an expression is of a packet."""
    if isinstance(expression, Field):
        return read(fields, expression.key)
    if isinstance(expression, Constant):
        return expression.value
    if isinstance(expression, Lookup):
        found = looked_up(expression.keys, expression.entries, fields)
        return found[0] if isinstance(found, tuple) and len(found) == 1 else None if found is None else MISSING
    left, right = value_of(expression.left, fields), value_of(expression.right, fields)
    if left is MISSING or right is MISSING:
        return MISSING
    if isinstance(left, int) and isinstance(right, int):
        return _SIGNS[expression.sign](left, right)
    return None


def looked_up(
    keys: Sequence[Expr], entries: Sequence[tuple[tuple[Bounds, ...], tuple[Atom, ...]]], fields: Fields
) -> tuple[Atom, ...] | HeaderMissing | None:
    """What a map has for a packet; MISSING where it has nothing, None where that is unknown."""
    values = [value_of(key, fields) for key in keys]
    if any(value is MISSING for value in values):
        return MISSING
    for bounds, found in entries:
        match = all_of(holds(one, value) for one, value in zip(bounds, values, strict=False))
        if match is None:
            return None
        if match:
            return found
    return MISSING


def all_of(answers: object) -> bool | None:
    """Whether all are yes: no where one is no, else unknown where one is unknown."""
    found: bool | None = True
    for answer in answers:  # type: ignore[attr-defined]  # any iterable of answers
        if answer is False:
            return False
        if answer is None:
            found = None
    return found


def holds(bounds: Bounds, value: Value | HeaderMissing) -> bool | None:
    """Whether a value lies within bounds."""
    if value is None:
        return None
    if isinstance(bounds, str):
        if not isinstance(value, str):
            return False
        return value.startswith(bounds[:-1]) if bounds.endswith("*") else value == bounds
    low, high = bounds
    if isinstance(value, tuple):
        if value[1] < low or value[0] > high:
            return False
        return True if low <= value[0] and value[1] <= high else None
    return isinstance(value, int) and low <= value <= high


def as_bounds(atoms: Iterable[Atom]) -> tuple[Bounds, ...]:
    """An element of single values as one of bounds."""
    return tuple([(one, one) if isinstance(one, int) else one for one in atoms])


class Test(Struct, frozen=True):
    """Whether what ``keys`` are of a packet is one of some elements; several keys are looked up together.

    ``moving`` are elements that rules themselves add: what they are when the packet comes is unknown. Those that
    ``lapse`` go by themselves when their time is over.
    """

    __test__ = False  # pytest takes it for one of its own

    keys: tuple[Expr, ...]
    exact: frozenset[tuple[Atom, ...]] = frozenset()
    ranged: tuple[tuple[Bounds, ...], ...] = ()
    negated: bool = False
    moving: bool = False
    lapse: bool = False

    def holds(self, fields: Fields) -> bool | None:
        """Of this packet."""
        values = tuple([value_of(key, fields) for key in self.keys])
        if MISSING in values:
            return False
        if self.moving:
            return None
        if values in self.exact:
            return not self.negated
        found = self._among(values)
        return None if found is None else found is not self.negated

    def _among(self, values: tuple[Value | HeaderMissing, ...]) -> bool | None:
        found: bool | None = False
        for bounds in self.ranged:
            match = all_of(map(holds, bounds, values))
            if match:
                return True
            if match is None:
                found = None
        if any(value is None or isinstance(value, tuple) for value in values):
            for atoms in self.exact:
                if all_of(map(holds, as_bounds(atoms), values)) is not False:
                    return None
        return found


class AnyFlag(Struct, frozen=True):
    """Whether a field has one of some flags set: ``ct state new,related``."""

    key: Expr
    flags: int
    negated: bool = False

    def holds(self, fields: Fields) -> bool | None:
        """Of this packet."""
        value = value_of(self.key, fields)
        if value is MISSING:
            return False
        if not isinstance(value, int):
            return None
        return bool(value & self.flags) is not self.negated


class UncertainTest(Struct, frozen=True):
    """A test that nothing here answers: a limit, a quota, a time of day, or a word that is not understood."""

    reason: str

    def holds(self, fields: Fields) -> bool | None:
        """Of any packet: unknown."""
        return None


class InSet(UncertainTest, frozen=True):
    """Whether a packet is in a set of ipset(8), by its ``src`` or ``dst`` for each part of the set's entries."""

    name: str = ""
    sides: tuple[str, ...] = ()
    negated: bool = False

    @classmethod
    def of(cls, name: str, sides: str, *, negated: bool) -> InSet:
        """A question for a set with its sides as iptables writes them: ``src,dst``."""
        return cls(f"set {name} of ipset", name, tuple(sides.split(",")), negated)


AnyTest = Test | AnyFlag | UncertainTest
