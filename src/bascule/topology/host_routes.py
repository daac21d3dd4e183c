"""Which link the host itself would send to an address by: its policy rules, tables and prefixes (ip-rule(8)). Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from ipaddress import ip_address, ip_network

from msgspec import Struct

from bascule.model.state import DEFAULT_DST, HostState, Route, RoutingRule
from bascule.model.values import IpAddress, IpNetwork, overlap
from bascule.topology.trace.routing import LOCAL, MAIN, REFUSING, RouteRule, RouteTables, TableRoute, pairs

SELECTORS = {"ipproto", "sport", "dport", "uidrange", "tos"}  # that hold for some packets which this host sends
ELSEWHERE = {"not", "fwmark", "oif", "tun_id", "l3mdev", "suppress_ifgroup"}  # for none of them, or nobody knows which
EVERY_SOURCE = {"all", *DEFAULT_DST.values()}


class RouteChoice(Struct, frozen=True, kw_only=True):
    """The best routes to an address (several where nothing decides between them) and the rule that leads to them."""

    routes: tuple[Route, ...]
    rule: RoutingRule

    @property
    def devs(self) -> tuple[str, ...]:
        """The links, each once."""
        return tuple(dict.fromkeys(dev for route in self.routes for dev in _ways_out(route)))

    @property
    def kind(self) -> str:
        """What happens to packets that go this way, in a word of ip-route(8): ``unicast``, ``local``, ``blackhole``."""
        return self.routes[0].kind

    def __str__(self) -> str:
        told = ", ".join(
            f"{_kind(route)}{route.dst} by {' and '.join(_ways_out(route))}" for route in self.routes if route.dst
        )
        if self.rule in {LOCAL, MAIN}:
            return f"route {told}"
        return f"rule {self.rule.priority} ({' '.join(self.rule.words)}){f' with route {told}' if told else ''}"


class HostRoutes:
    """The routing of a state, as the kernel would ask it for a packet of the host's own without a mark or a source."""

    def __init__(self, state: HostState) -> None:
        self._tables = {version: RouteTables(state, version) for version in (4, 6)}

    def way_to(self, address: IpAddress) -> RouteChoice | None:
        """The way to an address; None where there is none."""
        found = self._tables[address.version].rules_for(int(address))
        return next((way for rule, is_sure in found if is_sure and (way := self._choice(rule, address))), None)

    def ways_by_rule(self, address: IpAddress, source: IpAddress) -> Iterator[tuple[RouteChoice, str]]:
        """The ways of packets from an address of the host's own, and of those that a rule picks; with what they are."""
        plain = self.way_to(address)
        for rule, _ in self._tables[address.version].rules_for(int(address), int(source)):
            if plain is not None and rule.rule.priority >= plain.rule.priority:
                return
            if (selector := _selector(rule.rule, source)) and (choice := self._choice(rule, address)):
                yield choice, selector

    def _choice(self, rule: RouteRule, address: IpAddress) -> RouteChoice | None:
        """What a rule that applies leads to; None where the next one is asked."""
        if rule.action:
            return RouteChoice(routes=(Route(dst="", kind=rule.action),), rule=rule.rule)
        best = tuple(entry.route for entry in self._tables[address.version].best(rule, int(address)))
        return RouteChoice(routes=best, rule=rule.rule) if best else None

    def unknown(self, known: Callable[[Route], bool]) -> dict[int, list[TableRoute]]:
        """The routes of each IP version that are not known, but for those of the host's own addresses."""
        return {
            version: [
                one
                for some in each.tables.values()
                for one in some
                if (one.route.table, one.route.protocol) != ("local", "kernel") and not known(one.route)
            ]
            for version, each in self._tables.items()
        }

    def rivals(self, subnet: IpNetwork, unknown: Mapping[int, Sequence[TableRoute]]) -> Iterator[IpNetwork]:
        """Where an ``unknown`` route, or a rule that ends, could win against a subnet's own for some members."""
        first, last = int(subnet[0]), int(subnet[-1])
        for entry in unknown[subnet.version]:
            wins = entry.route.table != "main" or entry.hop.length >= subnet.prefixlen
            if entry.first <= last and entry.last >= first and wins:
                yield ip_network(entry.route.dst, strict=False)
        for rule in (one.rule for one in self._tables[subnet.version].rules if one.action):
            network = ip_network(dict(pairs(rule.words)).get("to", DEFAULT_DST[subnet.version]), strict=False)
            if overlap(network, subnet):
                yield network


def _ways_out(route: Route) -> tuple[str, ...]:
    """The links that a route leads to; what it is where it ends here (IPv6 names lo for those, too)."""
    if route.kind in REFUSING or not route.hops:
        return (route.kind,)
    return tuple(dict.fromkeys(dev for _, dev in route.hops))


def _kind(route: Route) -> str:
    """The kind as a word before the destination, where it is not a plain route and not told by where it leads."""
    return "" if route.kind == "unicast" or route.kind in REFUSING else f"{route.kind} "


def _selector(rule: RoutingRule, source: IpAddress) -> str:
    """Which packets of this host's a rule picks, beside their target; empty for none that are known, and for all."""
    words = dict(pairs(rule.words))
    told = [f"{key} {value}" for key, value in words.items() if key in SELECTORS]
    told += [] if words.get("from", "all") in EVERY_SOURCE else [f"from {source}"]
    return "" if ELSEWHERE & words.keys() else " ".join(told)


def address_of(text: str) -> IpAddress:
    """An address without its prefix."""
    return ip_address(text.partition("/")[0])
