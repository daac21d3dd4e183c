"""How values of rules are said in one way only, so that two that mean the same compare equal."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Iterator

from bascule.model.ruleset.numbers import name_of
from bascule.model.ruleset.rules import (
    Expression,
    ExtensionHeader,
    Match,
    Meta,
    NamedSet,
    Payload,
    Prefix,
    Range,
    SetReference,
    Tuple,
    Value,
    VerdictStatement,
)  # fmt: skip

ADDRESS_TYPES = {"ipv4_addr", "ipv6_addr"}
PROTOCOLS = {Meta("l4proto"), Payload("ip", "protocol"), Payload("ip6", "nexthdr"), ExtensionHeader("frag", "nexthdr")}


def match(left: Expression, *right: Value, operator: str = "==") -> Match:
    """A test in the normal form."""
    if left in PROTOCOLS:
        right = tuple(name_of(value) for value in right)
    merged = _has_addresses(left) or all(_is_number(value) for value in right)
    return Match(left, _normal(right, merge=merged and operator != "in"), operator)


def named_set(name: str, type_: str, flags: Iterable[str] = (), elements: Iterable[Value] = ()) -> NamedSet:
    """A named set in the normal form."""
    merged = "interval" in (flags := tuple(sorted(flags))) and type_ in {*ADDRESS_TYPES, "inet_service", "mark"}
    return NamedSet(name, type_, flags, _normal(elements, merge=merged))


def entries(pairs: Iterable[tuple[Value, VerdictStatement]]) -> tuple[tuple[Value, VerdictStatement], ...]:
    """The entries of a map in the normal form."""
    return tuple(sorted(((_plain(value), verdict) for value, verdict in pairs), key=lambda pair: _order(pair[0])))


def _is_number(value: Value) -> bool:
    return isinstance(value.first if isinstance(value, Range) else value, int)


def _has_addresses(left: Expression) -> bool:
    return isinstance(left, Payload) and left.protocol in {"ip", "ip6"} and left.field in {"saddr", "daddr"}


def _normal(values: Iterable[Value], *, merge: bool) -> tuple[Value, ...]:
    values = tuple(map(_plain, values))
    if merge and not any(isinstance(value, SetReference | Tuple) for value in values):
        return tuple(_merged(values))
    return tuple(sorted(set(values), key=_order))


def _plain(value: Value) -> Value:
    """A network of one address is the address, a range of one number is the number."""
    if isinstance(value, Prefix):
        address = ipaddress.ip_address(value.address)
        return str(address) if value.length == address.max_prefixlen else Prefix(str(address), value.length)
    if isinstance(value, Range):
        return value.first if value.first == value.last else value
    return value


def _order(value: Value) -> tuple[int, int, str]:
    """Numbers by their size, and everything else by its letters."""
    if isinstance(value, int):
        return 0, value, ""
    if isinstance(value, Range) and isinstance(value.first, int):
        return 0, value.first, ""
    return 1, 0, repr(value)


def _merged(values: Iterable[Value]) -> Iterator[Value]:
    """Numbers or addresses as the fewest intervals, each as short as it can be said."""
    found: list[tuple[int, int, int]] = []  # version (0 for plain numbers), first, last
    for version, first, last in sorted(map(_interval, values)):
        if found and found[-1][0] == version and first <= found[-1][2] + 1:
            found[-1] = (version, found[-1][1], max(found[-1][2], last))
        else:
            found.append((version, first, last))
    for version, first, last in found:
        if not version:
            yield first if first == last else Range(first, last)
            continue
        kind = ipaddress.IPv4Address if version == 4 else ipaddress.IPv6Address
        if first == last:
            yield str(kind(first))
            continue
        bits = (last - first + 1).bit_length() - 1
        if last - first + 1 == 1 << bits and first % (1 << bits) == 0:
            yield Prefix(str(kind(first)), kind(first).max_prefixlen - bits)
        else:
            yield Range(str(kind(first)), str(kind(last)))


def _interval(value: Value) -> tuple[int, int, int]:
    if isinstance(value, int):
        return 0, value, value
    if isinstance(value, Range) and isinstance(value.first, int) and isinstance(value.last, int):
        return 0, value.first, value.last
    if isinstance(value, Prefix):
        network = ipaddress.ip_network(f"{value.address}/{value.length}", strict=False)
        return network.version, int(network.network_address), int(network.broadcast_address)
    first, last = (value.first, value.last) if isinstance(value, Range) else (value, value)
    start, end = ipaddress.ip_address(str(first)), ipaddress.ip_address(str(last))
    return start.version, int(start), int(end)
