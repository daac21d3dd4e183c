"""Who reaches whom by which service: everybody with everybody, where those are alike are walked once. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from msgspec import Struct

from bascule.errors import UsageFault
from bascule.model.site import Expectation, Service, Site, Verdict
from bascule.topology.trace.answer import Blocker, Certainty
from bascule.topology.trace.network import HostNetwork, WireEnd
from bascule.topology.trace.rules.lines import DecisionMap, RuleLine, Translate
from bascule.topology.trace.rules.tests import Bounds, Lookup, Test, holds
from bascule.verify.reachability.live import AskedHost
from bascule.verify.reachability.parties import Participant
from bascule.verify.reachability.question import ask

ORDINARY = (Service("icmp"), Service("tcp", 22, 22), Service("tcp", 443, 443), Service("udp", 53, 53))


class Cell(Struct, frozen=True, kw_only=True):
    """Whether an exchange works, and whether its first packet and its answer arrive; ``blockers`` are in the way."""

    source: str
    target: str
    service: Service
    result: Certainty
    request: Certainty
    reply: Certainty
    blockers: tuple[Blocker, ...] = ()


class Violation(Struct, frozen=True, kw_only=True):
    """An expectation that the model contradicts, or perhaps does."""

    expectation: Expectation
    cell: Cell


class Matrix(Struct, frozen=True, kw_only=True):
    """All cells. ``classes`` are the names that are alike, each named after its first; ``unasked`` have no address."""

    endpoints: tuple[str, ...]
    services: tuple[Service, ...]
    classes: tuple[tuple[str, ...], ...]
    cells: Mapping[tuple[str, str, str], Cell]
    violations: tuple[Violation, ...]
    unasked: tuple[str, ...]
    where: str

    def cell(self, source: str, target: str, service: Service) -> Cell | None:
        """The answer for two names, None where neither can be asked."""
        return self.cells.get((source, target, str(service)))


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
    groups = _alike(given.network, speaking)
    cells: dict[tuple[str, str, str], Cell] = {}
    for one in groups:
        for other in groups:
            for service in asked:
                _fill(given, one, other, service, cells)
    wanted = {
        key: cell
        for key, cell in cells.items()
        if (not sources or cell.source in sources) and (not targets or cell.target in targets)
    }
    return Matrix(
        endpoints=tuple(speaking),
        services=asked,
        classes=groups,
        cells=wanted,
        violations=tuple(_violations(site, wanted)) if site is not None else (),
        unasked=tuple(name for name in given.known if name not in speaking),
        where=given.where,
    )


def _fill(
    given: AskedHost,
    one: Sequence[str],
    other: Sequence[str],
    service: Service,
    cells: dict[tuple[str, str, str], Cell],
) -> None:
    """One walk for two classes; in a class of its own between its first two."""
    pairs = [(source, target) for source in one for target in other if source != target]
    if _is_outside(given.known[one[0]]) and _is_outside(given.known[other[0]]):
        return  # that is not this host's to say
    if not pairs:
        return
    try:
        asked = ask(given.network, given.known, given.known[pairs[0][0]], given.known[pairs[0][1]], service)
    except UsageFault:  # no address of one family
        return
    legs = {leg.name: leg.result for leg in asked.answer.legs}
    request = legs.get("new", Certainty.UNKNOWN)
    if legs.get("l2") is Certainty.NO:
        request = Certainty.NO
    for source, target in pairs:
        cells[source, target, str(service)] = Cell(
            source=source,
            target=target,
            service=service,
            result=asked.answer.result,
            request=request,
            reply=legs.get("reply", Certainty.UNKNOWN),
            blockers=asked.answer.blockers,
        )


def _is_outside(party: Participant) -> bool:
    return bool(party.ends) and all(end.outside for end in party.ends)


def _violations(site: Site, cells: Mapping[tuple[str, str, str], Cell]) -> Iterator[Violation]:
    for one in site.expectations:
        cell = cells.get((one.source, one.target, str(one.service)))
        if cell is None or cell.result is Certainty.UNKNOWN:
            continue
        reaches = cell.result is Certainty.YES
        if cell.result is Certainty.PERHAPS or reaches is not (one.verdict is Verdict.REACH):
            yield Violation(expectation=one, cell=cell)


# ---- who is alike


def _alike(network: HostNetwork, speaking: Mapping[str, Participant]) -> tuple[tuple[str, ...], ...]:
    """Classes of those whom no rule, no port and no route tells apart."""
    bounds = _bounds(network)
    found: dict[Any, list[str]] = {}
    for name, party in speaking.items():
        key: Any = name
        if len(party.ends) == 1 and not party.note:
            key = _signature(network, party.ends[0], bounds)
        found.setdefault(key, []).append(name)
    return tuple(tuple(names) for names in found.values())


def _signature(network: HostNetwork, end: WireEnd, bounds: Sequence[Bounds]) -> Any:
    link = network.link(end.port)
    bridge = network.bridge_of(end.port)
    entry = network.entry(bridge, end.mac)
    values: list[int | str] = [end.mac, str(end.port), *(number for number, _, _ in end.addresses)]
    told_apart = tuple(
        place for place, one in enumerate(bounds) if any(holds(one, value) is not False for value in values)
    )
    return (
        bridge or end.port,
        None if link is None else (link.up, link.mtu, repr(link.port), repr(link.vlans), link.facts.carrier),
        None if link is None else link.facts.stp_port_state,
        None if entry is None else (entry.static, entry.port == end.port),
        tuple((version, number >> (32 if version == 4 else 128) - length) for number, version, length in end.addresses),
        tuple(sorted(end.gateways.items())),
        end.routes_known,
        tuple(network.neighbour(bridge or end.port, number) is not None for number, _, _ in end.addresses),
        told_apart,
    )


def _bounds(network: HostNetwork) -> tuple[Bounds, ...]:
    """Every value that a rule of this host knows, whatever it is a value of."""
    found: dict[Bounds, None] = {}
    for chain in network.rules.chains.values():
        for line in chain.lines:
            for parts in _elements(line):
                found.update(dict.fromkeys(parts))
    return tuple(found)


def _elements(line: RuleLine) -> Iterator[tuple[Bounds, ...]]:
    for part in line.parts:
        if isinstance(part, Test | DecisionMap):
            for atoms in part.exact:
                yield tuple((one, one) if isinstance(one, int) else one for one in atoms)
            yield from part.ranged if isinstance(part, Test) else (bounds for bounds, _ in part.entries)
        elif isinstance(part, Translate):
            for lookup in (part.address, part.port):
                if isinstance(lookup, Lookup):
                    yield from (bounds for bounds, _ in lookup.entries)
