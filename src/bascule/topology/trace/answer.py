"""What a walk says: stages, what is in the way, and whether the packet arrives."""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum

from msgspec import Struct, field
from msgspec.structs import replace

from bascule.topology.trace.rules.evaluate import MatchedLine, UncertainLine
from bascule.topology.trace.rules.lines import RuleChain
from bascule.topology.trace.rules.tests import Fields


class Certainty(StrEnum):
    """``perhaps`` depends on something that is named; ``unknown`` on what nobody told."""

    YES = "yes"
    NO = "no"
    PERHAPS = "perhaps"
    UNKNOWN = "unknown"

    @property
    def passes(self) -> bool:
        """Whether nothing surely stops it."""
        return self in {Certainty.YES, Certainty.PERHAPS}

    @property
    def rank(self) -> int:
        """Its place from the best to the worst."""
        return _RANKS.index(self)


_RANKS = (Certainty.YES, Certainty.PERHAPS, Certainty.UNKNOWN, Certainty.NO)


class Code(StrEnum):
    """What stops a packet; the reference of codes explains each."""

    FILTERED = "filtered"
    POLICY = "policy"
    ISOLATED = "isolated"
    NOT_ONE_SEGMENT = "not-one-segment"
    VLAN = "vlan"
    STP = "stp"
    LINK_DOWN = "link-down"
    FDB = "fdb"
    OPENFLOW = "openflow"
    LOCKED = "locked"
    ARP_FILTERED = "arp-filtered"
    ARP_SILENT = "arp-silent"
    NDP_FILTERED = "ndp-filtered"
    NO_ROUTE = "no-route"
    BLACKHOLE = "blackhole"
    NOT_FORWARDING = "not-forwarding"
    RP_FILTER = "rp-filter"
    MARTIAN = "martian"
    MTU = "mtu"
    NAT_NOWHERE = "nat-nowhere"
    NAT_ELSEWHERE = "nat-elsewhere"
    REPLY_FILTERED = "reply-filtered"
    REPLY_ELSEWHERE = "reply-elsewhere"
    LIMITED = "limited"
    ORDER = "order"
    UNKNOWN_OUTSIDE = "unknown-outside"
    AWAITED = "routes-awaited"
    OFF = "off"


UNKNOWN = {Code.UNKNOWN_OUTSIDE, Code.AWAITED, Code.OFF}
"""What says that nobody can tell, and not that a packet is lost."""


class Blocker(Struct, frozen=True, kw_only=True):
    """One thing in the way. ``certain`` is False where it stops the packet perhaps.

    ``depends`` says that something before it is not known: the packet may never come there, or come as another.
    ``chain`` is the base chain, ``hit`` the line, None where it is the chain's policy; ``fields`` is the packet there.
    """

    code: Code
    subject: str
    text: str
    certain: bool = True
    depends: bool = False
    chain: RuleChain | None = None
    hit: MatchedLine | None = None
    doubts: tuple[UncertainLine, ...] = ()
    fields: Fields = field(default_factory=dict)


class Stage(Struct, frozen=True, kw_only=True):
    """One station of a packet's way. ``verdict`` is ok, no, perhaps or changed."""

    name: str
    where: str = ""
    family: str = ""
    hook: str = ""
    verdict: str = "ok"
    words: str = ""
    chains: tuple[RuleChain, ...] = ()
    hits: tuple[MatchedLine, ...] = ()
    blockers: tuple[Blocker, ...] = ()


class Leg(Struct, frozen=True, kw_only=True):
    """The way of one packet: ``name`` is l2, new or reply; ``fields`` are those of the packet at its end.

    ``delivered`` says whether ``end`` gets it, ``result`` also whether that is the one who is meant.
    """

    name: str
    stages: tuple[Stage, ...]
    result: Certainty
    delivered: Certainty
    fields: Fields
    unsure: tuple[str, ...] = ()  # on what it depends, beside what is in its way
    end: str = ""  # where it came to: a WireEnd's name, or a link

    @property
    def blockers(self) -> tuple[Blocker, ...]:
        """Everything in its way, in the order in which it meets it."""
        return tuple(blocker for stage in self.stages for blocker in stage.blockers)


def recoded(stages: Iterable[Stage], code: Code) -> tuple[Stage, ...]:
    """The stages, with ``code`` for what a rule stops there: of the search for a neighbour, or of the answer."""
    found = []
    for stage in stages:
        blockers = tuple(
            replace(one, code=code) if one.code in {Code.FILTERED, Code.POLICY} else one for one in stage.blockers
        )
        found.append(replace(stage, blockers=blockers) if blockers != stage.blockers else stage)
    return tuple(found)


class Reachability(Struct, frozen=True, kw_only=True):
    """Whether one reaches another: by the legs that were walked."""

    result: Certainty
    legs: tuple[Leg, ...]

    @property
    def blockers(self) -> tuple[Blocker, ...]:
        """Everything in the way, without what stands there twice."""
        found: dict[tuple[object, ...], Blocker] = {}
        for leg in self.legs:
            for one in leg.blockers:
                by = (str(one.chain), one.hit.line.handle if one.hit else 0)
                found.setdefault((one.code, one.subject if one.chain is None else by, one.certain), one)
        return tuple(found.values())


def worst(results: Iterable[Certainty]) -> Certainty:
    """What several legs say together."""
    return max(results, key=lambda one: one.rank, default=Certainty.YES)


def of_range(results: Iterable[Certainty]) -> Certainty:
    """What the parts of a range of ports say together: perhaps, where not all have the same answer."""
    found = set(results)
    return found.pop() if len(found) == 1 else Certainty.PERHAPS
