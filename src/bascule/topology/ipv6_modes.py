"""How a link comes by its IPv6 addresses, by what the kernel shows; pure."""

from __future__ import annotations

from collections.abc import Iterable

from bascule.model.host_links import Ipv6
from bascule.model.kernel_parameters import conf
from bascule.model.state import HostState, Link, Route


def ipv6_mode(link: Link, state: HostState) -> Ipv6:
    """How a link comes by its IPv6 addresses, by what the kernel shows of it."""
    if makes_no_ipv6(link) or state.sysctls.get(conf(6, link.name, "disable_ipv6")) == "1":
        return Ipv6.OFF
    listens = state.sysctls.get(conf(6, link.name, "accept_ra"), "1") != "0"
    return Ipv6.AUTO if listens or hears_routers(link, state.routes) else Ipv6.MANUAL


def makes_no_ipv6(link: Link) -> bool:
    """Whether the link makes itself no IPv6 address. NetworkManager keeps the kernel from it and makes its own."""
    return link.addrgenmode == "none" and not any(address.is_link_local for address in link.addresses)


def hears_routers(link: Link, routes: Iterable[Route]) -> bool:
    """Whether the link has learnt from a router: networkd and NetworkManager listen in the kernel's place."""
    learnt = any(a.dynamic and a.is_ipv6 and not a.is_link_local for a in link.addresses)
    return learnt or any(route.dev == link.name and route.protocol == "ra" for route in routes)
