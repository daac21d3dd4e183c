"""The walk of many packets at once: one of them is walked for all, and rules are asked for the whole set."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from typing import Any

from msgspec import Struct, field
from msgspec.structs import replace

from bascule.model.ruleset.openflow import LoadedRule
from bascule.policy.guards.flows import COOKIE, LEARNED
from bascule.topology.sweep.chains import ChainResult, ChainRun, add, common, without
from bascule.topology.sweep.columns import Column, Sampled
from bascule.topology.sweep.matching import Matcher, Rows
from bascule.topology.sweep.protocols import ProtocolServices
from bascule.topology.trace.answer import UNKNOWN, Blocker, Certainty, Leg
from bascule.topology.trace.ends.wire_ends import AddressOwner
from bascule.topology.trace.forwarding import HostRouting
from bascule.topology.trace.network import WireEnd
from bascule.topology.trace.packet import ESTABLISHED, Connection, key
from bascule.topology.trace.passage import PacketPath
from bascule.topology.trace.routing import NextHop
from bascule.topology.trace.rules.evaluate import ChainEnd, MatchedLine
from bascule.topology.trace.rules.lines import RuleChain, RuleLine
from bascule.topology.trace.walk import Walk, Walks

MOST_WAYS = 200  # of one group; packets on further ones are walked one by one
GROUPS_OF_NEIGHBOURS = 0xFF02_0000_0000_0000_0000_0001_FF00_0000 >> 24  # ff02::1:ff00:0/104 of RFC 4291


class Verdicts(Struct, kw_only=True):
    """Packets by what becomes of them; those in none of the sets arrive."""

    no: Rows = field(default_factory=dict)
    unknown: Rows = field(default_factory=dict)
    perhaps: Rows = field(default_factory=dict)

    def of(self, place: int, bit: int) -> Certainty:
        """What becomes of one packet."""
        for name, rows in (
            (Certainty.NO, self.no),
            (Certainty.UNKNOWN, self.unknown),
            (Certainty.PERHAPS, self.perhaps),
        ):
            if rows.get(place, 0) >> bit & 1:
                return name
        return Certainty.YES

    def put(self, place: int, bit: int, result: Certainty) -> None:
        """Write down one packet."""
        rows = {Certainty.NO: self.no, Certainty.UNKNOWN: self.unknown, Certainty.PERHAPS: self.perhaps}.get(result)
        if rows is not None:
            add(rows, {place: 1 << bit})

    def together(self, other: Verdicts) -> Verdicts:
        """What two packets that must both arrive come to: of no, unknown and perhaps the first."""
        no, unknown, perhaps = dict(self.no), dict(self.unknown), dict(self.perhaps)
        add(no, other.no)
        add(unknown, other.unknown)
        add(perhaps, other.perhaps)
        unknown = without(unknown, no)
        return Verdicts(no=no, unknown=unknown, perhaps=without(without(perhaps, no), unknown))

    def take(self, other: Verdicts) -> None:
        """Add the verdicts of other packets."""
        add(self.no, other.no)
        add(self.unknown, other.unknown)
        add(self.perhaps, other.perhaps)


class Answers(Struct, kw_only=True):
    """Of all packets of a group: whether the first one arrives, its answer, and whether the exchange works."""

    request: Verdicts = field(default_factory=Verdicts)
    reply: Verdicts = field(default_factory=Verdicts)
    result: Verdicts = field(default_factory=Verdicts)
    left: Rows = field(default_factory=dict)

    def take(self, other: Answers) -> None:
        """Add the answers for other packets."""
        self.request.take(other.request)
        self.reply.take(other.reply)
        self.result.take(other.result)
        add(self.left, other.left)


class Group(Struct, frozen=True, kw_only=True, dict=True):
    """Packets that are walked together: from a source end to a target end (None: the host) that stand for others."""

    source: WireEnd | None
    target: WireEnd | None
    address: int
    version: int
    protocols: tuple[ProtocolServices, ...]
    ports: Mapping[str, Column]
    members: Rows
    full: int  # the bits of all receivers and services

    def matcher(self, fields: Mapping[str, Any]) -> Matcher:
        """Tests of these packets with what they have in common."""
        return Matcher(fields, self.ports, self._all_senders, self.full, self.members)

    @cached_property
    def _all_senders(self) -> int:
        return sum([1 << place for place in self.members])

    @cached_property
    def by_protocol(self) -> tuple[Group, ...]:
        """Its packets of each protocol."""
        found = []
        for one in self.protocols:
            mask = one.mask
            members = {place: both for place, row in self.members.items() if (both := row & mask)}
            found.append(replace(self, protocols=(one,), members=members))
        return tuple(found)


class _WalkOneByOne(Exception):  # it is no fault
    """That every packet of this way must be walked on its own."""


class _ProtocolsPart(Exception):  # it is no fault
    """That rules lead packets of several protocols on different ways, or change them."""


class _ChainDrops(Struct, kw_only=True):
    """What one chain stopped; ``stage`` is where it stands in its packet's way, ``depends`` as of a blocker."""

    stage: int
    depends: bool
    certain: Rows
    perhaps: Rows


