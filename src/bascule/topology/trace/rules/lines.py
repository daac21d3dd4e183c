"""Lines, chains and rulesets as a packet meets them: of nft, of iptables and of ebtables alike."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from typing import Any

from msgspec import Struct, field
from msgspec.structs import force_setattr

from bascule.topology.trace.rules.tests import (
    AnyFlag,
    AnyTest,
    Atom,
    Bits,
    Bounds,
    Expr,
    Field,
    Fields,
    Test,
    UncertainTest,
    is_missing,
)

LONG = 50  # lines from which on an index is quicker than going through all of them
BR_NETFILTER = 0  # NF_BR_PRI_BRNF in linux/netfilter_bridge.h
CONNTRACK, NAT_DESTINATION, NAT_SOURCE = -200, -100, 100  # priorities in linux/netfilter_ipv4.h


class Decision(Struct, frozen=True):
    """accept, drop, reject, continue, return, queue, or jump and goto with the chain that they lead to."""

    name: str
    target: str = ""


class DecisionMap(Struct, frozen=True):
    """A decision by what the packet is; one that is not in the map goes on in the same line."""

    keys: tuple[Expr, ...]
    entries: tuple[tuple[tuple[Bounds, ...], Decision], ...]
    exact: Mapping[tuple[Atom, ...], Decision] = field(default_factory=dict)
    moving: bool = False

    @property
    def ranged(self) -> tuple[tuple[Bounds, ...], ...]:
        """The elements that are no single value, as a test has them."""
        return tuple(bounds for bounds, _ in self.entries)

    @property
    def decisions(self) -> tuple[Decision, ...]:
        """All that it may decide."""
        return (*self.exact.values(), *(decision for _, decision in self.entries))


MSS = "tcp mss"  # the maximum segment size that a SYN offers, where somebody asks for it; BY_PATH: as the way takes
BY_PATH = -1


class SetField(Struct, frozen=True):
    """Another value in a field from here on; None where it is unknown which."""

    key: str
    value: Expr | None


class NoTrack(Struct, frozen=True):
    """Connection tracking leaves the packet alone."""


class Translate(Struct, frozen=True):
    """NAT. ``kind`` is snat, dnat, masquerade or redirect; None in ``address`` keeps it.

    ``unsure`` says of what several it takes one.
    """

    kind: str
    address: Expr | None = None
    port: Expr | None = None
    pair: tuple[tuple[Expr, ...], tuple[tuple[tuple[Bounds, ...], tuple[Atom, ...]], ...]] | None = None
    unsure: str = ""


Part = AnyTest | Decision | DecisionMap | SetField | NoTrack | Translate


Guard = tuple[str, frozenset[Atom], int, int, bool]
"""A test of one field that stands as it is: its key, values, the bounds of one range, and whether it is negated."""


def _guards(parts: tuple[Part, ...]) -> Iterator[Guard]:
    """The tests that a line begins with, as far as they are so plain: most packets fail at one of them."""
    for test in parts:
        if not isinstance(test, Test) or len(test.keys) != 1 or test.moving or len(test.ranged) > 1:
            return
        bounds = test.ranged[0][0] if test.ranged else (1, 0)
        if not isinstance(test.keys[0], Field) or isinstance(bounds, str):
            return
        yield test.keys[0].key, frozenset(one[0] for one in test.exact), *bounds, test.negated


class RuleLine(Struct, frozen=True, kw_only=True):
    """A rule: its parts from left to right, of which a test that fails ends it; ``guards`` is made of them."""

    parts: tuple[Part, ...]
    handle: int = 0
    text: str = ""
    comment: str = ""
    guards: tuple[Guard, ...] = ()

    def __post_init__(self) -> None:
        """Read the first tests once, for a packet is held against thousands of lines."""
        force_setattr(self, "guards", tuple(_guards(self.parts)))

    @property
    def acts(self) -> bool:
        """Whether anything comes of meeting it; a line that counts or logs has tests alone."""
        return not all(isinstance(part, Test | AnyFlag | UncertainTest) for part in self.parts)

    def may_meet(self, fields: Fields) -> bool:
        """Whether a packet passes the tests that the line begins with, or it takes more to tell."""
        for key, exact, low, high, negated in self.guards:
            value = fields.get(key)
            if value.__class__ is int:
                within = low <= value <= high or value in exact
            elif value.__class__ is str:
                within = value in exact
            else:
                return True
            if within is negated:
                return False
        return True


class Base(Struct, frozen=True, kw_only=True):
    """Where the kernel calls a chain. ``born`` orders chains of one priority: the youngest is called first."""

    type: str
    hook: str
    priority: int
    policy: str = "accept"
    device: str = ""
    born: int = 0


class LineIndex(Struct, frozen=True):
    """Of a long chain the numbers of lines by what a field must be.

    ``by_key`` has them by a value, ``spans`` by bounds; ``rest`` are those without such a test.
    """

    by_key: Mapping[str, Mapping[Atom, Sequence[int]]]
    spans: Mapping[str, Sequence[tuple[int, int, int]]]
    rest: Sequence[int]

    @classmethod
    def of(cls, lines: Sequence[RuleLine]) -> LineIndex:
        """By that test of each line whose values the fewest lines ask for: nearly all ask for TCP, few for one port."""
        by_key: dict[str, dict[Atom, list[int]]] = {}
        spans: dict[str, list[tuple[int, int, int]]] = {}
        rest = []
        tests = [[guard for guard in line.guards if not guard[4]] for line in lines]
        asking = Counter((key, value) for guards in tests for key, values, *_ in guards for value in values)
        for number, guards in enumerate(tests):
            exact = [guard for guard in guards if guard[2] > guard[3]]
            wide = [guard for guard in guards if guard[2] <= guard[3] and not guard[1]]
            if exact:
                key, values, *_ = min(exact, key=lambda guard: sum(asking[guard[0], value] for value in guard[1]))
                for value in values:
                    by_key.setdefault(key, {}).setdefault(value, []).append(number)
            elif wide:
                key, _, low, high, _ = min(wide, key=lambda guard: guard[3] - guard[2])
                spans.setdefault(key, []).append((low, high, number))
            else:
                rest.append(number)
        return cls(by_key, spans, rest)

    def numbers(self, fields: Fields) -> list[int]:
        """The lines that a packet may meet."""
        found = list(self.rest)
        for key, by_value in self.by_key.items():
            value = fields.get(key)
            if value.__class__ is int or value.__class__ is str:
                found += by_value.get(value, ())
            elif not is_missing(fields, key):
                found += {number for numbers in by_value.values() for number in numbers}
        for key, spans in self.spans.items():
            value = fields.get(key)
            if value.__class__ is int:
                found += [number for low, high, number in spans if low <= value <= high]
            elif not is_missing(fields, key):
                found += [number for _, _, number in spans]
        found.sort()
        return found


class RuleChain(Struct, frozen=True, kw_only=True):
    """Lines in their order; one without ``base`` is reached from others only. A long one has an ``index``."""

    family: str
    table: str
    name: str
    lines: tuple[RuleLine, ...] = ()
    base: Base | None = None
    backend: str = "nft"  # nft, iptables-nft, iptables-legacy or ebtables-legacy: whose words the lines are in
    index: LineIndex | None = None

    def __post_init__(self) -> None:
        """Find once where to look."""
        force_setattr(self, "index", LineIndex.of(self.lines) if len(self.lines) > LONG else None)

    @property
    def key(self) -> tuple[str, str, str]:
        """How other chains find it."""
        family = f"legacy {self.family}" if self.is_legacy else self.family
        return family, self.table, self.name

    @property
    def is_legacy(self) -> bool:
        """Whether it is of the old kernel side of iptables or ebtables, which nft does not show."""
        return self.backend.endswith("-legacy")

    @property
    def is_of_br_netfilter(self) -> bool:
        """Whether it has the priority at which br_netfilter itself is called."""
        return self.base is not None and self.base.priority == BR_NETFILTER

    def rivals(self, later: Iterable[RuleChain]) -> tuple[RuleChain, ...]:
        """Of chains that are asked after it, those that may be asked before it.

        Of one priority the one that was registered last comes first (measured), and neither iptables-legacy nor nft
        tells when that was for the other's.
        """
        mine = self.base.priority if self.base else None
        others = (one for one in later if one.is_legacy != self.is_legacy and one.base and one.base.priority == mine)
        return tuple(one for one in others if one.lines and self.lines)

    def __str__(self) -> str:
        return f"{self.family} {self.table} {self.name}"


CHANGING = "nft's tables changed all the while that they were read"


class Rules(Struct, frozen=True, dict=True):
    """All chains of a host. ``unread`` says what of its firewalls could not be read.

    ``tracking`` are families of tables with helpers, timeouts or expectations, which have connections tracked.
    """

    chains: Mapping[tuple[str, str, str], RuleChain] = field(default_factory=dict)
    unread: tuple[str, ...] = ()
    tracking: frozenset[str] = frozenset()

    def with_chains(self, chains: Mapping[tuple[str, str, str], RuleChain]) -> Rules:
        """The same host with other chains."""
        return Rules(chains, self.unread, self.tracking)

    @property
    def lines(self) -> Iterator[RuleLine]:
        """The lines of all chains."""
        return (line for chain in self.chains.values() for line in chain.lines)

    @property
    def bases(self) -> Iterator[Base]:
        """Where the kernel calls its chains."""
        return (chain.base for chain in self.chains.values() if chain.base is not None)

    def at(self, family: str, hook: str, device: str = "") -> tuple[RuleChain, ...]:
        """The base chains that a packet of a family meets at a hook, in the kernel's order.

        ``family`` is ip, ip6, bridge, arp or netdev. Of one priority the youngest comes first (measured).
        """
        kept: dict[tuple[str, str, str], tuple[RuleChain, ...]] = self.__dict__.setdefault("_at", {})
        if (known := kept.get((family, hook, device))) is not None:
            return known
        found = [
            chain
            for chain in self.chains.values()
            if chain.base is not None and chain.base.hook == hook and _meets(chain, family, device)
        ]
        found.sort(key=lambda chain: (chain.base.priority, -chain.base.born))  # type: ignore[union-attr]  # has one
        kept[family, hook, device] = tuple(found)
        return kept[family, hook, device]

    def calls(self, family: str, hook: str) -> tuple[tuple[RuleChain | str, ...], tuple[RuleChain, ...]]:
        """What ip or ip6 calls at a hook, in its order: chains, ``conntrack`` and ``nat``; and those that NAT asks."""
        kept: dict[tuple[str, str], Any] = self.__dict__.setdefault("_calls", {})
        if (family, hook) not in kept:
            found = self.at(family, hook)
            events: list[tuple[int, int, RuleChain | str]] = [
                (chain.base.priority, -chain.base.born, chain)
                for chain in found
                if chain.base is not None and chain.base.type != "nat"
            ]
            if hook in {"prerouting", "output"}:
                events.append((CONNTRACK, -(1 << 30), "conntrack"))
            if hook != "forward":
                place = NAT_DESTINATION if hook in {"prerouting", "output"} else NAT_SOURCE
                events.append((place, -self._first_nat_chain(family), "nat"))
            events.sort(key=lambda event: event[:2])
            nats = tuple(chain for chain in found if chain.base is not None and chain.base.type == "nat")
            kept[family, hook] = tuple(event for _, _, event in events), nats
        calls: tuple[tuple[RuleChain | str, ...], tuple[RuleChain, ...]] = kept[family, hook]
        return calls

    def _first_nat_chain(self, family: str) -> int:
        hooks = ("prerouting", "input", "output", "postrouting")
        chains = [chain for hook in hooks for chain in self.at(family, hook)]
        return min((chain.base.born for chain in chains if chain.base and chain.base.type == "nat"), default=0)

    @property
    def filters(self) -> bool:
        """Whether any chain is called here, or that could not be read."""
        return bool(self.unread) or any(True for _ in self.bases)

    @cached_property
    def fib_keys(self) -> frozenset[str]:
        """What rules ask of the routing table."""
        return frozenset(key for keys in self.keys.values() for key in keys if key.startswith("fib "))

    def prepared(self) -> Rules:
        """The same, after the look at every line that the first question would wait for."""
        _ = self.keys
        return self

    @cached_property
    def keys(self) -> Mapping[str, frozenset[str]]:
        """What the rules of each family ask for."""
        found: dict[str, set[str]] = {}
        for chain in self.chains.values():
            found.setdefault(chain.family, set()).update(key for line in chain.lines for key in keys_of(line))
        return {family: frozenset(keys) for family, keys in found.items()}


def keys_of(line: RuleLine) -> Iterator[str]:
    """The fields that a line asks for, and those of a connection that it sets, which needs tracking as well."""
    expressions: list[Any] = []
    for part in line.parts:
        if isinstance(part, Test | DecisionMap):
            expressions += part.keys
        elif isinstance(part, AnyFlag):
            expressions.append(part.key)
        elif isinstance(part, SetField):
            expressions += [one for one in (part.value,) if one is not None]
            if part.key.startswith("ct "):
                yield part.key
        elif isinstance(part, UncertainTest) and part.reason.startswith("ct count"):
            yield "ct count"
    while expressions:
        one = expressions.pop()
        if isinstance(one, Field):
            yield one.key
        elif isinstance(one, Bits):
            expressions += [one.left, one.right]


def _meets(chain: RuleChain, family: str, device: str) -> bool:
    if family == "netdev":
        devices = (chain.base.device if chain.base else "").split(",")
        return chain.family in {"netdev", "inet"} and device in devices
    return chain.family == family or (chain.family == "inet" and family in {"ip", "ip6"})
