"""All pairs of those on a host's wires, by all services."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence

from msgspec import Struct
from msgspec.structs import replace

from bascule.topology.sweep.columns import Column, Sampled
from bascule.topology.sweep.equivalence import EquivalenceClasses
from bascule.topology.sweep.matching import Rows, bits
from bascule.topology.sweep.paths import Answers, Group, walked
from bascule.topology.sweep.protocols import ProtocolServices
from bascule.topology.trace.answer import Certainty, Leg, Reachability, worst
from bascule.topology.trace.network import HostNetwork, WireEnd
from bascule.topology.trace.packet import Traffic
from bascule.topology.trace.walk import Walks


class Exchange(Struct, frozen=True):
    """Whether an exchange works, and whether its first packet and its answer arrive."""

    result: Certainty
    request: Certainty
    reply: Certainty


def exchange_of(answer: Reachability) -> Exchange:
    """What a walk says, in three words."""
    names = [leg.name for leg in answer.legs]
    first = names.index("new") + 1 if "new" in names else len(names)

    def all_of(legs: Sequence[Leg]) -> Certainty:
        return worst([leg.result for leg in legs])

    reply = all_of(answer.legs[first:]) if "reply" in names else Certainty.UNKNOWN
    return Exchange(answer.result, all_of(answer.legs[:first]), reply)


class _Side(Struct, frozen=True, kw_only=True):
    """Senders or receivers that are walked together, one of each class; None for the host itself."""

    classes: tuple[int, ...]
    ends: tuple[tuple[WireEnd, ...], ...]  # of each class all that are in it
    address: int = 0  # of the host
    which: int = 0  # of an end's addresses
    is_host: bool = False


class _Columns(Struct, frozen=True, kw_only=True):
    """What the ends of one side have as MAC, port and addresses."""

    macs: Column
    ports: Column
    addresses: tuple[Column, ...]

    @classmethod
    def of(cls, ends: Sequence[WireEnd], masks: Sequence[int], *, is_source: bool) -> _Columns:
        """The columns of ends, each with its bits."""
        addresses = (
            Column([one.addresses[place][0] for one in ends], masks, is_source=is_source)
            for place in range(len(ends[0].addresses))
        )
        return cls(
            macs=Column([one.mac for one in ends], masks, is_source=is_source),
            ports=Column([str(one.port) for one in ends], masks, is_source=is_source),
            addresses=tuple(addresses),
        )

    def sample(self, end: WireEnd) -> WireEnd:
        """An end whose numbers stand for those of all."""
        addresses = (
            (Sampled.of(number, column), version, length)
            for (number, version, length), column in zip(end.addresses, self.addresses, strict=True)
        )
        return replace(end, mac=Sampled.of(end.mac, self.macs), addresses=tuple(addresses))


class _Block(Struct, frozen=True, kw_only=True):
    places: Mapping[int, int]  # class of the sender to its place
    blocks: Mapping[int, int]  # class of the receiver to its place
    width: int
    answers: Answers


HOST = -1


def _name_of(end: WireEnd) -> tuple[str, str, int]:
    return end.name, end.port, end.mac


class Sweep:
    """Answers for all pairs of ``ends``, by services; each part is found out when it is asked for."""

    def __init__(self, network: HostNetwork, ends: Sequence[WireEnd], traffics: Sequence[Traffic]) -> None:
        self.network = network
        self.walks = Walks(network, ends)
        self._alike = EquivalenceClasses(network, ends)
        self._classes: dict[tuple[str, str, int], int] = {}
        self._ways: dict[int, list[int]] = {}
        self._way_of: list[int] = []
        self._members: list[list[WireEnd]] = []
        self._classify(ends)
        # services that differ in protocol and port alone, each with its place among them
        self._kinds: dict[Traffic, dict[Traffic, int]] = {}
        self._kind_of: dict[Traffic, Traffic] = {}
        for traffic in traffics:
            # a refusal is another protocol's packet than what it answers
            protocol = traffic.protocol if traffic.refused else ""
            kind = self._kind_of[traffic] = replace(traffic, protocol=protocol, port=0)
            alike = self._kinds.setdefault(kind, {})
            alike.setdefault(traffic, len(alike))
        self._protocols_of: dict[tuple[Traffic, int], tuple[ProtocolServices, ...]] = {}
        self._blocks: dict[Hashable, _Block] = {}
        self._sides: dict[int, _Side] = {}
        self._columns: dict[tuple[int, bool, int], _Columns] = {}

    def _classify(self, ends: Sequence[WireEnd]) -> None:
        ways: dict[Hashable, int] = {}
        classes: dict[Hashable, int] = {}
        for end, told in zip(ends, self._alike.told, strict=True):
            way = ways.setdefault(self._alike.way(end), len(ways))
            number = classes.setdefault((way, told), len(classes))
            if number == len(self._members):
                self._members.append([])
                self._way_of.append(way)
                self._ways.setdefault(way, []).append(number)
            self._members[number].append(end)
            self._classes[_name_of(end)] = number

    def class_of(self, end: WireEnd) -> int:
        """The number of the class of those that are alike."""
        return self._classes[_name_of(end)]

    def way_of(self, end: WireEnd) -> int:
        """The number of the way that it shares with those whose packets go alike but for the rules."""
        return self._way_of[self.class_of(end)]

    def answer(
        self, source: WireEnd | None, target: WireEnd | None, version: int, address: int, traffic: Traffic
    ) -> Exchange:
        """Whether ``source`` reaches ``address``, which is ``target``'s; None for the host itself."""
        sender = HOST if source is None else self.class_of(source)
        receiver = HOST if target is None else self.class_of(target)
        which = (
            0 if target is None else next(n for n, one in enumerate(target.addresses) if one[:2] == (address, version))
        )
        kind = self._kind_of[traffic]
        block = self._block(sender, receiver, version, address if target is None else which, kind)
        place = block.places[sender]
        bit = block.blocks[receiver] * block.width + self._kinds[kind][traffic]
        found = block.answers
        return Exchange(found.result.of(place, bit), found.request.of(place, bit), found.reply.of(place, bit))

    def everything(self, version: int) -> None:
        """Find out all pairs of ends by all services."""
        heads = [classes[0] for classes in self._ways.values()]
        for kind in self._kinds:
            for other in heads:
                for which, (_, its, _) in enumerate(self._members[other][0].addresses):
                    for one in heads if its == version else ():
                        self._block(one, other, version, which, kind)

    def _block(self, sender: int, receiver: int, version: int, address: int, kind: Traffic) -> _Block:
        ways = tuple(HOST if one == HOST else self._way_of[one] for one in (sender, receiver))
        key = (*ways, version, address, kind)
        if key not in self._blocks:
            one, other = self._side(ways[0]), self._side(ways[1])
            which = replace(other, address=address) if other.is_host else replace(other, which=address)
            self._blocks[key] = self._swept(one, which, version, kind)
        return self._blocks[key]

    def _side(self, way: int) -> _Side:
        if way == HOST:
            return _Side(classes=(HOST,), ends=((),), is_host=True)
        if way not in self._sides:
            classes = tuple(self._ways[way])
            self._sides[way] = _Side(classes=classes, ends=tuple(tuple(self._members[one]) for one in classes))
        return self._sides[way]

    # ---- one block

    def _swept(self, one: _Side, other: _Side, version: int, kind: Traffic) -> _Block:
        width = len(self._kinds[kind])
        full = (1 << width * len(other.classes)) - 1
        blocks = {number: place for place, number in enumerate(other.classes)}
        members: Rows = {}
        for place, number in enumerate(one.classes):
            row = full
            if number in blocks and len(one.ends[place]) < 2:  # nobody asks itself
                row &= ~(((1 << width) - 1) << blocks[number] * width)
            if row:
                members[place] = row
        block = _Block(
            places={number: place for place, number in enumerate(one.classes)},
            blocks=blocks,
            width=width,
            answers=Answers(),
        )
        if not members:
            return block
        group, walks = self._group(one, other, members, version, kind, full)
        found = walked(walks, group)
        for place, row in found.left.items():
            for bit in bits(row):
                self._one(one, other, place, bit, version, kind, found)
        return replace(block, answers=found)

    def _one(
        self, one: _Side, other: _Side, place: int, bit: int, version: int, kind: Traffic, answers: Answers
    ) -> None:
        """What no set tells is walked."""
        services = list(self._kinds[kind])
        source = None if one.is_host else one.ends[place][0]
        among = other.ends[bit // len(services)]
        target = next((end for end in among if end is not source), None)
        address = other.address if target is None else target.addresses[other.which][0]
        found = exchange_of(self.walks.ask(source, target, address, version, services[bit % len(services)]))
        answers.result.put(place, bit, found.result)
        answers.request.put(place, bit, found.request)
        answers.reply.put(place, bit, found.reply)

    def _columns_of(self, side: _Side, width: int) -> _Columns:
        """The columns of a side; ``width`` is the number of services, 0 of senders."""
        key = (side.classes[0], bool(width), width)
        if key not in self._columns:
            block = (1 << width) - 1 if width else 1
            masks = [block << number * max(width, 1) for number in range(len(side.classes))]
            self._columns[key] = _Columns.of([ends[0] for ends in side.ends], masks, is_source=not width)
        return self._columns[key]

    def _group(
        self, one: _Side, other: _Side, members: Rows, version: int, kind: Traffic, full: int
    ) -> tuple[Group, Walks]:
        width = len(self._kinds[kind])
        place, row = next(iter(members.items()))
        source = None if one.is_host else one.ends[place][0]
        among = other.ends[next(bits(row)) // width]
        target = next((end for end in among if end is not source), None)
        names: dict[str, Column] = {}
        pairs = []
        address = other.address
        sampled: list[WireEnd | None] = []
        for end, side, is_source in ((source, one, True), (target, other, False)):
            if end is None:
                sampled.append(None)
                continue
            columns = self._columns_of(side, 0 if is_source else width)
            stands = columns.sample(end)
            names.setdefault(str(end.port), columns.ports)
            pairs.append((end, stands))
            sampled.append(stands)
        if sampled[1] is not None:
            address = sampled[1].addresses[other.which][0]
        group = Group(
            source=sampled[0],
            target=sampled[1],
            address=address,
            version=version,
            protocols=self._protocols(kind, len(other.classes)),
            ports=names,
            members=members,
            full=full,
        )
        return group, Walks(self.network, self.walks.ends.with_pairs(pairs))

    def _protocols(self, kind: Traffic, receivers: int) -> tuple[ProtocolServices, ...]:
        known = self._protocols_of.get((kind, receivers))
        if known is None:
            width = len(self._kinds[kind])
            every = sum(1 << number * width for number in range(receivers))
            known = self._protocols_of[kind, receivers] = ProtocolServices.of(self._kinds[kind], every)
        return known
