"""``-m addrtype`` and ``-m rpfilter``: what lines of iptables ask of addresses and routes (net/netfilter/xt_*.c)."""

from __future__ import annotations

from collections.abc import Sequence

from bascule.model.ruleset.nft_json import NotUnderstood
from bascule.topology.trace.rules.tests import AnyTest, Constant, Field, Test, UncertainTest

ADDRESS_TYPES = {"LOCAL", "UNICAST", "BROADCAST", "MULTICAST", "ANYCAST", "BLACKHOLE", "UNREACHABLE", "PROHIBIT"}
BY_ROUTE = {"LOCAL", "ANYCAST", "UNREACHABLE"}  # of IPv6, where all else is read from the address itself
MULTICAST6, LAST6 = 0xFF << 120, (1 << 128) - 1
KINDS6 = {"UNICAST": (1, MULTICAST6 - 1), "MULTICAST": (MULTICAST6, LAST6)}


def address_type(key: str, value: str, *, negated: bool, six: bool) -> AnyTest:
    """The types of ``saddr`` or ``daddr``. Raises NotUnderstood."""
    words = set(value.split(","))
    if words - ADDRESS_TYPES:
        raise NotUnderstood(value)
    if not six or words <= BY_ROUTE:
        return Test((Field(f"fib {key} type"),), frozenset((word.lower(),) for word in words), negated=negated)
    if words == set(KINDS6):  # the kernel asks for both at once, which no address is
        return Test((Constant(0),), frozenset({(1,)}), negated=negated)
    if len(words) == 1 and words <= KINDS6.keys():
        return Test((Field(f"ip6 {key}"),), ranged=((KINDS6[value],),), negated=negated)
    return UncertainTest(f"--{'src' if key == 'saddr' else 'dst'}-type {value}")


def reverse_path(words: Sequence[str]) -> Test:
    """Whether the host would send back by the link that a packet came in by."""
    flags = []
    for word in words:
        if word not in {"--loose", "--validmark", "--accept-local", "--invert"}:
            break
        flags.append(word)
    where = ("saddr",) if "--loose" in flags else ("iif", "saddr")
    key = ",".join(sorted((*where, "mark") if "--validmark" in flags else where))
    return Test((Field(f"fib {key} oif"),), frozenset({("",)}), negated="--invert" not in flags)
