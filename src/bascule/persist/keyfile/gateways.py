"""The one gateway of a profile, and the rank that NetworkManager gives to default routes without a metric."""

from __future__ import annotations

from msgspec.structs import replace

from bascule.model.host_links import MAIN_TABLE
from bascule.model.state import DEFAULT_DST
from bascule.persist.config import NetworkConfig, StaticRoute
from bascule.persist.formats.builder import Builder
from bascule.persist.formats.ini import Item
from bascule.persist.formats.values import default_of

UNSAID = -1  # the metric of a route that has its profile's
NONE = {"0.0.0.0", "::", ""}
OF_KIND = {"": 100, "bond": 300, "vlan": 400, "bridge": 425, "dummy": 550}  # nm-device.c, route metric by type


def default_route(
    builder: Builder, path: str, family: str, own: str | None, near: list[tuple[str, Item]], *, never: int
) -> list[StaticRoute]:
    """``gateway`` counts, else the first one behind an address, and with never-default (of line ``never``) none."""
    chosen = own if own is not None and own not in NONE else near[0][0] if near else ""
    for gateway, item in near:
        if gateway != chosen:
            said = f"[{family}] {item.key}={item.value}"
            builder.left.add(path, item.line, said, f"a profile has one gateway, and {chosen} is that")
    if never and chosen:
        said = f"[{family}] never-default=true, gateway {chosen}"
        builder.left.add(path, never, said, "NetworkManager makes no default route of it")
    return [StaticRoute(dst=default_of(chosen), gateway=chosen, metric=UNSAID)] if chosen and not never else []


def ranked(config: NetworkConfig) -> tuple[NetworkConfig, tuple[str, ...]]:
    """Several default routes without a metric have NetworkManager's: the kind of link decides, then who came first."""
    links, told = dict(config.links), []
    for dst in DEFAULT_DST.values():
        there = [(name, route) for name, link in links.items() for route in link.routes if _is_open(route, dst)]
        taken: set[int] = set()
        for name, route in there if len(there) > 1 else ():
            metric = OF_KIND.get(links[name].options.kind, 100)
            while metric in taken:
                metric += 1
            taken.add(metric)
            routes = tuple(replace(each, metric=metric) if each == route else each for each in links[name].routes)
            links[name] = replace(links[name], routes=routes)
            told.append(f"{name}: gateway {route.gateway} has metric {metric}, as NetworkManager ranks several")
    return replace(config, links=links), tuple(told)


def _is_open(route: StaticRoute, dst: str) -> bool:
    return (route.dst, route.metric, route.table) == (dst, 0, MAIN_TABLE) and bool(route.gateway)
