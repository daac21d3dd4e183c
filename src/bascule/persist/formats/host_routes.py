"""Routes that stand on no single link, as ip-route(8) writes them, and the link in whose file they are written."""

from __future__ import annotations

from collections.abc import Container, Iterable, Mapping, Sequence
from ipaddress import ip_address, ip_interface, ip_network

from msgspec.structs import replace

from bascule.model.host_links import MAIN_TABLE, NOWHERE_TO, UNICAST, HostRoute, RouteHop
from bascule.model.state import DEFAULT_DST, Route
from bascule.model.values import IfName, parse_ifname
from bascule.persist.config import LinkConfig, NetworkConfig, StaticRoute
from bascule.persist.formats.values import (
    ROUTE_TYPES,
    TUNING,
    default_of,
    parse_ip,
    parse_number,
    parse_prefix,
    parse_table,
)
from bascule.persist.parsed import UnparsedLines

NO_LINK = IfName("")  # the link of a hop that names none, until all links are read


def is_host_route(words: Container[str]) -> bool:
    """Whether the words behind ``ip route add`` mean such a route."""
    return "nexthop" in words or any(word in words for word in NOWHERE_TO)


_VALUED = frozenset({"via", "dev", "metric", "table", "src", "proto", "scope", *TUNING})  # words with a value


def parse_route(given: Sequence[str], *, ipv6: bool) -> tuple[StaticRoute | HostRoute, str]:
    """A route from the words behind ``ip route add``, and the link that it is for ("" if none is named).

    Raises ValueError for what a site file has no word for.
    """
    head, *hops = _split(given, "nexthop")
    kind, dst, onlink = UNICAST, "", False
    values: dict[str, str] = {}
    while head:
        word = head.pop(0)
        if word in _VALUED and head:
            values[word] = head.pop(0)
            if values[word] == "lock" and head:
                head.pop(0)
        elif word == "onlink":
            onlink = True
        elif word in NOWHERE_TO and not dst:
            kind = word
        elif word in ROUTE_TYPES and not dst:
            raise ValueError(f"a route of type {word} is not supported")
        elif not dst:
            dst = word
        else:
            raise ValueError(f"'{word}' of a route is not supported")
    if not dst:
        raise ValueError("a route without destination")
    metric, table = values.get("metric", "0"), values.get("table", "main")
    if hops or kind != UNICAST:
        ways = tuple(map(_hop, hops))
        if odd := sorted({"via", "src"} & values.keys()) + ["onlink"] * onlink:
            raise ValueError(f"'{odd[0]}' of such a route is not supported")
        if (kind == UNICAST) == (len(ways) < 2) or values.get("dev", "lo") != "lo":
            raise ValueError("such a route is not supported")
        if dst == "default":
            dst = DEFAULT_DST[6 if ipv6 or any(way.router.version == 6 for way in ways) else 4]
        return host_route(dst, kind, ways, metric=metric, table=table), ""
    gateway = parse_ip(values["via"]) if "via" in values else ""
    route = StaticRoute(
        dst=parse_prefix(dst if dst != "default" else DEFAULT_DST[6] if ipv6 else default_of(gateway)),
        gateway=gateway,
        metric=parse_number(metric),
        table=parse_table(table),
        prefsrc=parse_ip(values["src"]) if "src" in values else "",
        onlink=onlink,
    )
    return route, str(parse_ifname(values["dev"])) if "dev" in values else ""


def tell_tuning(left: UnparsedLines, dst: object, given: Sequence[str], file: str, line: int) -> None:
    """How packets go by a route, which a site file does not say, is told."""
    for key, value, third in zip(given, given[1:], [*given[2:], ""], strict=False):
        if key in TUNING:
            said = " ".join((key, *([value, third] if value == "lock" else [value])))
            left.add(file, line, f"route {dst}: {said}", "not taken")