class SetPath(PacketPath):
    """The way of one packet that stands for a set."""

    def __init__(self, walk: SetWalk, fields: dict[str, Any], connection: Connection) -> None:
        super().__init__(walk.walks.ends, fields, connection)
        self.walk = walk
        self.stops: list[_ChainDrops] = []

    def _meet(self, chain: RuleChain) -> tuple[ChainEnd, Blocker | None]:
        if self.walk.together and self.connection is self.walk.connection:
            for result in self.walk.of_each(chain, self.fields):
                self._stopped(result)
            return ChainEnd(verdict="accept", fields=self.fields), None
        result, number = self.walk.choose(chain, self.fields)
        self._stopped(result)
        way = result.ways[number]
        if way.changes:
            self.fields = {**self.fields, **dict(way.changes)}
        hit = MatchedLine(chain, RuleLine(parts=()), "accept") if way.nat else None
        return ChainEnd(verdict="accept", fields=self.fields, by=hit, nat=way.nat), None

    def _stopped(self, result: ChainResult) -> None:
        if result.stopped or result.perhaps:
            stage, depends = len(self.stages), bool(self.unsure)
            self.stops.append(_ChainDrops(stage=stage, depends=depends, certain=result.stopped, perhaps=result.perhaps))

    def _ask_rivals(self, chain: RuleChain, rivals: Sequence[RuleChain]) -> None:
        """It depends on each packet."""
        add(self.walk.lost, self.walk.members)
        raise _WalkOneByOne

    def _track(self, version: int) -> None:
        was_tracked = bool(self.fields.get("ct entry"))
        super()._track(version)
        known = self.walk.connection
        # of an answer to nothing that was tracked the kernel says "invalid" or "new" by its protocol
        belongs = self.connection is known and self.fields["ct state"] == ESTABLISHED
        if self.walk.together and known.is_reply and not was_tracked and not belongs:
            raise _ProtocolsPart

    def meets_flows(self, rules: Iterable[LoadedRule]) -> None:
        """Those of guards say of all ends the same; what others ask of an address or a service each packet meets."""
        if any(one.rule.match and one.cookie not in {COOKIE, LEARNED} for one in rules):
            add(self.walk.lost, self.walk.members)
            raise _WalkOneByOne
        if self.walk.together:
            raise _ProtocolsPart

    def _balanced(self) -> None:
        """What IPVS takes depends on each address and service: every packet is walked on its own."""
        if any(one.address == self.fields[key(self.version, "daddr")] for one in self.network.balanced):
            add(self.walk.lost, self.walk.members)
            raise _WalkOneByOne

    def unordered(self, before: int) -> None:
        """As of one packet: what was stopped surely is stopped perhaps."""
        for one in self.stops:
            if one.stage >= before:
                add(one.perhaps, one.certain)
                one.certain = {}

    def verdicts(self, members: Rows) -> Verdicts:
        """What becomes of the packets that are still in the set."""
        blockers = [one for stage in self.stages[: self.known_to] for one in stage.blockers]
        certain = [one for one in blockers if one.certain]
        lost: Rows = {}
        surely: Rows = {}
        maybe: Rows = {}
        for one in self.stops if self.known_to is None else (each for each in self.stops if each.stage < self.known_to):
            add(lost if one.depends else surely, common(one.certain, members))
            add(maybe, common(one.perhaps, members))
        if stopping := [one for one in certain if one.code not in UNKNOWN]:
            add(lost if all(one.depends for one in stopping) else surely, members)
        gone = dict(surely)
        add(gone, lost)
        rest = without(members, gone)
        if certain:
            found = Verdicts(unknown=rest)
        elif self.unsure or blockers:
            found = Verdicts(perhaps=dict(rest))
        else:
            found = Verdicts(perhaps=without(maybe, gone))
        add(found.perhaps, without(lost, surely))
        add(found.no, surely)
        return found


