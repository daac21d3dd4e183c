"""Values of nft's JSON and of iptables as bounds: numbers for addresses, ports, flags and types, names for links."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable
from typing import Any

from bascule.model.ruleset.nft_json import NotUnderstood
from bascule.topology.trace.rules.names import BY_KEY, FLAGS, NAMED
from bascule.topology.trace.rules.tests import Atom, Bounds

MACS = {"ether saddr", "ether daddr", "arp saddr ether", "arp daddr ether"}
LARGEST = (1 << 128) - 1


def address(text: str) -> int:
    """An IPv4 or IPv6 address as a number. Raises NotUnderstood for anything else."""
    parts = text.split(".")
    try:
        if len(parts) == 4 and ":" not in text:
            one, two, three, four = parts
            return int(one) << 24 | int(two) << 16 | int(three) << 8 | int(four)
        return int(ipaddress.IPv6Address(text))
    except ValueError:
        raise NotUnderstood(text) from None


def prefix(text: str, length: int | None = None) -> tuple[int, int]:
    """The first and the last address of ``10.0.0.0/8``."""
    if length is None:
        text, _, bits = text.partition("/")
        length = int(bits) if bits else 128 if ":" in text else 32
    host = (128 if ":" in text else 32) - length
    first = address(text) >> host << host
    return first, first | (1 << host) - 1


def network(text: str) -> tuple[int, int]:
    """The same of ``10.0.0.0/255.0.0.0``, too. Raises NotUnderstood for a mask that is no prefix."""
    where, _, mask = text.partition("/")
    if not mask or mask.isdigit():
        return prefix(text)
    bits, size = address(mask), 128 if ":" in mask else 32
    length = bits.bit_count()
    if bits != (1 << size) - (1 << size - length):
        raise NotUnderstood(f"mask {mask}")
    return prefix(where, length)


def mac(text: str) -> int:
    """A MAC as a number. Raises NotUnderstood for anything else."""
    try:
        return int(text.replace(":", ""), 16)
    except ValueError:
        raise NotUnderstood(text) from None


def atom(told: Any, key: str) -> Atom:
    """One value of a field. Raises NotUnderstood where it is none."""
    if isinstance(told, bool):
        raise NotUnderstood(str(told))
    if is_named(key):
        return "" if told in (0, "0", "") and key.startswith("fib") else str(told)
    if isinstance(told, int):
        return told
    if isinstance(told, list):
        return joined(told, key)
    if isinstance(told, dict):
        ((kind, words),) = told.items()
        if kind == "|":
            return joined(words, key)
        if kind == "elem":
            return atom(words["val"], key)
        raise NotUnderstood(kind)
    text = str(told)
    if (number := BY_KEY.get(key, {}).get(text)) is not None:
        return number
    if text.isdigit():
        return int(text)
    if text.startswith("0x"):
        return int(text, 16)
    if text.count(":") == 5 and all(len(part) == 2 for part in text.split(":")):
        return mac(text)
    if "." in text or ":" in text:
        return address(text)
    raise NotUnderstood(f"{key} {text}")


def is_named(key: str) -> bool:
    """Whether a field's values are names: links, and what a route leads to."""
    return key in NAMED or key.startswith("fib ")


def joined(words: Iterable[Any], key: str) -> int:
    """Flags as the bits of one number."""
    bits = 0
    for word in words:
        found = atom(word, key)
        if isinstance(found, str):
            raise NotUnderstood(found)
        bits |= found
    return bits


def bounds(told: Any, key: str) -> Bounds:
    """A value, a prefix or a range of a field. Raises NotUnderstood where it is none."""
    if isinstance(told, dict):
        ((kind, words),) = told.items()
        if kind == "prefix":
            if key in MACS:
                host = 48 - int(words["len"])
                first = mac(words["addr"]) >> host << host
                return first, first | (1 << host) - 1
            return prefix(words["addr"], words["len"])
        if kind == "range":
            low, high = (atom(word, key) for word in words)
            if isinstance(low, int) and isinstance(high, int):
                return low, high
            raise NotUnderstood(f"{key} {low}-{high}")
        if kind == "elem":
            return bounds(words["val"], key)
    found = atom(told, key)
    return found if isinstance(found, str) else (found, found)


def element(told: Any, keys: tuple[str, ...]) -> tuple[Bounds, ...]:
    """An element of a set, with a value for each of the keys that it is looked up by."""
    if isinstance(told, dict) and "elem" in told:
        told = told["elem"]["val"]
    if len(keys) == 1:
        return (bounds(told, keys[0]),)
    parts = told["concat"] if isinstance(told, dict) and "concat" in told else None
    if parts is None or len(parts) != len(keys):
        raise NotUnderstood(f"element of {' . '.join(keys)}")
    return tuple(bounds(part, key) for part, key in zip(parts, keys, strict=True))


def split(elements: Iterable[tuple[Bounds, ...]]) -> tuple[frozenset[tuple[Atom, ...]], tuple[tuple[Bounds, ...], ...]]:
    """Elements that are one value in each place, for a quick look, and those that are more."""
    exact, ranged = set(), []
    for parts in elements:
        plain = tuple(
            part if isinstance(part, str) else part[0]
            for part in parts
            if (not part.endswith("*") if isinstance(part, str) else part[0] == part[1])
        )
        if len(plain) == len(parts):
            exact.add(plain)
        else:
            ranged.append(parts)
    return frozenset(exact), tuple(ranged)


def is_flags(key: str) -> bool:
    """Whether a field is a set of bits with names."""
    return key in FLAGS