def host_route_words(route: HostRoute) -> str:
    """The words behind ``ip route add``."""
    words = [route.type] if route.type != UNICAST else []
    words.append(str(route.to) if route.to.prefixlen else "default")
    words += ["metric", str(route.metric)] if route.metric else []
    words += ["table", str(route.table)] if route.table else []
    for hop in route.hops:
        words += [*hop.words, *(["onlink"] if hop.onlink else [])]
    return " ".join(words)


def host_route(dst: str, kind: str, ways: tuple[RouteHop, ...], *, metric: str = "0", table: str = "main") -> HostRoute:
    """A route of its words. Raises ValueError."""
    number = parse_table(table)
    return HostRoute(
        to=ip_network(parse_prefix(dst)),
        type=kind,
        hops=ways,
        metric=parse_number(metric) or None,
        table=number if number != MAIN_TABLE else None,
    )


def _split(words: Sequence[str], at: str) -> list[list[str]]:
    parts: list[list[str]] = [[]]
    for word in words:
        if word == at:
            parts.append([])
        else:
            parts[-1].append(word)
    return parts


def _hop(words: list[str]) -> RouteHop:
    rest = [word for word in words if word not in {"onlink", "inet", "inet6"}]
    values = dict(zip(rest[::2], rest[1::2], strict=False))
    odd = set(values) - {"via", "dev", "weight"}
    if len(rest) % 2 or "via" not in values or odd:
        raise ValueError(f"'{min(odd, default='nexthop')}' of a way of a route is not supported")
    return hop_of(values["via"], values.get("dev", ""), values.get("weight", "1"), onlink="onlink" in words)


def hop_of(router: str, link: str, weight: str, *, onlink: bool = False) -> RouteHop:
    """A way of its words. Raises ValueError."""
    return RouteHop(
        router=ip_address(parse_ip(router)),
        link=parse_ifname(link) if link else NO_LINK,
        weight=parse_number(weight, 1, 256),
        onlink=onlink,
    )


def kernel_host_route(route: Route) -> HostRoute | None:
    """A route that the kernel has, if it is one of these and a site file can say it."""
    if not route.nexthops and route.kind not in NOWHERE_TO:
        return None
    words = [route.kind] if route.kind != UNICAST else []
    words += [route.dst, "metric", str(route.metric), "table", route.table]
    try:
        found, _ = parse_route([*words, *(word for hop in route.nexthops for word in hop.split())], ipv6=route.is_ipv6)
    except ValueError:
        return None
    if not isinstance(found, HostRoute):
        return None
    # 1024 is what the kernel writes where an IPv6 route names no metric (IP6_RT_PRIO_USER)
    return replace(found, metric=None) if route.is_ipv6 and found.metric == 1024 else found


def with_links(route: HostRoute, links: Iterable[LinkConfig]) -> tuple[HostRoute, list[str]]:
    """The route with a link for each way, which is where its router is a neighbour; and the routers without one."""
    near = {link.name: [ip_interface(text).network for text in link.addresses] for link in links}
    hops = []
    for hop in route.hops:
        home = next((name for name, nets in near.items() if any(hop.router in net for net in nets)), NO_LINK)
        hops.append(hop if hop.link else replace(hop, link=home))
    return replace(route, hops=tuple(hops)), [str(hop.router) for hop in hops if hop.link not in near]


def routes_by_home(config: NetworkConfig) -> Mapping[IfName, list[HostRoute]]:
    """The routes by the link in whose file they stand: that of the last way, the one of their table, or a speaker."""
    found: dict[IfName, list[HostRoute]] = {}
    links = [link for link in config.links.values() if link.master is None]
    order = [link.name for link in config.in_order()] if config.routes else []
    for route in config.routes:
        last = max((hop.link for hop in route.hops if hop.link in order), key=order.index, default=None)
        speakers = [
            link.name
            for link in links
            if link.has_address and (route.to.version == 4 or any(":" in address for address in link.addresses))
        ]
        of_table = [link.name for link in links if any(each.table == route.table for each in link.routes)]
        home = next((name for name in (last, *of_table, *speakers, *(link.name for link in links)) if name), None)
        if home is not None:
            found.setdefault(home, []).append(route)
    return found