class SetWalk(Walk):
    """One question for a set of packets. ``script`` says which way to take where chains make them part."""

    def __init__(
        self, walks: Walks, group: Group, script: Sequence[int], known: dict[tuple[int, ...], ChainResult]
    ) -> None:
        traffic = group.protocols[0].traffic
        super().__init__(walks, group.source, group.target, group.address, group.version, traffic, 0)
        self.group = group
        self.together = len(group.protocols) > 1
        self.members = group.members
        self.script = script
        self.known = known
        self.taken: tuple[int, ...] = ()
        self.others: list[tuple[int, ...]] = []
        self.request: list[SetPath] = []
        self.back: list[SetPath] = []
        self.lost: Rows = {}

    def _passage(self, fields: dict[str, Any], connection: Connection | None = None) -> SetPath:
        path = SetPath(self, fields, connection or self.connection)
        path.learned = self.learned
        return path

    def choose(self, chain: RuleChain, fields: dict[str, Any]) -> tuple[ChainResult, int]:
        """What a chain makes of the packets, and the number of the way that is gone on here."""
        result = self.known.get(self.taken)
        if result is None:
            run = ChainRun(self.network.rules, self.group.matcher, fields)
            result = self.known[self.taken] = run.meet(chain, self.members)
        place = len(self.taken)
        if place < len(self.script):
            number = self.script[place]
        else:
            number = 0
            add(self.lost, result.left)
            self.others += [(*self.taken, other) for other in range(1, len(result.ways))]
        if not result.ways:
            raise _WalkOneByOne
        self.taken = (*self.taken, number)
        self.members = result.ways[number].rows
        return result, number

    def of_each(self, chain: RuleChain, fields: dict[str, Any]) -> Iterator[ChainResult]:
        """What a chain makes of the packets of each protocol, none of which may part from the others there."""
        group = self.group
        gone: Rows = {}
        first, is_reply = group.protocols[0], self.connection.is_reply
        for own in group.by_protocol:
            protocol = own.protocols[0]
            asked = fields if protocol is first else protocol.instead_of(first, fields, is_reply=is_reply)
            members = own.members if self.members is group.members else common(own.members, self.members)
            result = ChainRun(self.network.rules, own.matcher, asked).meet(chain, members)
            if any(way.changes or way.nat for way in result.ways) or len(result.ways) > 1:
                raise _ProtocolsPart
            add(gone, result.left)
            yield result
        if gone:
            add(self.lost, gone)
            self.members = without(self.members, gone)

    def told_too_big(self, lost: dict[str, Any], wanted: WireEnd | None) -> Leg:
        """Whom an error concerns is told by the packet in it, which each protocol has another of."""
        if self.together:
            raise _ProtocolsPart
        return super().told_too_big(lost, wanted)

    def _connected(self, routing: HostRouting, hop: NextHop, to: int, source: int) -> NextHop:
        """Of several protocols TCP alone asks again, and may go another way."""
        if self.together and routing.outwards(self.version, to, source=source) != hop:
            raise _ProtocolsPart
        return super()._connected(routing, hop, to, source)

    def _handed_on(self, passage: PacketPath, end: WireEnd) -> WireEnd | None:
        """What a machine hands on depends on each address and service: every packet is walked on its own."""
        if end.passes is None and not self.relays.passed:
            return super()._handed_on(passage, end)
        add(self.lost, self.members)
        raise _WalkOneByOne

    def _answers_by(self, end: WireEnd, to: int) -> WireEnd:
        """Of several NICs each sender has an answer by its own: every packet is walked on its own."""
        out = super()._answers_by(end, to)
        if out is not end:
            add(self.lost, self.members)
            raise _WalkOneByOne
        return out

    def _leg(self, name: str, passage: PacketPath, end: WireEnd | None, wanted: WireEnd | None) -> Leg:
        if isinstance(passage, SetPath):
            (self.request if name == "new" else self.back).append(passage)
        return super()._leg(name, passage, end, wanted)

    def _neighbour_frame(
        self, fields: dict[str, Any], end: WireEnd | None, segment: str, owner: AddressOwner
    ) -> PacketPath:
        about, group = fields.get("icmpv6 taddr"), fields.get("ip6 daddr")
        if isinstance(about, Sampled) and isinstance(group, int) and group >> 24 == GROUPS_OF_NEIGHBOURS:
            first = group >> 24 << 24
            fields["ip6 daddr"] = Sampled.of(group, about.column.mapped(lambda own: first | own & 0xFFFFFF))
            frame = int(fields["ether daddr"])
            head = frame >> 24 << 24
            fields["ether daddr"] = Sampled.of(frame, about.column.mapped(lambda own: head | own & 0xFFFFFF))
        path = super()._neighbour_frame(fields, end, segment, owner)
        assert isinstance(path, SetPath)
        (self.back if any(leg.name == "new" for leg in self.legs) else self.request).append(path)
        return path


def walked(walks: Walks, group: Group) -> Answers:
    """The answers for a group; those in ``left`` are still to be walked one by one."""
    try:
        return _walked(walks, group)
    except _ProtocolsPart:
        answers = Answers()
        for one in group.by_protocol:
            answers.take(_walked(walks, one))
        return answers


def _walked(walks: Walks, group: Group) -> Answers:
    answers = Answers()
    known: dict[tuple[int, ...], ChainResult] = {}
    scripts: list[tuple[int, ...]] = [()]
    gone = 0
    while scripts:
        walk = SetWalk(walks, group, scripts.pop(), known)
        gone += 1
        try:
            walk.answer()
        except _WalkOneByOne:
            walk.members = {}
        scripts += walk.others
        add(answers.left, walk.lost)
        if gone > MOST_WAYS:
            add(answers.left, walk.members)
        else:
            _read(walk, answers)
    return answers


def _read(walk: SetWalk, answers: Answers) -> None:
    members = walk.members
    request, reply = Verdicts(), Verdicts()
    for path in walk.request:
        request = request.together(path.verdicts(members))
    for path in walk.back:
        reply = reply.together(path.verdicts(members))
    answers.result.take(request.together(reply))
    answers.request.take(request)
    answers.reply.take(reply if walk.back else Verdicts(unknown=members))
