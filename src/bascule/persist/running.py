"""The kernel's state as a configuration."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from ipaddress import ip_address, ip_interface

from msgspec.structs import replace

from bascule.model.host_links import DEFAULT_TABLE, MAIN_TABLE, TEMPORARY, Ipv6Privacy
from bascule.model.kernel_parameters import conf
from bascule.model.links import Bond, Bridge, Physical, Vlan
from bascule.model.state import ROUTING_DAEMONS, Address, HostState, Link, PortVlans, Route, default_vlans
from bascule.model.values import IfName
from bascule.persist.config import LinkConfig, StaticRoute
from bascule.topology.ipv6_modes import ipv6_mode

MADE_ELSEWHERE = {"kernel", "ra", "dhcp", "redirect"} | ROUTING_DAEMONS


def _privacy(link: Link, state: HostState) -> Ipv6Privacy | None:
    """The use of temporary addresses, where it differs from what every link has."""
    mine, usual = (state.sysctls.get(conf(6, name, "use_tempaddr")) for name in (link.name, "default"))
    known = {str(value): word for word, value in TEMPORARY.items()}
    return known.get(mine) if mine is not None and mine != usual else None


def routes_by_link(state: HostState) -> Mapping[str, Sequence[Route]]:
    """The routes that somebody wrote down and that lead one way, by the link that they lead over."""
    found: dict[str, list[Route]] = {}
    for route in state.routes:
        if route.kind == "unicast" and route.dev and table_of(route) is not None and is_written(route, state):
            found.setdefault(route.dev, []).append(route)
    return found


def is_written(route: Route, state: HostState) -> bool:
    """Whether somebody wrote a route down.

    ifupdown2 says of its gateways that the kernel made them, NetworkManager of the ways to a link's own subnet.
    """
    if route.protocol != "kernel":
        return route.protocol not in MADE_ELSEWHERE
    return bool(route.gateway) and not any(address.dynamic for address in _addresses(route, state))


def not_expressed_route(route: Route, state: HostState) -> str:
    """A route that somebody wrote down, in words, where files say nothing of it, or less than there is."""
    if not is_written(route, state):
        return ""
    words = f"{route.kind} {route.dst}" if route.kind != "unicast" else route.dst
    if route.kind != "unicast" or route.nexthops or table_of(route) is None:
        return f"route {words}"
    return f"route {words}'s {' '.join(route.extra)}" if route.extra else ""


def table_of(route: Route) -> int | None:
    """The number of a route's table; None for a name that this host gives to one."""
    return (
        int(route.table) if route.table.isdigit() else {"main": MAIN_TABLE, "default": DEFAULT_TABLE}.get(route.table)
    )


def _addresses(route: Route, state: HostState) -> Sequence[Address]:
    """Those of the route's link from which its gateway is a neighbour."""
    link = state.links.get(IfName(route.dev))
    gateway = ip_address(route.gateway)
    return [a for a in link.addresses if gateway in ip_interface(a.ip).network] if link is not None else []


def is_own(address: Address) -> bool:
    """Whether it is for a host's files: no lease, none of the kernel's, and none that goes from machine to machine."""
    passing = address.dynamic or address.is_link_local or address.lifetime.kept_by
    return not passing and address.scope != "link"


def link_config(link: Link, state: HostState, written: Mapping[str, Sequence[Route]]) -> LinkConfig:
    """One link of a state as a configuration; ``written`` are the state's routes by link."""
    options = link.options if isinstance(link.options, Bridge | Bond | Vlan) else Physical()
    if isinstance(options, Bridge):  # no dialect says them; a rule of udev does for the first
        options = _kept(options)
    master = state.master_of(link)
    own = tuple(a for a in link.addresses if is_own(a))
    routes = tuple(
        StaticRoute(
            dst=route.dst,
            gateway=route.gateway,
            # 1024 is what the kernel writes where an IPv6 route names no metric (IP6_RT_PRIO_USER)
            metric=0 if route.is_ipv6 and route.metric == 1024 else route.metric,
            table=table_of(route) or MAIN_TABLE,
            prefsrc=route.prefsrc,
            onlink="onlink" in route.flags,
        )
        for route in written.get(link.name, ())
    )
    port = link.port if master is not None and master.is_bridge else None
    if port is not None and port.cost is not None:
        port = replace(port, cost=None)  # follows from the speed
    parent = state.parent_of(link)
    return LinkConfig(
        name=link.name,
        options=options,
        master=link.master if master is not None else None,
        parent=link.parent if isinstance(options, Vlan) else None,
        mac=link.mac if options.kind and (parent is None or link.mac != parent.mac) else None,
        mtu=link.mtu if link.mtu != 1500 else None,
        dhcp4=any(a.is_leased for a in link.addresses),
        ipv6=ipv6_mode(link, state),
        ipv6_privacy=_privacy(link, state),
        addresses=tuple(a.ip for a in own),
        routes=routes,
        port=port,
        vlans=_vlans(link, master),
        onboot=link.up,
    )


@lru_cache(maxsize=256)  # the bridges of a host are mostly set alike
def _kept(options: Bridge) -> Bridge:
    unkept = {"no_linklocal_learn", *options.unkept}
    return type(options)(**{name: value for name, value in options.as_json().items() if name not in unkept})


def _vlans(link: Link, master: Link | None) -> tuple[PortVlans, ...]:
    """A port's VLANs where they are not the bridge's default."""
    if master is None or not isinstance(master.options, Bridge) or not master.options.vlan_filtering:
        return ()
    return () if tuple(link.vlans) == default_vlans(master.options.vlan_default_pvid) else tuple(link.vlans)
