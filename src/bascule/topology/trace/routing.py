"""Where the kernel sends a packet: rules in their order, in each table the longest prefix, then the least metric."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from ipaddress import ip_network
from typing import Any

from msgspec import Struct
from msgspec.structs import replace

from bascule.model.state import HostState, RoutingRule
from bascule.topology.host_routes import REFUSING
from bascule.topology.trace.rules.values import address, prefix


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


NOWHERE = NextHop(kind="none")


class TableRoute(Struct, frozen=True, kw_only=True):
    """A route as numbers."""

    first: int
    last: int
    hop: NextHop
    metric: int
    later: bool = False  # whether another link has the same one before it


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

    priority: int
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
            if link.up:
                self._connected(link)
        for route in state.routes:
            if route.is_ipv6 == (version == 6) and not route.tos:  # the packets that are asked for have no TOS
                self._route(state, route)
        for entries in self.tables.values():
            entries.sort(key=lambda one: (-one.hop.length, one.metric, one.later))
        told = [_rule(one) for one in state.rules if one.ipv6 == (version == 6)]
        if not any((rule.priority, rule.table) == (0, "local") for rule in told):
            told.append(RouteRule(priority=0, tests={}, table="local"))
        told.append(RouteRule(priority=32766, tests={}, table="main"))
        told.append(RouteRule(priority=32767, tests={}, table="default"))
        self.rules = sorted(told, key=lambda rule: rule.priority)

    def _add(self, table: str, first: int, length: int, hop: NextHop, metric: int = 0, *, later: bool = False) -> None:
        last = first | (1 << (self.bits - length)) - 1
        made = TableRoute(first=first, last=last, hop=hop, metric=metric, later=later)
        self.tables.setdefault(table, []).append(made)

    def _connected(self, link: Any) -> None:
        for one in link.addresses:
            text, _, length = one.ip.partition("/")
            if (":" in text) != (self.version == 6):
                continue
            number, bits = address(text), int(length)
            if f"local {text}" not in link.facts.unrouted:
                local = NextHop(kind="local", link=link.name, table="local", length=self.bits)
                self._add("local", number, self.bits, local)
            if self.version == 4 and link.name == "lo":
                first, _ = prefix(text, bits)
                self._add("local", first, bits, NextHop(kind="local", link="lo", table="local", length=bits))
                continue
            peer = one.peer.partition("/")[0]
            first, last = prefix(peer or text, bits)
            subnet = str(ip_network(f"{peer or text}/{bits}", strict=False))
            is_there = "noprefixroute" not in one.flags and subnet not in link.facts.unrouted
            if is_there and (bits < self.bits or peer):
                hop = NextHop(kind="unicast", link=link.name, table="main", length=bits, source=number)
                metric = one.metric or (0 if self.version == 4 else 256)
                self._add("main", first, bits, hop, metric, later=subnet in link.facts.behind)
            if self.version == 4 and bits < 31:
                wide = NextHop(kind="broadcast", link=link.name, table="local", length=32)
                self._add("local", last, 32, wide)

    def _route(self, state: HostState, route: Any) -> None:
        dev, gateway, more = route.dev, route.gateway, []
        for hop in route.nexthops:
            words = hop.split()
            told = dict(zip(words[1::2], words[2::2], strict=False))
            if not dev and not gateway:
                dev, gateway = told.get("dev", ""), told.get("via", "")
            else:
                more.append(told.get("dev", ""))
        link = state.links.get(dev) if dev else None
        if route.kind == "unicast" and (link is None or not link.up):
            return
        first, _ = prefix(route.dst)
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
            more=tuple(more),
            mtu=_mtu(route.extra),
        )
        self._add(route.table, first, length, hop, route.metric)

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
        doubt, skipped_to = "", 0
        for rule in self.rules:
            if rule.priority < skipped_to or (only and rule.table != only):
                continue
            fits = _fits(rule, destination, source, iif, oif, mark)
            if fits is False:
                continue
            if fits is None:
                doubt = doubt or f"the rule of priority {rule.priority}"
                continue
            if rule.action:
                return NextHop(kind=rule.action, doubt=doubt)
            skipped_to = rule.skips_to
            for entry in self.tables.get(rule.table, ()):
                if entry.first <= destination <= entry.last and (not oif or entry.hop.link == oif or _local(entry)):
                    if entry.hop.length <= rule.suppressed or entry.hop.kind == "throw":
                        break
                    return _doubted(entry.hop, doubt)
        return _doubted(NOWHERE, doubt)


def _local(entry: TableRoute) -> bool:
    return entry.hop.kind == "local"


def _doubted(hop: NextHop, doubt: str) -> NextHop:
    return replace(hop, doubt=doubt) if doubt else hop


def _fits(rule: RouteRule, destination: int, source: int, iif: str, oif: str, mark: int | None) -> bool | None:
    found: bool | None = not rule.doubt or None
    for key, wanted in rule.tests.items():
        if key in {"from", "to"}:
            number = source if key == "from" else destination
            fits: bool | None = wanted[0] <= number <= wanted[1]
        elif key == "fwmark":
            fits = None if mark is None else mark & wanted[1] == wanted[0]
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
    words = list(_pairs(rule.words))
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
        priority=rule.priority,
        tests=tests,
        negated=negated,
        table=table,
        action=action,
        suppressed=suppressed,
        skips_to=skips_to,
        doubt=doubt,
    )


def _pairs(words: Sequence[str]) -> Iterator[tuple[str, str]]:
    place = 0
    while place < len(words):
        word = words[place]
        if word in REFUSING or word == "not" or place + 1 == len(words):
            yield word, ""
            place += 1
        else:
            yield word, words[place + 1]
            place += 2
