"""Who is alike: whom no rule tells apart, and whose packets take the same way but for the rules."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Hashable, Iterable, Iterator, Sequence
from functools import cached_property
from typing import TypeVar

from msgspec import Struct, field

from bascule.model.kernel_parameters import link_of
from bascule.model.links import Tap, Veth
from bascule.model.state import Link
from bascule.topology.sweep.port_flows import PortFlows
from bascule.topology.trace.network import HostNetwork, WireEnd
from bascule.topology.trace.routing import RouteTables
from bascule.topology.trace.rules.lines import Decision, DecisionMap, Part, RuleLine, SetField, Translate
from bascule.topology.trace.rules.tests import AnyFlag, Atom, Bits, Bounds, Constant, Expr, Field, Lookup, Test

Value = TypeVar("Value", bound=Hashable)
OF_SERVICES = ("tcp ", "udp ", "th ", "meta l4proto", "meta mark", "ip protocol", "ct state", "ct status", "ct mark")
PLAIN = ("meta mark", "ct ", "tcp flags", "meta priority")  # what may be masked without telling ends apart


class EquivalenceClasses:
    """Of each end what its packets' way depends on (``way``), and what rules know of it (``told``)."""

    def __init__(self, network: HostNetwork, ends: Sequence[WireEnd]) -> None:
        self.network = network
        self.ends = ends
        self.routes = {
            version: _Routes(
                network.routes(version),
                [(first, last) for one in network.awaited if one.version == version for first, last, _ in one.subnets],
            )
            for version in (4, 6)
        }
        self._shared = _repeated(end.port for end in ends)
        self._nics: dict[str, list[WireEnd]] = {}
        for end in ends:
            self._nics.setdefault(end.name, []).append(end)
        self._twice = {("mac", one) for one in _repeated(end.mac for end in ends)}
        self._twice |= {("ip", one) for one in _repeated(number for end in ends for number, _, _ in end.addresses)}
        self._special = self._special_addresses()
        self._filtered = {device for base in network.rules.bases if base.device for device in base.device.split(",")}
        self._flows = {bridge: PortFlows(rules) for bridge, rules in network.flows.items()}
        self._entries: dict[int, list[tuple[str, str, int, bool]]] = {}
        for one in network.fdb:
            self._entries.setdefault(one.mac, []).append((one.bridge, one.port, one.vlan, one.static))
        self.told = self._told()

    def _special_addresses(self) -> set[int]:
        """Addresses that a way leads over: gateways, and what NAT names."""
        found = {gateway for end in self.ends for gateway in end.gateways.values()}
        found |= {gateway for end in self.ends for *_, gateway in end.routes}
        found |= {one.address for one in self.network.balanced}
        for routes in self.routes.values():
            found |= {entry.hop.gateway for entries in routes.fib.tables.values() for entry in entries}
        for line in self.network.rules.lines:
            for part in () if _decides_alone(line) else line.parts:
                if isinstance(part, Translate):
                    found.update(_constants(part))
        return found

    def way(self, end: WireEnd) -> Hashable:
        """What the way of an end's packets depends on, beside rules; of ends that are unlike all others the end."""
        network, port = self.network, str(end.port)
        link = network.link(port)
        if link is None:  # it is off, and nobody reaches it, nor it anybody
            return tuple(version for _, version, _ in end.addresses)
        numbers = [number for number, _, _ in end.addresses]
        if (
            end.passes is not None
            or ("mac", end.mac) in self._twice
            or any(("ip", one) in self._twice or one in self._special for one in numbers)
            or any((version, number) in network.own_addresses for number, version, _ in end.addresses)
        ):
            return id(end)
        bridge = network.bridge_of(port)
        special = port in self._shared or port in network.wires or port in self._filtered
        waits = not bridge and not special and self._waits(end, link)
        alone = special or (not bridge and not waits)
        entries = self._entries.get(end.mac, ())
        return (
            self._of_its_own(end, link) if waits else bridge or port,
            port if alone else "",
            bool(list(network.unread(port))),
            (link.up, link.mtu, link.port, link.vlans, link.facts.carrier, link.facts.stp_port_state),
            not link.facts.index,
            tuple([(where, to if to != port else "", *rest) for where, to, *rest in entries]),
            end.mac in network.own_macs.get(bridge, ()),
            tuple(
                [
                    (version, length, number >> (32 if version == 4 else 128) - length, self.routes[version].at(number))
                    for number, version, length in end.addresses
                ]
            ),
            tuple([_known(network, bridge or port, number) for number in numbers]),
            self._flows[bridge].of(end) if bridge in self._flows else (),
            tuple(sorted(end.gateways.items())) if len(end.gateways) > 1 else tuple(end.gateways.items()),
            end.routes,
            end.router,
            (end.routes_known, end.static_neighbours, end.outside, end.vlan),
            self._beside(end),
        )

    def _waits(self, end: WireEnd, link: Link) -> bool:
        """Whether a guest's link waits for its bridge, and no route, rule of routing or other link leads over it.

        What the host hands up by it goes on by routes that are the same for all of them, and no packet leaves by it.
        """
        return (
            isinstance(link.options, Tap | Veth)
            and link.master is None
            and link.name not in self._led_over
            and all(one.is_link_local for one in link.addresses)
            and not any(_is_of_one_link(version, number) for number, version, _ in end.addresses)
        )

    def _of_its_own(self, end: WireEnd, link: Link) -> Hashable:
        """What a link that waits for its bridge has of its own: what the host does with what comes in by it."""
        gateways = ((6, gateway) for gateway in (*end.gateways.values(), *(route[-1] for route in end.routes)))
        mac = self.network.mac_of(link.name)
        return (
            self._parameters.get(link.name, ()),
            (link.options.kind, link.arp, link.group, bool(link.addresses)),
            tuple([link.name in self.network.own_addresses.get(one, ()) for one in gateways]),
            link.name if self._told_of_host is None else self._told_of_host.marks(mac),
        )

    @cached_property
    def _led_over(self) -> set[str]:
        """The links that routes, rules of routing and other links name: packets may take one way for each of them."""
        state = self.network.state
        found = {str(one.parent) for one in state.links.values() if one.parent and not isinstance(one.options, Veth)}
        found |= {one.link for one in self.network.awaited}
        for version, routes in self.routes.items():
            entries = (entry for entries in routes.fib.tables.values() for entry in entries)
            hops = (entry.hop for entry in entries if not _is_of_one_link(version, entry.first))
            found.update(name for hop in hops for name in (hop.link, *hop.more))
            found.update(rule.tests[key] for rule in routes.fib.rules for key in rule.tests.keys() & {"iif", "oif"})
        return found

    @cached_property
    def _told_of_host(self) -> _Named | None:
        """The values that rules for packets of the host name; None where one looks at a part of a value."""
        chains = [chain for chain in self.network.rules.chains.values() if chain.family != "bridge"]
        return _Named.of(line for chain in chains for line in chain.lines)

    @cached_property
    def _parameters(self) -> dict[str, tuple[tuple[str, str], ...]]:
        """The kernel parameters of each link, without its name."""
        found: dict[str, tuple[tuple[str, str], ...]] = {}
        for key, value in sorted({**self.network.state.sysctls, **self.network.sysctls}.items()):
            if link := link_of(key):
                found[link] = (*found.get(link, ()), (key.replace(f"/{link}/", "/", 1), value))
        return found

    def _beside(self, end: WireEnd) -> Hashable:
        """The subnets of the other NICs of its owner, by which answers may go."""
        return frozenset(
            (version, length, number >> (32 if version == 4 else 128) - length)
            for one in self._nics[end.name]
            if one is not end
            for number, version, length in (*one.addresses, *one.router)
        )

    # ---- what rules know

    def _told(self) -> list[Hashable]:
        """For each end which of the values that rules name it has, whatever they are values of."""
        named = _Named.of(self.network.rules.lines)
        if named is None:
            return list(range(len(self.ends)))
        named_values, ranges = named.values, named.ranges
        for flow in (flow for end in self.ends for flow in end.passes or ()):
            groups = (group for group in (flow.sources, flow.targets) if group is not None)
            ranges.update((low, high) for group in groups for _, low, high in group.ranges)
        own = [(end.mac, *(number for number, _, _ in end.addresses)) for end in self.ends]
        found: list[list[Hashable]] = []
        starts = tuple(one[:-1] for one in named_values if isinstance(one, str) and one.endswith("*"))
        for end, values in zip(self.ends, own, strict=True):
            port = str(end.port)
            marks: list[Hashable] = [(place, value) for place, value in enumerate(values) if value in named_values]
            marks += [port] if port in named_values else []
            marks += [start for start in starts if port.startswith(start)]
            found.append(marks)
        for place in range(max(map(len, own), default=0)):
            column = sorted([(values[place], number) for number, values in enumerate(own) if len(values) > place])
            keys = [value for value, _ in column]
            for which, (low, high) in enumerate(ranges):
                for _, number in column[bisect_left(keys, low) : bisect_right(keys, high)]:
                    found[number].append((place, -which))
        return [tuple(marks) for marks in found]


