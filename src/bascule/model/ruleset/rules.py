"""Tables, chains, rules, sets and maps of nftables (nft(8)) as frozen values.

They are in a normal form: two rules that let the same packets through by the same tests compare equal, in whatever
way nft has rewritten one of them. Sets are sorted and their intervals merged, a set of one is its element, a priority
is a number (what its name means depends on the family), and a `reject` without a reason stays without one.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Iterator, Mapping

from msgspec import Struct
from msgspec.structs import replace

from bascule.model.ruleset.numbers import name_of

ADDRESS_TYPES = {"ipv4_addr", "ipv6_addr"}


class Part(Struct, frozen=True, tag_field="is", tag=str.lower, omit_defaults=True):
    """What a rule is made of; in a dump each says by ``is`` which it is."""


# ---- values


class Prefix(Part, frozen=True):
    """A network, as in 192.168.1.0/24."""

    address: str
    length: int


class Range(Part, frozen=True):
    """From one number or address to another, both included."""

    first: int | str
    last: int | str


class SetReference(Part, frozen=True):
    """A named set or map of the same table."""

    name: str


class Tuple(Part, frozen=True):
    """The values of a concatenation, one for each of its expressions."""

    values: tuple[int | str | Prefix | Range, ...]


Value = int | str | Prefix | Range | SetReference | Tuple


# ---- what a rule looks at


class Meta(Part, frozen=True):
    """What the kernel knows of a packet beside its bytes: iifname, oifname, l4proto, mark and so on."""

    key: str


class Payload(Part, frozen=True):
    """A field of a header: ip saddr, tcp dport, ether type, arp operation and so on."""

    protocol: str
    field: str


class Ct(Part, frozen=True):
    """What connection tracking knows: state, status, mark and so on."""

    key: str
    direction: str = ""


class RawPayload(Part, frozen=True, tag="raw"):
    """Bits of a header by their place, where nft has no name for them: ``@th,64,128``; offset and length in bits."""

    base: str  # ll (link layer), nh (network header), th (transport header)
    offset: int
    length: int


class ExtensionHeader(Part, frozen=True, tag="exthdr"):
    """A field of an extension header of IPv6; without one, whether there is such a header (``exists``, ``missing``)."""

    name: str  # hbh, rt, frag, dst, mh
    field: str = ""


class Fib(Part, frozen=True):
    """What the routing table says of an address: ``fib daddr type``."""

    flags: tuple[str, ...]
    result: str


class Masked(Part, frozen=True):
    """Some bits of a value: ``@ll,0,8 & 0x1``."""

    of: Meta | Payload | Ct | RawPayload
    mask: int


class Concatenation(Part, frozen=True):
    """Several expressions that are looked up together: ``ip saddr . tcp dport``."""

    parts: tuple[Meta | Payload | Ct | Fib | RawPayload | ExtensionHeader, ...]


Expression = Meta | Payload | Ct | Fib | RawPayload | ExtensionHeader | Masked | Concatenation
PROTOCOLS = {Meta("l4proto"), Payload("ip", "protocol"), Payload("ip6", "nexthdr"), ExtensionHeader("frag", "nexthdr")}


# ---- statements


class Match(Part, frozen=True):
    """A test; :func:`match` makes one in the normal form.

    Several values on the right are a set. The operator ``in`` asks for any of some flags, as ``ct state new`` does.
    """

    left: Expression
    right: tuple[Value, ...]
    operator: str = "=="


class VerdictStatement(Part, frozen=True, tag="verdict"):
    """accept, drop, continue, return, or jump and goto with the chain that they lead to."""

    name: str
    target: str = ""


class VerdictMap(Part, frozen=True):
    """A verdict by a value: of a map in the rule itself, or of a named one."""

    key: Expression
    entries: tuple[tuple[Value, VerdictStatement], ...] = ()
    map: str = ""


class Reject(Part, frozen=True):
    """Drop and say so. Without words it is what the family does by itself: port unreachable."""

    protocol: str = ""  # icmp, icmpv6, icmpx, tcp reset
    code: str = ""


class Nat(Part, frozen=True):
    """Another source (snat, masquerade) or destination (dnat, redirect) from here on."""

    name: str
    family: str = ""
    address: str | Prefix | Range = ""
    port: int | Range | None = None
    flags: tuple[str, ...] = ()


class Counter(Part, frozen=True):
    """Counts packets and bytes; the numbers are of the moment and no part of the value."""


class RateLimit(Part, frozen=True):
    """Passes packets up to a rate, with ``over`` those beyond it; units are those of nft(8)."""

    rate: int
    per: str  # second, minute, hour, day, week
    burst: int = 5
    unit: str = "packets"  # or bytes, kbytes, mbytes
    burst_unit: str = "packets"
    over: bool = False


class SetUpdate(Part, frozen=True, tag="update"):
    """Put what the packet has into a named set that grows, with a counter or a limit for each element."""

    operation: str  # add, update, delete
    set: str
    key: Expression
    statements: tuple[Counter | RateLimit, ...] = ()


class Mangle(Part, frozen=True):
    """Writes another value into a field of the packet: ``udp checksum set 0``."""

    field: Payload
    value: int | str


class Log(Part, frozen=True):
    """A line in the kernel's log, or a message to a netlink group."""

    prefix: str = ""
    group: int | None = None
    level: str = ""


