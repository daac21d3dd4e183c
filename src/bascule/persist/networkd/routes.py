"""[Route] of systemd.network(5), written and read."""

from __future__ import annotations

from collections.abc import Iterable

from bascule.model.host_links import MAIN_TABLE, NOWHERE_TO, UNICAST, HostRoute, RouteHop
from bascule.persist.config import StaticRoute
from bascule.persist.formats.gaps import Gaps
from bascule.persist.formats.host_routes import hop_of, host_route
from bascule.persist.formats.ini import Section
from bascule.persist.formats.values import default_of, parse_bool, parse_ip, parse_number, parse_prefix, parse_table
from bascule.persist.networkd.words import TUNING

Items = list[tuple[str, str]]
Sections = list[tuple[str, Items]]
PLAIN = {"Destination", "Metric", "Table", "Scope", "Type"}


def route_items(route: StaticRoute) -> Items:
    """[Route] of a link's route."""
    out: Items = [("Destination", route.dst)]
    if route.gateway:
        out.append(("Gateway", route.gateway))
    if route.metric:
        out.append(("Metric", str(route.metric)))
    if route.table != MAIN_TABLE:
        out.append(("Table", str(route.table)))
    if route.prefsrc:
        out.append(("PreferredSource", route.prefsrc))
    if route.onlink:
        out.append(("GatewayOnLink", "yes"))
    return out


def host_routes(these: Iterable[HostRoute], gaps: Gaps) -> Sections:
    """One [Route] for each route on no single link."""
    out: Sections = []
    for route in these:
        items = [("Destination", str(route.to))]
        items += [("Type", route.type)] if route.type != UNICAST else []
        for hop in route.hops:
            items.append(("MultiPathRoute", f"{hop.router}@{hop.link} {hop.weight}"))
            if hop.onlink:
                gaps.add("the host", "onlink", hop.router, "of one router of several")
        items += [("Metric", str(route.metric))] if route.metric else []
        items += [("Table", str(route.table))] if route.table else []
        out.append(("Route", items))
    return out


def parse_route(section: Section) -> StaticRoute | HostRoute:
    """A route as it stands in its section. Raises ValueError for what a site file has no word for."""
    values = {item.key: item.value for item in section.items}
    kind = values.get("Type", UNICAST)
    several = "MultiPathRoute" in values
    is_host = kind in NOWHERE_TO or several
    known = {*PLAIN, "MultiPathRoute"} if is_host else {*PLAIN, "Gateway", "PreferredSource", "GatewayOnLink"}
    unknown = set(values) - {*known, *TUNING}
    if kind != UNICAST and (kind not in NOWHERE_TO or several):
        unknown |= {"Type"}
    if unknown:
        raise ValueError(f"'{min(unknown)}' of a route is not supported")
    metric, table = values.get("Metric", "0"), values.get("Table", "main")
    if is_host:
        if "Destination" not in values:
            raise ValueError("a route without destination")
        said = [item.value for item in section.items if item.key == "MultiPathRoute"]
        return host_route(values["Destination"], kind, _hops(said), metric=metric, table=table)
    gateway = parse_ip(values["Gateway"]) if "Gateway" in values else ""
    if not gateway and "Destination" not in values:
        raise ValueError("a route without destination")
    return StaticRoute(
        dst=parse_prefix(values.get("Destination") or default_of(gateway)),
        gateway=gateway,
        metric=parse_number(metric),
        table=parse_table(table),
        prefsrc=parse_ip(values["PreferredSource"]) if "PreferredSource" in values else "",
        onlink=parse_bool(values.get("GatewayOnLink", "no")),
    )


def _hops(said: list[str]) -> tuple[RouteHop, ...]:
    """``ADDRESS@NAME WEIGHT`` each; an empty one takes those before it back."""
    hops: list[RouteHop] = []
    for text in said:
        way, _, weight = text.strip().partition(" ")
        router, _, link = way.partition("@")
        hops = [*hops, hop_of(router, link, weight.strip() or "1")] if way else []
    if len(hops) == 1:
        raise ValueError("a 'MultiPathRoute' of one router is not supported")
    return tuple(hops)


def in_words(section: Section) -> str:
    """A section in one line."""
    return " ".join((f"[{section.name}]", *(f"{item.key}={item.value}" for item in section.items)))
