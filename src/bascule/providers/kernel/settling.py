"""How the state to go back to is fitted to what a second look shows, while links and ports come and go. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from ipaddress import IPv4Interface, IPv6Interface, ip_address, ip_interface

from msgspec.structs import replace

from bascule.model.kernel_parameters import conf
from bascule.model.state import HostState, Link, Route
from bascule.model.values import NO_MAC, IfName, Mac
from bascule.plan.address_migration import has_lost_its_net


def settle(goal: HostState, now: HostState, wanted: HostState) -> HostState:
    """The goal again, for a second look: links, addresses and routes that came meanwhile are left alone."""
    links = dict(goal.links)
    for name, link in now.links.items():
        if name not in links and name not in wanted.links:
            links[name] = link
    for name in [name for name, link in links.items() if name not in now.links and not link.is_makeable]:
        del links[name]
    for name, link in links.items():
        seen = now.links.get(name)
        if seen is not None and link.is_bridge and link.mac == NO_MAC:
            links[name] = link = replace(link, mac=seen.mac)  # noqa: PLW2901  # it had no port, and follows them
        if seen is not None and link.up and link.addrgenmode != "none":
            known = {address.ip for address in link.addresses}
            new = tuple(a for a in seen.addresses if a.is_link_local and a.ip not in known)
            links[name] = replace(link, addresses=link.addresses + new) if new else link
    slots = {slot(route) for route in goal.routes} | set(map(slot, wanted.routes))
    new_routes = tuple(
        r for r in now.routes if not in_place(r, slots) and (not r.dev or (r.dev in links and links[IfName(r.dev)].up))
    )
    routes = tuple(r for r in goal.routes if not r.dev or r.dev in links)
    return replace(goal, links=links, routes=routes + new_routes)


def with_bridges_left(goal: HostState, now: HostState) -> HostState:
    """The goal for the first pass: a bridge that is not ours keeps its MAC and MTU until its ports are back.

    Such a bridge may follow its ports in both, and then finds back by itself; to set them would pin them permanently.
    """
    links = dict(goal.links)
    for name, link in goal.links.items():
        seen = now.links.get(name)
        if seen is None or not link.is_bridge or link.is_ours or (link.mac, link.mtu) == (seen.mac, seen.mtu):
            continue
        if {p.name for p in goal.ports(name)} != {p.name for p in now.ports(name)}:
            links[name] = replace(link, mac=seen.mac, mtu=seen.mtu)
    return replace(goal, links=links)


def slot(route: Route) -> tuple[object, ...]:
    """What there is one route for."""
    return *route.slot, route.dev if route.is_ipv6 else ""


def in_place(route: Route, slots: Collection[tuple[object, ...]]) -> bool:
    """Whether a route has one of these places, or part of one.

    An IPv6 route that a manager sets again beside ours by another link makes one of both (fib6_add_rt2node in Linux).
    """
    several = route.is_ipv6 and bool(route.nexthops)
    return slot(route) in slots or (several and route.slot in {place[:-1] for place in slots})


def way_with(route: Route, metric: int | None) -> tuple[object, ...]:
    """Where a route leads and by what, with this metric."""
    return route.dst, route.table, route.gateway, route.dev, metric


def is_out_of_reach(
    route: Route, gone: Iterable[IPv4Interface | IPv6Interface], now: HostState, links: Mapping[IfName, Link]
) -> bool:
    """Whether only an address that goes makes a route's gateway a neighbour, or its destination.

    ``gone`` are those that no link has any more; one of the route's link goes as well where another link gets it.
    """
    if has_lost_its_net(route, now, links):
        return True
    if not route.gateway or "onlink" in route.flags:
        return False
    gateway = ip_address(route.gateway)
    has, left = (
        {ip_interface(a.ip).network for a in getattr(known.get(IfName(route.dev)), "addresses", ())}
        for known in (now.links, links)
    )
    near = has.union(one.network for one in gone)
    return any(gateway in net for net in near) and not any(gateway in net for net in left)


def is_another(made: Link, seen: Link) -> bool:
    """Whether somebody has made a link of another kind, or without our mark, under the name of one that has gone.

    A switch that somebody keeps is seen as a tap where he has ended: it has its MAC, and its number in the kernel.
    """
    if isinstance(seen.options, type(made.options)):
        return made.is_ours and not seen.is_ours and made.facts.index not in {0, seen.facts.index}
    return seen.mac is None or made.mac != seen.mac or made.facts.index not in {0, seen.facts.index}


def mac_left(old: Link, planned: Link | None) -> Mac | None:
    """The MAC that a change has given to a bridge that had none: it stays, for the kernel takes none back."""
    given = planned.mac if planned is not None and old.mac == NO_MAC else None
    return given if given != NO_MAC else None


def as_taken(link: Link, sysctls: Mapping[str, str]) -> Link:
    """A link without IPv6 addresses where IPv6 is off there: the kernel takes none."""
    off = sysctls.get(conf(6, link.name, "disable_ipv6")) == "1" and any(one.is_ipv6 for one in link.addresses)
    return replace(link, addresses=tuple(one for one in link.addresses if not one.is_ipv6)) if off else link