class _Routes:
    """Which routes and rules an address is in, and which subnets ``awaited`` may bring routes to."""

    def __init__(self, fib: RouteTables, awaited: Sequence[tuple[int, int]] = ()) -> None:
        self.fib = fib
        spans = [(entry.first, entry.last) for entries in fib.tables.values() for entry in entries]
        spans += [bounds for rule in fib.rules for key, bounds in rule.tests.items() if key in {"from", "to"}]
        self._spans = sorted({*spans, *awaited})
        self._edges = sorted({edge for first, last in self._spans for edge in (first, last + 1)})
        self._known: dict[int, tuple[int, ...]] = {}

    def at(self, number: int) -> tuple[int, ...]:
        place = bisect_right(self._edges, number)
        if place not in self._known:
            within = (which for which, (first, last) in enumerate(self._spans) if first <= number <= last)
            self._known[place] = tuple(within)
        return self._known[place]


def _is_of_one_link(version: int, number: int) -> bool:
    """Whether an address says nothing of routes: link-local and multicast ones of IPv6 hold for each link alone."""
    return version == 6 and (number >> 118 == 0x3FA or number >> 120 == 0xFF)


def _known(network: HostNetwork, link: str, number: int) -> bool:
    neighbour = network.neighbour(link, number)
    return neighbour is not None and not neighbour.failed