Statement = Match | VerdictStatement | VerdictMap | Reject | Nat | Counter | RateLimit | SetUpdate | Mangle | Log


class Rule(Part, frozen=True):
    """Statements from left to right; a test that fails ends the rule."""

    statements: tuple[Statement, ...]
    comment: str = ""


class OpaqueRule(Part, frozen=True):
    """A rule with something that is not understood here, as nft's JSON without handles."""

    content: str


# ---- chains, sets and tables


class Hook(Struct, frozen=True, omit_defaults=True):
    """Where the kernel calls a chain; the lower the priority, the earlier."""

    type: str  # filter, nat, route
    name: str  # prerouting, input, forward, output, postrouting, ingress
    priority: int
    policy: str = "accept"


class Chain(Struct, frozen=True, omit_defaults=True):
    """Rules in their order; without a hook they are reached from other chains only."""

    name: str
    rules: tuple[Rule | OpaqueRule, ...] = ()
    hook: Hook | None = None


class NamedSet(Part, frozen=True):
    """A set that rules refer to; :func:`named_set` makes one in the normal form.

    What rules put in (``dynamic``) is of the moment and no part of the value; so much of it as ``size`` finds room, for
    ``timeout_s``. Its ``type`` has ``integer`` where rules look up bits without a name: they say how many.
    """

    name: str
    type: str  # as in ipv4_addr . inet_service
    flags: tuple[str, ...] = ()
    elements: tuple[Value, ...] = ()
    size: int = 0
    timeout_s: int = 0


class NamedMap(Part, frozen=True):
    """A map from values to verdicts that rules refer to."""

    name: str
    type: str
    flags: tuple[str, ...] = ()
    entries: tuple[tuple[Value, VerdictStatement], ...] = ()


class Table(Part, frozen=True):
    """A table of which every word is understood, or that Bascule owns.

    ``mark`` says whose it is, empty where nothing is written in it that would. It stands as the comment of a rule in a
    chain of its own, which nothing leads to: nft 1.0.6 loses comments of tables and of chains in its JSON.
    """

    family: str  # ip, ip6, inet, bridge, netdev, arp
    name: str
    chains: tuple[Chain, ...] = ()
    sets: tuple[NamedSet | NamedMap, ...] = ()
    mark: str = ""

    @property
    def key(self) -> str:
        """Its family and its name, by which the kernel knows it."""
        return f"{self.family} {self.name}"


class ForeignTable(Part, frozen=True):
    """A table of somebody else, as nft's JSON without handles and counters: seen, and never touched."""

    family: str
    name: str
    content: str

    @property
    def key(self) -> str:
        """Its family and its name, by which the kernel knows it."""
        return f"{self.family} {self.name}"


AnyTable = Table | ForeignTable


def owned(tables: Mapping[str, AnyTable]) -> dict[str, Table]:
    """The tables that are Bascule's own."""
    return {key: table for key, table in tables.items() if isinstance(table, Table)}


def same_but_elements(one: Table, other: Table) -> bool:
    """Whether two tables differ at most in what their sets hold."""
    bare = [[replace(x, entries=()) if isinstance(x, NamedMap) else replace(x, elements=()) for x in t.sets]
            for t in (one, other)]  # fmt: skip
    return (one.key, one.chains, one.mark, bare[0]) == (other.key, other.chains, other.mark, bare[1])


# ---- the normal form


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
