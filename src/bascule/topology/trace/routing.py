"""Where the kernel sends a packet: rules in their order, in each table the longest prefix, then the least metric."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from ipaddress import ip_network
from typing import Any

from msgspec import Struct
from msgspec.structs import replace

from bascule.model.host_links import RULE_ENDS
from bascule.model.state import HostState, Link, Route, RoutingRule
from bascule.model.values import IfName
from bascule.topology.trace.rules.values import address, prefix

REFUSING = set(RULE_ENDS)
# the kernel's own rules, which no state lists: of their priority they come first
LOCAL = RoutingRule(priority=0, words=("from", "all", "lookup", "local"))
MAIN = RoutingRule(priority=32766, words=("from", "all", "lookup", "main"))
DEFAULT = RoutingRule(priority=32767, words=("from", "all", "lookup", "default"))


class NextHop(Struct, frozen=True, kw_only=True):
    """Where a destination leads: ``kind`` is unicast, local, broadcast, multicast, a refusal, or none."""

    kind: str
    link: str = ""
    gateway: int = 0
    table: str = ""
    length: int = 0
    source: int = 0
    doubt: str = ""
    more: tuple[str, ...] = ()  # the links of further ways of a multipath route
    mtu: int = 0  # of the route itself; 0: that of the link

    @property
    def refuses(self) -> bool:
        """Whether there is no way, or one that says no."""
        return self.kind == "none" or self.kind in REFUSING


NO_ROUTE = NextHop(kind="none")


class TableRoute(Struct, frozen=True, kw_only=True):
    """A route as numbers."""

    first: int
    last: int
    hop: NextHop
    route: Route
    later: bool = False  # whether another link has the same one before it

    @property
    def rank(self) -> tuple[int, int]:
        """The least is taken; of two alike the one that was there first, which the next start may turn round."""
        return -self.hop.length, self.route.metric


class AwaitedRoutes(Struct, frozen=True, kw_only=True):
    """Routes that a lease or a router will bring to a link, and that nobody knows yet.

    ``subnets`` are those of the network on its wire: first and last address, and length of the prefix.
    """

    link: str
    version: int
    subnets: tuple[tuple[int, int, int], ...] = ()

    def may_lead(self, destination: int, hop: NextHop) -> bool:
        """Whether one of them may be taken instead of the way that is known."""
        if hop.kind == "none" or not hop.length:
            return True
        return any(first <= destination <= last and length > hop.length for first, last, length in self.subnets)


class RouteRule(Struct, frozen=True, kw_only=True):
    """A rule of policy routing as tests."""

    rule: RoutingRule
    tests: Mapping[str, Any]
    negated: bool = False
    table: str = ""
    action: str = ""
    suppressed: int = -1
    skips_to: int = 0  # by goto: the priority of the rule that is asked next
    doubt: str = ""


class RouteTables:
    """The routes of one IP version of a host."""

    def __init__(self, state: HostState, version: int) -> None:
        self.version = version
        self.bits = 32 if version == 4 else 128
        self.tables: dict[str, list[TableRoute]] = {"local": [], "main": [], "default": []}
        for link in state.links.values():
            for route in self._connected(link) if link.up else ():
                self._add(state, route, later=route.kind == "unicast" and route.dst in link.facts.behind)
        for route in state.routes:
            if route.is_ipv6 == (version == 6) and not route.tos:  # the packets that are asked for have no TOS
                self._add(state, route)
        for entries in self.tables.values():
            entries.sort(key=lambda one: (one.rank, one.later))
        told = (LOCAL, MAIN, DEFAULT, *(one for one in state.rules if one.ipv6 == (version == 6)))
        self.rules = [_rule(one) for one in sorted(told, key=lambda one: one.priority)]

    def _connected(self, link: Link) -> Iterator[Route]:
        """The routes that the kernel makes for the addresses of a link, which no state lists."""
        made = Route(dst="", dev=link.name, protocol="kernel")
        for one in link.addresses:
            if one.is_ipv6 != (self.version == 6):
                continue
            text, _, length = one.ip.partition("/")
            subnet = ip_network(f"{one.peer.partition('/')[0] or text}/{length}", strict=False)
            if f"local {text}" not in link.facts.unrouted:
                yield replace(made, dst=f"{text}/{self.bits}", table="local", kind="local")
            if self.version == 4 and link.name == "lo":
                yield replace(made, dst=str(subnet), table="local", kind="local")
                continue
            is_there = "noprefixroute" not in one.flags and str(subnet) not in link.facts.unrouted
            if is_there and (subnet.prefixlen < self.bits or one.peer):
                metric = one.metric or (0 if self.version == 4 else 256)
                yield replace(made, dst=str(subnet), prefsrc=text, metric=metric)
            if self.version == 4 and subnet.prefixlen < 31:
                yield replace(made, dst=f"{subnet[-1]}/32", table="local", kind="broadcast")

    def _add(self, state: HostState, route: Route, *, later: bool = False) -> None:
        (gateway, dev), *more = route.hops or ((route.gateway, ""),)
        link = state.links.get(IfName(dev)) if dev else None
        if route.kind == "unicast" and (link is None or not link.up):
            return
        first, last = prefix(route.dst)
        length = int(route.dst.partition("/")[2] or self.bits)
        via_other = bool(gateway) and (":" in gateway) != (self.version == 6)
        hop = NextHop(
            kind=route.kind,
            link=dev,
            gateway=address(gateway) if gateway and not via_other else 0,
            table=route.table,
            length=length,
            source=address(route.prefsrc) if route.prefsrc else 0,
            doubt="several next hops of equal weight" if more else "a gateway of the other family" if via_other else "",
            more=tuple(link for _, link in more),
            mtu=_mtu(route.extra) if route.extra else 0,
        )
        made = TableRoute(first=first, last=last, hop=hop, route=route, later=later)
        self.tables.setdefault(route.table, []).append(made)

    def find(
        self,
        destination: int,
        source: int = 0,
        *,
        iif: str = "lo",
        oif: str = "",
        mark: int | None = 0,
        only: str = "",
    ) -> NextHop:
        """The way to a destination. ``oif`` asks for a way by that link alone; ``only`` for one table."""
        doubt = ""
        for rule, is_sure in self.rules_for(destination, source, iif=iif, oif=oif, mark=mark):
            if only and rule.table != only:
                continue
            if not is_sure:
                doubt = doubt or f"the rule of priority {rule.rule.priority}"
                continue
            if rule.action:
                return NextHop(kind=rule.action, doubt=doubt)
            for entry in self.best(rule, destination, oif):
                return _doubted(entry.hop, doubt)
        return _doubted(NO_ROUTE, doubt)

    def rules_for(
        self, destination: int, source: int = 0, *, iif: str = "lo", oif: str = "", mark: int | None = 0
    ) -> Iterator[tuple[RouteRule, bool]]:
        """The rules that a packet comes by in their order, until one has a route; and whether each surely picks it."""
        skipped_to = 0
        for rule in self.rules:
            if rule.rule.priority < skipped_to:
                continue
            fits = _fits(rule, destination, source, iif, oif, mark)
            if fits is not False:
                skipped_to = rule.skips_to if fits else skipped_to
                yield rule, fits is True

    def best(self, rule: RouteRule, destination: int, oif: str = "") -> Iterator[TableRoute]:
        """The route that a rule leads to, and those between which nothing decides; none: the next rule is asked."""
        rank = None
        for entry in self.tables.get(rule.table, ()):
            by_oif = not oif or entry.hop.link == oif or entry.hop.kind == "local"
            if entry.first <= destination <= entry.last and by_oif:
                if entry.hop.length <= rule.suppressed or entry.hop.kind == "throw" or rank not in {None, entry.rank}:
                    return
                rank = entry.rank
                yield entry


def _doubted(hop: NextHop, doubt: str) -> NextHop:
    return replace(hop, doubt=doubt) if doubt else hop


def _fits(rule: RouteRule, destination: int, source: int, iif: str, oif: str, mark: int | None) -> bool | None:
    found: bool | None = not rule.doubt or None
    for key, wanted in rule.tests.items():
        if key in {"from", "to"}:
            number = source if key == "from" else destination
            fits: bool | None = wanted[0] <= number <= wanted[1]
        elif key == "fwmark":
            fits = None if mark is None else (mark ^ wanted[0]) & wanted[1] == 0
        else:
            fits = (iif if key == "iif" else oif) == wanted
        if fits is False:
            return rule.negated
        if fits is None:
            found = None
    return None if found is None else not rule.negated


def _mtu(extra: Sequence[str]) -> int:
    """The MTU that a route sets, ``mtu 1400`` or ``mtu lock 1400`` (ip-route(8)); 0 where it sets none."""
    words = " ".join(extra).replace("mtu lock ", "mtu ").split()
    told = dict(itertools.pairwise(words)).get("mtu", "")
    return int(told) if told.isdigit() else 0


def _rule(rule: RoutingRule) -> RouteRule:
    tests: dict[str, Any] = {}
    table = action = doubt = ""
    suppressed, negated, skips_to = -1, False, 0
    words = list(pairs(rule.words))
    for key, value in words:
        if key == "not":
            negated = True
        elif key in {"from", "to"}:
            if value != "all":
                tests[key] = prefix(value)
        elif key == "fwmark":
            bits, _, mask = value.partition("/")
            tests[key] = int(bits, 0), int(mask, 0) if mask else 0xFFFFFFFF
        elif key in {"iif", "oif"}:
            tests[key] = value
        elif key in {"lookup", "table"}:
            table = {"254": "main", "255": "local", "253": "default"}.get(value, value)
        elif key == "suppress_prefixlength":
            suppressed = int(value)
        elif key in REFUSING:
            action = key
        elif key == "goto":
            skips_to = int(value)
        else:
            doubt = f"{key} {value}".strip()
    return RouteRule(
        rule=rule,
        tests=tests,
        negated=negated,
        table=table,
        action=action,
        suppressed=suppressed,
        skips_to=skips_to,
        doubt=doubt,
    )


def pairs(words: Sequence[str]) -> Iterator[tuple[str, str]]:
    """The words of a rule with their values; empty for one that stands alone."""
    place = 0
    while place < len(words):
        word = words[place]
        if word in REFUSING or word == "not" or place + 1 == len(words):
            yield word, ""
            place += 1
        else:
            yield word, words[place + 1]
            place += 2
