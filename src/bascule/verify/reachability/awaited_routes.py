"""Which routes of a host the file leaves to a DHCP server, to routers, or to what the host has already. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from bascule.model.host_links import LISTENING, HostLink
from bascule.model.site import Host, Network, Site
from bascule.model.state import HostState
from bascule.topology.trace.routing import AwaitedRoutes


def awaited_routes(state: HostState, site: Site, host: Host) -> tuple[AwaitedRoutes, ...]:
    """Of each link that will have an address which is not in ``state``, of each version."""
    return tuple(_awaited(state, site, host))


def _awaited(state: HostState, site: Site, host: Host) -> Iterator[AwaitedRoutes]:
    for link in host.speakers():
        network = site.network_of_link(host, link.name)
        there = state.links.get(link.name)
        known = [one.ip for one in there.addresses if not one.is_link_local] if there is not None else []
        for version in (4, 6):
            if any((":" in one) == (version == 6) for one in known):
                continue
            if _comes_from_others(host.effective(link), version, network) or _is_found(host, link):
                yield AwaitedRoutes(link=link.name, version=version, subnets=_subnets(network, version))


def _comes_from_others(link: HostLink, version: int, network: Network | None) -> bool:
    """Whether an address of this version comes from a server or a router, as far as the file tells."""
    if version == 4:
        return link.dhcp
    is_left = link.ipv6 is None and bool(
        _subnets(network, 6)
    )  # as it is: a kernel listens to routers unless told not to
    return link.ipv6 in LISTENING or is_left


def _is_found(host: Host, link: HostLink) -> bool:
    """Whether a bridge takes over the addresses of a NIC of which the file has none: those that are there."""
    taken = host.handed(link)
    return taken is not None and not taken.has_address


def _subnets(network: Network | None, version: int) -> tuple[tuple[int, int, int], ...]:
    own = network.subnets if network is not None else ()
    return tuple(
        (int(one.network_address), int(one.broadcast_address), one.prefixlen) for one in own if one.version == version
    )
