"""Which link the host itself would send to an address by: its policy rules, tables and prefixes (ip-rule(8)). Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import cached_property
from ipaddress import ip_address, ip_interface, ip_network
from itertools import pairwise

from msgspec import Struct

from bascule.model.host_links import RULE_ENDS
from bascule.model.state import DEFAULT_DST, HostState, Route, RoutingRule
from bascule.model.values import IpAddress, IpNetwork, overlap

LOCAL = RoutingRule(priority=0, words=("from", "all", "lookup", "local"))
MAIN = RoutingRule(priority=32766, words=("from", "all", "lookup", "main"))
SELECTORS = {"ipproto", "sport", "dport", "uidrange", "tos"}  # that hold for some packets which this host sends
CONDITIONS = {*SELECTORS, "from", "fwmark", "iif", "oif", "tun_id"}  # other than the target
REFUSING = set(RULE_ENDS)
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


class HostRoutes(Struct, frozen=True, dict=True):
    """The routing of a state, as the kernel would ask it for a packet of the host's own without a mark or a source."""

    state: HostState

    def way_to(self, address: IpAddress) -> RouteChoice | None:
        """The way to an address; None where there is none."""
        first = 0
        for rule in self._rules(address.version):
            if rule.priority < first or "l3mdev" in rule.words or not _applies(rule, address):
                continue
            first = int(_words(rule).get("goto", first))
            if choice := self._choice(rule, address):
                return choice
        return None

    def ways_by_rule(self, address: IpAddress, source: IpAddress) -> Iterator[tuple[RouteChoice, str]]:
        """The ways of packets from an address of the host's own, and of those that a rule picks; with what they are."""
        plain = self.way_to(address)
        for rule in self._rules(address.version):
            if plain is not None and rule.priority >= plain.rule.priority:
                return
            if "not" in rule.words or not (selector := _selected(rule, address, source)):
                continue
            if choice := self._choice(rule, address):
                yield choice, selector

    def _rules(self, version: int) -> list[RoutingRule]:
        """In the order in which they are asked; the kernel's own come first of their priority."""
        rules = [LOCAL, MAIN, *(rule for rule in self.state.rules if rule.ipv6 == (version == 6))]
        return sorted(rules, key=lambda one: one.priority)

    def _choice(self, rule: RoutingRule, address: IpAddress) -> RouteChoice | None:
        """What a rule that applies leads to; None where the next one is asked."""
        words = _words(rule)
        if ends := REFUSING & set(rule.words):
            return RouteChoice(routes=(Route(dst="", kind=next(iter(ends))),), rule=rule)
        best = self._best(words.get("lookup", ""), address, int(words.get("suppress_prefixlength", -1)))
        return RouteChoice(routes=best, rule=rule) if best and best[0].kind != "throw" else None

    def _best(self, table: str, address: IpAddress, suppressed: int) -> tuple[Route, ...]:
        """Of one table the routes with the longest prefix, and of those the ones with the smallest metric."""
        fitting = [
            (network.prefixlen, -route.metric, route)
            for network, route in self._tables.get((table, address.version), ())
            if address in network and network.prefixlen > suppressed
        ]
        if not fitting:
            return ()
        first = max(fitting, key=lambda each: each[:2])[:2]
        return tuple(route for length, metric, route in fitting if (length, metric) == first)

    @cached_property
    def all(self) -> tuple[tuple[IpNetwork, Route], ...]:
        """Every route with its destination, those included that the kernel makes for addresses."""
        return tuple((ip_network(route.dst, strict=False), route) for route in (*self.state.routes, *self._connected()))

    def rivals(self, subnet: IpNetwork, known: Callable[[Route], bool]) -> Iterator[IpNetwork]:
        """Where a route that is not known, or a rule that ends, could win against a subnet's own for some members."""
        for network, route in self.all:
            wins = route.table != "main" or network.prefixlen >= subnet.prefixlen
            if wins and overlap(network, subnet) and not known(route):
                yield network
        for rule in self.state.rules:
            words = _words(rule)
            if REFUSING & set(rule.words) and rule.ipv6 == (subnet.version == 6):
                network = ip_network(words.get("to", DEFAULT_DST[6 if rule.ipv6 else 4]), strict=False)
                if overlap(network, subnet):
                    yield network

    @cached_property
    def _tables(self) -> dict[tuple[str, int], list[tuple[IpNetwork, Route]]]:
        found: dict[tuple[str, int], list[tuple[IpNetwork, Route]]] = {}
        for network, route in self.all:
            found.setdefault((route.table, network.version), []).append((network, route))
        return found

    def _connected(self) -> Iterator[Route]:
        """The routes that the kernel makes for addresses, which no state lists."""
        for link in self.state.links.values():
            for address in link.addresses if link.up else ():
                own = ip_interface(address.ip)
                if address.peer and "noprefixroute" not in address.flags:  # of a point-to-point link
                    peer = ip_interface(address.peer).network
                    yield Route(dst=str(peer), dev=link.name, metric=address.metric, protocol="kernel")
                    continue
                if (
                    "noprefixroute" in address.flags
                    or address.is_link_local
                    or own.network.prefixlen == own.max_prefixlen
                ):
                    continue
                metric = address.metric or (256 if own.version == 6 else 0)
                yield Route(dst=str(own.network), dev=link.name, metric=metric, protocol="kernel")


def _ways_out(route: Route) -> tuple[str, ...]:
    """The links that a route leads to; what it is where it ends here (IPv6 names lo for those, too)."""
    if route.kind in REFUSING or not (route.dev or route.nexthops):
        return (route.kind,)
    words = [hop.split() for hop in route.nexthops]
    hops = [after for hop in words for word, after in pairwise(hop) if word == "dev"]
    return tuple(dict.fromkeys(hops)) or (route.dev or route.kind,)


def _kind(route: Route) -> str:
    """The kind as a word before the destination, where it is not a plain route and not told by where it leads."""
    return "" if route.kind == "unicast" or route.kind in REFUSING else f"{route.kind} "


def _words(rule: RoutingRule) -> Mapping[str, str]:
    return dict(zip(rule.words, rule.words[1:], strict=False))


def _is_to(rule: RoutingRule, address: IpAddress) -> bool:
    target = _words(rule).get("to", "all")
    return target == "all" or address in ip_network(target, strict=False)


def _applies(rule: RoutingRule, address: IpAddress) -> bool:
    """Whether a rule is about a packet to the address of which nothing else is known: no source, no mark."""
    words = _words(rule)
    hit = _is_to(rule, address)
    for key in CONDITIONS & words.keys():
        if key == "from" and words[key] in EVERY_SOURCE:
            continue
        hit = hit and key == "iif" and words[key] == "lo"
    return hit != ("not" in rule.words)


def _selected(rule: RoutingRule, address: IpAddress, source: IpAddress) -> str:
    """Which packets of this host's to the address a rule picks; empty for none, and for all."""
    words = _words(rule)
    told = [f"{key} {words[key]}" for key in rule.words if key in SELECTORS & words.keys()]
    by = words.get("from", "all")
    if by not in EVERY_SOURCE:
        told.append(f"from {source}")
    fits = by in EVERY_SOURCE or source in ip_network(by, strict=False)
    elsewhere = {"fwmark", "oif", "tun_id", "l3mdev"} & {*rule.words} or words.get("iif", "lo") != "lo"
    return " ".join(told) if fits and not elsewhere and _is_to(rule, address) else ""


def address_of(text: str) -> IpAddress:
    """An address without its prefix."""
    return ip_address(text.partition("/")[0])
