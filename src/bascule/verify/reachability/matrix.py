"""Who reaches whom by which service: everybody with everybody, those who are alike at once. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any

from msgspec import Struct
from msgspec.structs import replace

from bascule.model.site import Expectation, Site, Verdict
from bascule.model.values import Service
from bascule.topology.sweep.port_ranges import told_apart
from bascule.topology.sweep.sweep import Exchange, Sweep
from bascule.topology.trace.answer import Blocker, Certainty
from bascule.topology.trace.packet import Traffic
from bascule.verify.reachability.participant import AskedHost, Participant
from bascule.verify.reachability.question import as_read, ask_each_port, everybody, ways_between, worst_port

ORDINARY = (Service("icmp"), Service("tcp", 22, 22), Service("tcp", 443, 443), Service("udp", 53, 53))


class Cell(Struct, frozen=True, kw_only=True):
    """Whether an exchange works, and whether its first packet and its answer arrive."""

    source: str
    target: str
    service: Service
    result: Certainty
    request: Certainty
    reply: Certainty


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

    def tally(self) -> dict[Certainty, int]:
        """How many questions have which answer."""
        found = dict.fromkeys(Certainty, 0)
        for (one, other, _), cell in self.cells.items():
            sources, targets = self._of(one, self.sources), self._of(other, self.targets)
            found[cell.result] += len(sources) * len(targets) - len(set(sources) & set(targets))
        return found


def services_of(site: Site | None) -> tuple[Service, ...]:
    """What a site file speaks of; without one what is ordinary."""
    if site is None:
        return ORDINARY
    spoken = [Service("icmp"), *(one.service for one in site.expectations)]
    spoken += [one for guest in site.guests.values() for one in guest.serves]
    return tuple(dict.fromkeys(one for one in spoken if one.protocol != "arp"))


def matrix(
    given: AskedHost,
    site: Site | None,
    *,
    services: Sequence[Service] = (),
    sources: Sequence[str] = (),
    targets: Sequence[str] = (),
) -> Matrix:
    """Ask for all pairs, or for those that are named."""
    asked = tuple(services) or services_of(site)
    speaking = {name: party for name, party in given.known.items() if party.addresses}
    ends = everybody(given.network, given.known.values())
    parts = {one: told_apart((given.network,), ends, one) for one in asked}
    sweep = Sweep(given.network, ends, [_traffic(part) for one in asked for part in parts[one]])
    groups = _alike(sweep, speaking)
    cells: dict[tuple[int, int, str], Cell] = {}
    for number, one in enumerate(groups):
        for place, other in enumerate(groups):
            if _wanted(one, sources) and _wanted(other, targets):
                for cell in _cells(given, sweep, one, other, parts):
                    cells[number, place, str(cell.service)] = cell
    return Matrix(
        endpoints=tuple(speaking),
        services=asked,
        classes=groups,
        cells=cells,
        violations=tuple(_violations(given, site, groups, cells, sources, targets)) if site is not None else (),
        unasked=tuple(name for name in given.known if name not in speaking),
        unread=given.network.rules.unread,
        where=given.where,
        sources=frozenset(sources),
        targets=frozenset(targets),
    )


def _wanted(group: Sequence[str], names: Sequence[str]) -> bool:
    return not names or any(name in names for name in group)


def _traffic(service: Service) -> Traffic:
    return Traffic(protocol=service.protocol, port=service.first)


def _cells(
    given: AskedHost,
    sweep: Sweep,
    one: Sequence[str],
    other: Sequence[str],
    services: Mapping[Service, Sequence[Service]],
) -> Iterator[Cell]:
    """What is said of two classes; in a class of its own of its first two."""
    source = one[0]
    target = next((name for name in other if name != source), None)
    by, of = given.known[source], given.known.get(target or "")
    if of is None or (_is_outside(by) and _is_outside(of)):  # between those is not this host's to say
        return
    ways = list(ways_between(given.network, by, of))
    there = by.elsewhere or of.elsewhere or by.is_beyond or of.is_beyond
    further = by.has_further or of.has_further

    def told(result: Certainty) -> Certainty:  # what the other host of a pair does was not seen, nor a router
        if (there and result.passes) or (further and result is Certainty.NO):
            return Certainty.UNKNOWN
        return as_read(result, given.network)

    for service, parts in services.items() if ways else ():
        found = [min((sweep.answer(*way, _traffic(part)) for way in ways), key=_order) for part in parts]
        yield Cell(
            source=source,
            target=of.name,
            service=service,
            result=told(_together(one.result for one in found)),
            request=told(_together(one.request for one in found)),
            reply=told(_together(one.reply for one in found)),
        )


def _together(results: Iterable[Certainty]) -> Certainty:
    """What is said of a range of ports: perhaps, where not all have the same answer."""
    found = set(results)
    return found.pop() if len(found) == 1 else Certainty.PERHAPS


def _order(found: Exchange) -> tuple[int, ...]:
    return found.result.rank, found.request.rank, found.reply.rank


def _is_outside(party: Participant) -> bool:
    return bool(party.ends) and all(end.outside for end in party.ends)


def _violations(
    given: AskedHost,
    site: Site,
    groups: Sequence[Sequence[str]],
    cells: Mapping[tuple[int, int, str], Cell],
    sources: Sequence[str],
    targets: Sequence[str],
) -> Iterator[Violation]:
    numbers = {name: number for number, group in enumerate(groups) for name in group}
    for one in site.expectations:
        if not (_wanted((one.source,), sources) and _wanted((one.target,), targets)) or one.source == one.target:
            continue
        cell = cells.get((numbers.get(one.source, -1), numbers.get(one.target, -1), str(one.service)))
        if cell is None or cell.result is Certainty.UNKNOWN:
            continue
        reaches = cell.result is Certainty.YES
        if cell.result is Certainty.PERHAPS or reaches is not (one.verdict is Verdict.REACH):
            each = ask_each_port(
                given.network, given.known, given.known[one.source], given.known[one.target], one.service
            )
            asked = (
                worst_port(each)
                if one.verdict is Verdict.REACH
                else min(each, key=lambda part: part.answer.result.rank)
            )
            named = replace(cell, source=one.source, target=one.target)
            yield Violation(expectation=one, cell=named, blockers=asked.answer.blockers, packet=asked.packet)


def _alike(sweep: Sweep, speaking: Mapping[str, Participant]) -> tuple[tuple[str, ...], ...]:
    """Classes of those whom no rule, no port and no route tells apart."""
    found: dict[Any, list[str]] = {}
    for name, party in speaking.items():
        special = party.note or party.elsewhere or party.is_beyond or party.has_further
        alone = len(party.ends) != 1 or special
        found.setdefault(name if alone else sweep.class_of(party.ends[0]), []).append(name)
    return tuple(tuple(names) for names in found.values())
