"""Who reaches whom by which service: everybody with everybody, those who are alike at once. Pure."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence

from msgspec import Struct
from msgspec.structs import replace

from bascule.model.site import Expectation, Site, Verdict
from bascule.model.values import Service
from bascule.topology.trace.answer import Blocker, Certainty
from bascule.verify.reachability.all_pairs.pairs import PairAnswer, PairQuestions
from bascule.verify.reachability.participant import HostModel
from bascule.verify.reachability.question import worst_port

ORDINARY = (Service("icmp"), Service("tcp", 22, 22), Service("tcp", 443, 443), Service("udp", 53, 53))


class Cell(Struct, frozen=True, kw_only=True):
    """Whether an exchange works, and whether its first packet and its answer arrive.

    ``large`` says whether the largest packets get through where small ones do; unknown where nobody asked for them.
    """

    source: str
    target: str
    service: Service
    result: Certainty
    request: Certainty
    reply: Certainty
    large: Certainty = Certainty.YES

    @classmethod
    def of(cls, source: str, target: str, service: Service, told: PairAnswer) -> Cell:
        """What was told of two."""
        found = told.exchange
        return cls(
            source=source,
            target=target,
            service=service,
            result=found.result,
            request=found.request,
            reply=found.reply,
            large=told.large,
        )

    @property
    def loses_large(self) -> bool:
        """Whether a connection opens and hangs with the first data."""
        return self.result.passes and self.large is Certainty.NO


class Violation(Struct, frozen=True, kw_only=True):
    """An expectation that the model contradicts, or perhaps does, by one ``packet``; ``blockers`` are in its way."""

    expectation: Expectation
    cell: Cell
    blockers: tuple[Blocker, ...]
    packet: str


class Matrix(Struct, frozen=True, kw_only=True):
    """All pairs. ``classes`` are the names that are alike, each named after its first; ``unasked`` have no address.

    ``cells`` has one for two classes, by their numbers and the service; ``sources`` and ``targets`` are asked for.
    """

    endpoints: tuple[str, ...]
    services: tuple[Service, ...]
    classes: tuple[tuple[str, ...], ...]
    cells: Mapping[tuple[int, int, str], Cell]
    violations: tuple[Violation, ...]
    unasked: tuple[str, ...]
    unread: tuple[str, ...]  # what could not be read of the host, which leaves answers open
    where: str
    sources: Collection[str]
    targets: Collection[str]

    def pairs(self) -> Iterator[Cell]:
        """A cell for each pair of names and service."""
        for (one, other, _), cell in self.cells.items():
            for source in self._of(one, self.sources):
                for target in self._of(other, self.targets):
                    if source != target:
                        yield replace(cell, source=source, target=target)

    def _of(self, number: int, wanted: Collection[str]) -> list[str]:
        return [name for name in self.classes[number] if not wanted or name in wanted]

    def first(self, fits: Callable[[Cell], bool]) -> Cell | None:
        """The first pair of which something holds."""
        cells = {key: cell for key, cell in self.cells.items() if fits(cell)}
        return next(replace(self, cells=cells).pairs(), None)

    def number(self, fits: Callable[[Cell], bool]) -> int:
        """Of how many questions something holds."""
        found = 0
        for (one, other, _), cell in self.cells.items():
            if fits(cell):
                sources, targets = self._of(one, self.sources), self._of(other, self.targets)
                found += len(sources) * len(targets) - len(set(sources) & set(targets))
        return found

    def tally(self) -> dict[Certainty, int]:
        """How many questions have which answer."""

        def has(result: Certainty) -> Callable[[Cell], bool]:
            return lambda cell: cell.result is result

        return {one: self.number(has(one)) for one in Certainty}


def services_of(site: Site | None) -> tuple[Service, ...]:
    """What a site file speaks of; without one what is ordinary."""
    if site is None:
        return ORDINARY
    spoken = [Service("icmp"), *(one.service for one in site.expectations)]
    spoken += [one for guest in site.guests.values() for one in guest.serves]
    return tuple(dict.fromkeys(one for one in spoken if one.protocol != "arp"))


def matrix(
    given: HostModel,
    site: Site | None,
    *,
    services: Sequence[Service] = (),
    sources: Sequence[str] = (),
    targets: Sequence[str] = (),
    others: Sequence[HostModel] = (),
    of_all: bool = False,
) -> Matrix:
    """Ask for all pairs, or for those that are named.

    ``others`` are the other hosts of the file, for their part of what goes between hosts; ``of_all``: they are asked
    for their own pairs as well.
    """
    asked = tuple(services) or services_of(site)
    pairs = PairQuestions((given, *others), asked)
    cells: dict[tuple[int, int, str], Cell] = {}
    hosts = (given, *(others if of_all else ()))
    for number, one in enumerate(pairs.classes):
        for place, other in enumerate(pairs.classes):
            target = next((name for name in other if name != one[0]), None)
            if target is None or not (_wanted(one, sources) and _wanted(other, targets)):
                continue
            for service, told in next(filter(None, (pairs.between(host, one[0], target) for host in hosts)), ()):
                cells[number, place, str(service)] = Cell.of(one[0], target, service, told)
    unread = dict.fromkeys(words for host in pairs.hosts for words in host.network.rules.unread)
    return Matrix(
        endpoints=pairs.names,
        services=asked,
        classes=pairs.classes,
        cells=cells,
        violations=tuple(_violations(pairs, site, cells, sources, targets)) if site is not None else (),
        unasked=tuple(name for name in given.known if name not in pairs.names),
        unread=tuple(unread),
        where=given.where,
        sources=frozenset(sources),
        targets=frozenset(targets),
    )


def _wanted(group: Sequence[str], names: Sequence[str]) -> bool:
    return not names or any(name in names for name in group)


def _violations(
    pairs: PairQuestions,
    site: Site,
    cells: Mapping[tuple[int, int, str], Cell],
    sources: Sequence[str],
    targets: Sequence[str],
) -> Iterator[Violation]:
    numbers = {name: number for number, group in enumerate(pairs.classes) for name in group}
    for one in site.expectations:
        if not (_wanted((one.source,), sources) and _wanted((one.target,), targets)) or one.source == one.target:
            continue
        cell = cells.get((numbers.get(one.source, -1), numbers.get(one.target, -1), str(one.service)))
        if cell is None or cell.result is Certainty.UNKNOWN:
            continue
        reaches = cell.result is Certainty.YES
        if cell.result is Certainty.PERHAPS or reaches is not (one.verdict is Verdict.REACH):
            each = pairs.walked(one.source, one.target, one.service)
            asked = (
                worst_port(each)
                if one.verdict is Verdict.REACH
                else min(each, key=lambda part: part.answer.result.rank)
            )
            named = replace(cell, source=one.source, target=one.target)
            yield Violation(expectation=one, cell=named, blockers=asked.answer.blockers, packet=asked.packet)
