"""How the host's own addresses and routes change their link: to a bridge, and back when the bridge goes."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from msgspec.structs import replace

from bascule.model.links import Tap
from bascule.model.state import HostState, Link, Route
from bascule.model.values import IfName

SLAAC = ("accept_ra", "autoconf", "use_tempaddr")  # how a link deals with router advertisements (ip-sysctl.rst)


def slaac_keys(link: str) -> tuple[str, ...]:
    """The kernel parameters that go with an address that moves."""
    return tuple(f"net/ipv6/conf/{link}/{key}" for key in SLAAC)


def moved_routes(routes: Sequence[Route], old: IfName, new: IfName) -> list[Route]:
    """The routes of one link over another; a multipath route names its links in its hops."""
    return one_router([_moved(route, old, new) for route in routes], new)


def _moved(route: Route, old: IfName, new: IfName) -> Route:
    if route.dev == old and route.protocol == "ra":
        return stand_in(route, new)
    hops = tuple(" ".join(new if word == old else word for word in hop.split()) for hop in route.nexthops)
    return replace(route, dev=new if route.dev == old else route.dev, nexthops=hops)


def stand_in(route: Route, dev: str) -> Route:
    """An advertised route as it can be set by hand, until the kernel hears the router and writes its own.

    It needs a metric of its own: where one that was set by hand is in the place of the kernel's, the kernel fails to
    add its route and then ignores the whole advertisement, prefixes included (measured with Linux 6.18).
    """
    return replace(route, dev=dev, metric=route.metric + 1)


def one_router(routes: Sequence[Route], dev: str) -> list[Route]:
    """Of several routers' advertised routes on a link one is enough; the others come with their next advertisement.

    Set by hand they would become one multipath route, which the kernel makes of no advertisement.
    """
    best: dict[tuple[str, str], Route] = {}
    for route in sorted(routes, key=lambda r: r.metric):
        if route.protocol == "ra" and route.dev == dev:
            best.setdefault((route.dst, route.table), route)
    return [r for r in routes if r.protocol != "ra" or r.dev != dev or best[r.dst, r.table] == r]


def address_successor(bridge: Link, observed: HostState, added: Collection[str]) -> Link | None:
    """The NIC that a bridge's addresses go back to when the bridge goes: the port whose MAC it wears.

    None when the bridge has no addresses but those that Bascule itself put there (``added``).
    """
    if not any(a.ip not in added and not a.is_link_local for a in bridge.addresses):
        return None
    ports = [port for port in observed.ports(bridge.name) if not isinstance(port.options, Tap)]
    return next((port for port in ports if port.mac == bridge.mac), None)


def inherit(nic: Link, bridge: Link, added: Collection[str]) -> Link:
    """The NIC with the bridge's addresses, as it was before they moved."""
    have = {address.ip for address in nic.addresses}
    # the link-local one as well: the kernel makes it only when the NIC comes up, and here it stays up
    back = tuple(a for a in bridge.addresses if a.ip not in added and a.ip not in have)
    return replace(
        nic, addresses=nic.addresses + back, addrgenmode=bridge.addrgenmode, master=None, port=None, vlans=()
    )