def _repeated(values: Iterable[Value]) -> set[Value]:
    seen: set[Value] = set()
    again: set[Value] = set()
    for value in values:
        (again if value in seen else seen).add(value)
    return again


def _constants(nat: Translate) -> Iterator[int]:
    if isinstance(nat.address, Constant) and isinstance(nat.address.value, int):
        yield nat.address.value
    lookups = [found.entries for found in (nat.address,) if isinstance(found, Lookup)] + [
        found[1] for found in (nat.pair,) if found
    ]
    for entries in lookups:
        yield from (atoms[0] for _, atoms in entries if isinstance(atoms[0], int))


class _Named(Struct, kw_only=True):
    """The values by which rules may tell ends apart: numbers and names, and ranges of numbers."""

    values: set[Atom] = field(default_factory=set)
    ranges: set[tuple[int, int]] = field(default_factory=set)
    tells: dict[str, bool] = field(default_factory=dict)

    @classmethod
    def of(cls, lines: Iterable[RuleLine]) -> _Named | None:
        """Those of all lines; None where one looks at a part of a value, so that its own values say nothing."""
        found = cls()
        return found if all(map(found.take, lines)) else None

    def take(self, line: RuleLine) -> bool:
        """Those of a line; False if it looks at a part of a value."""
        guards = line.guards  # most lines have no more, and those have been taken apart already
        for key, exact, low, high, _ in guards:
            tells = self.tells.get(key)
            if tells is None:
                tells = self.tells[key] = not key.startswith(OF_SERVICES)
            if tells:
                if key[0] == "@":
                    return False
                self.values |= exact
                if low <= high:
                    self.put((low, high))
        return _decides_alone(line) or all(map(self._others, line.parts[len(guards) :]))

    def _others(self, part: Part) -> bool:
        if isinstance(part, Test | DecisionMap):
            if any((not isinstance(key, Field) or key.key[0] == "@") and _looks_at_ends(key) for key in part.keys):
                return False
            of_ends = [n for n, key in enumerate(part.keys) if not _is_of_services(key)]
            for place in of_ends:
                self.values.update(atoms[place] for atoms in part.exact)
                for bounds in part.ranged:
                    self.put(bounds[place])
        elif isinstance(part, Translate):
            for one in _looked_up(part):
                self.put(one)
        elif isinstance(part, AnyFlag):
            return not _looks_at_ends(part.key)
        elif isinstance(part, SetField) and part.value is not None:
            return not _looks_at_ends(part.value)
        return True

    def marks(self, value: int) -> tuple[object, ...]:
        """What rules know of a value."""
        return (value if value in self.values else None, *(one for one in self.ranges if one[0] <= value <= one[1]))

    def put(self, one: Bounds) -> None:
        """Bounds, which may be of one value alone."""
        if isinstance(one, str):
            self.values.add(one)
        elif one[0] == one[1]:
            self.values.add(one[0])
        else:
            self.ranges.add(one)


def _decides_alone(line: RuleLine) -> bool:
    """Whether a line has plain tests and a decision, as most have, and nothing else."""
    return len(line.parts) == len(line.guards) + 1 and line.parts[-1].__class__ is Decision


def _is_of_services(key: Expr) -> bool:
    return isinstance(key, Field) and key.key.startswith(OF_SERVICES)


def _looked_up(nat: Translate) -> Iterator[Bounds]:
    for lookup in (nat.address, nat.port):
        if isinstance(lookup, Lookup):
            for bounds, _ in lookup.entries:
                yield from bounds
    for bounds, _ in nat.pair[1] if nat.pair else ():
        yield from bounds


def _looks_at_ends(one: Expr) -> bool:
    if isinstance(one, Field):
        return not one.key.startswith(PLAIN)
    if isinstance(one, Bits):
        return _looks_at_ends(one.left) or _looks_at_ends(one.right)
    return isinstance(one, Lookup)
