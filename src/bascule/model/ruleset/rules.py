"""Tables, chains, rules, sets and maps of nftables (nft(8)) as frozen values.

They are in a normal form: two rules that let the same packets through by the same tests compare equal, in whatever
way nft has rewritten one of them. Sets are sorted and their intervals merged, a set of one is its element, a priority
is a number (what its name means depends on the family), and a `reject` without a reason stays without one.
"""

from __future__ import annotations

from collections.abc import Mapping

from msgspec import Struct
from msgspec.structs import replace


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
    chain of its own, which nothing leads to: nft 1.0.6 loses comments of tables and of chains in its JSON. ``others``
    are things in it that have no value here, each as ``map NAME``: somebody else put them there.
    """

    family: str  # ip, ip6, inet, bridge, netdev, arp
    name: str
    chains: tuple[Chain, ...] = ()
    sets: tuple[NamedSet | NamedMap, ...] = ()
    mark: str = ""
    others: tuple[str, ...] = ()

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
    alike = [(t.key, t.chains, t.mark, t.others) for t in (one, other)]
    return alike[0] == alike[1] and bare[0] == bare[1]


def writable(table: Table) -> Table:
    """The table without what somebody else put into it and Bascule cannot write."""
    chains = (replace(x, rules=tuple(r for r in x.rules if isinstance(r, Rule))) for x in table.chains)
    return replace(table, chains=tuple(chains), others=())
