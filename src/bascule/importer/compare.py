"""The kernel's configuration and that of the files: where they disagree, and what both say together."""

from __future__ import annotations

from collections.abc import Container, Iterator
from ipaddress import ip_address, ip_interface

from msgspec.structs import replace

from bascule.importer.words import route_words
from bascule.model.dhcp.offers import Offer
from bascule.model.host_links import LISTENING, Ipv6, PolicyRule
from bascule.model.links import BridgePort
from bascule.model.state import DEFAULT_DST, HostState, Route
from bascule.model.values import IfName, IpNetwork
from bascule.persist.compare import differences
from bascule.persist.config import LinkConfig, NetworkConfig, StaticRoute
from bascule.persist.formats.host_routes import host_route_words
from bascule.persist.formats.rules import rule_words


def conflicts(kernel: NetworkConfig, files: NetworkConfig, there: Container[str]) -> Iterator[str]:
    """Where the files, which decide at the next boot, say something else than the kernel has.

    ``there`` are all links of the kernel, those as well that a site file says nothing of.
    """
    for name in sorted({*kernel.links, *files.links}):
        have, say = kernel.links.get(name), files.links.get(name)
        if say is None:
            if have is not None and (have.options.kind or have.addresses):
                yield f"{name}: the kernel has it, no file configures it: it is gone after a reboot"
        elif have is None:
            if say.onboot and name not in there:
                yield f"{name}: configured in the files, but the kernel does not have it"
        else:
            is_below = say.master is not None or any(link.parent == name for link in files.links.values())
            if have.onboot and not say.onboot and not is_below:  # what is above a link brings it up
                yield f"{name}: is up, but its files do not bring it up at boot"
            known = replace(have, client_id=say.client_id)  # of which the kernel knows nothing
            yield from differences(name, known, say, "in the kernel", "in the files")
    yield from _rule_conflicts(kernel, files)


def _rule_conflicts(kernel: NetworkConfig, files: NetworkConfig) -> Iterator[str]:
    for rule in files.rules:
        if rule not in kernel.rules:
            yield f"{rule_subject(rule)}: in the files, but the kernel does not have it"
    for route in files.routes:
        if route not in kernel.routes:
            yield f"route {host_route_words(route)}: in the files, but the kernel does not have it"


def by_programs(kernel: NetworkConfig, files: NetworkConfig) -> Iterator[str]:
    """Rules, and routes on no single link, that no file says, where there are files: a program makes them again."""
    for rule in kernel.rules:
        if files.links and rule not in files.rules:
            yield f"{rule_subject(rule)}: no file says it; left to whoever made it"
    for route in kernel.routes:
        if files.links and route not in files.routes:
            yield f"route {host_route_words(route)}: no file says it; left to whoever made it"


def rule_subject(rule: PolicyRule) -> str:
    """A rule as the subject of a note."""
    return f"{'IPv6 ' if rule.ipv6 else ''}rule {rule_words(rule)}"


def without_leases(
    kernel: NetworkConfig, files: NetworkConfig, asking: Container[IfName], asking6: Container[IfName] = ()
) -> tuple[NetworkConfig, tuple[str, ...]]:
    """The kernel's configuration without what a DHCP client has put there, whatever it looks like, and what that is.

    dhclient writes its gateway as anybody would by hand, udhcpc its address as well: on a link that asks for a lease,
    nobody wrote them who did not write them into the files. ``asking`` are the links on which a client runs,
    ``asking6`` those on which one of IPv6 alone does: its addresses show their end, those of IPv4 are none of its.
    """
    links, told = [], []
    for name, seen in kernel.links.items():
        have = replace(seen, ipv6=Ipv6.DHCP) if name in asking6 and seen.ipv6 in LISTENING else seen
        say = files.links.get(name, LinkConfig(name=name))
        if not (have.dhcp4 or say.dhcp4 or name in asking):
            links.append(have)
            continue
        addresses = have.addresses
        if not have.dhcp4:  # its lease shows no end
            addresses = tuple(a for a in addresses if ":" in a or a in say.addresses)
        near = [ip_interface(address).network for address in addresses]
        written = {(route.dst, route.gateway) for route in say.routes}

        def stays(route: StaticRoute, near: list[IpNetwork] = near, written: set[tuple[str, str]] = written) -> bool:
            by_hand = route.is_ipv6 or not route.gateway or (route.dst, route.gateway) in written
            return by_hand or any(ip_address(route.gateway) in network for network in near)

        routes = tuple(filter(stays, have.routes))
        gone = [a for a in have.addresses if a not in addresses]
        gone += [route_words(route) for route in have.routes if route not in routes]
        told += [f"leased on {name}: {', '.join(gone)}"] if gone else []
        links.append(replace(have, dhcp4=True, addresses=addresses, routes=routes))
    return kernel.with_links(links), tuple(told)


def without_client(state: HostState, files: NetworkConfig, clientless: Container[IfName]) -> Iterator[str]:
    """Links that are said to have a lease because their address has an end, and for nothing else."""
    for name, link in state.links.items():
        if name in clientless and not (name in files.links and files.links[name].dhcp4):
            ends = ", ".join(a.ip for a in link.addresses if a.is_leased)
            yield (
                f"{name}: {ends} has a lifetime, and neither a DHCP client nor a file that asks for one is seen: "
                "'address: dhcp' is a guess; write the address in its place if it is no lease"
            )


def disagreements(
    kernel: NetworkConfig, files: NetworkConfig, state: HostState
) -> tuple[NetworkConfig, tuple[str, ...]]:
    """The files without what of them the kernel shows to be otherwise on leases, and all that they disagree on."""
    files, refused = _used_here(state, files)
    return files, (*conflicts(kernel, files, state.links), *refused)


def _used_here(state: HostState, files: NetworkConfig) -> tuple[NetworkConfig, tuple[str, ...]]:
    """The files without what they refuse of a lease and the kernel has all the same, and where that is so."""
    links, told = [], []
    for name, say in files.links.items():
        there = {
            (offer, 6 if route.is_ipv6 else 4): route
            for route in state.routes
            if route.dev == name and route.gateway and _is_leased(route, say)
            for offer in (Offer.GATEWAY if route.is_default else Offer.ROUTES,)
        }
        for key in sorted(say.unused & there.keys()):
            route = there[key]
            told.append(
                f"{name}: the route to {route.dst} via {route.gateway} is in the kernel, but the files refuse it"
            )
        links.append(replace(say, unused=say.unused - there.keys()))
    return files.with_links(links), tuple(told)


def _is_leased(route: Route, say: LinkConfig) -> bool:
    """Whether a lease or an advertisement brought a route; dhclient writes its gateway as anybody would by hand."""
    by_hand = route.protocol == "boot" and route.dst == DEFAULT_DST[4]
    written = {(each.dst, each.gateway) for each in say.routes}
    return route.protocol in {"dhcp", "ra"} or (by_hand and (route.dst, route.gateway) not in written)


def _ipv6(kernel: LinkConfig, files: LinkConfig) -> Ipv6:
    """The mode that the files say, unless the kernel shows that it is another one.

    A manager that listens to routers itself turns accept_ra off: then the kernel knows no difference.
    """
    if Ipv6.OFF in {kernel.ipv6, files.ipv6} or (kernel.ipv6 is Ipv6.AUTO and files.ipv6 is Ipv6.MANUAL):
        return kernel.ipv6
    return files.ipv6


def _port(kernel: LinkConfig, files: LinkConfig) -> BridgePort | None:
    """The kernel's, with the cost that the files say where the kernel's may follow from the speed."""
    if kernel.port is None and (files.port is None or kernel.master is None):
        return kernel.port
    port = kernel.port or BridgePort()
    return replace(port, cost=files.port.cost) if port.cost is None and files.port is not None else port


def together(kernel: NetworkConfig, files: NetworkConfig) -> NetworkConfig:
    """The kernel's facts, with what only files can say: DHCP, name servers, hardware pins."""
    links: list[LinkConfig] = []
    for name, have in kernel.links.items():
        say = files.links.get(name)
        if say is None:
            links.append(replace(have, mac=None) if have.is_bridge else have)
            continue
        links.append(
            replace(
                have,
                pin_mac=say.pin_mac,
                pin_path=say.pin_path,
                mac=say.mac if have.is_bridge else have.mac,  # a bridge has its uplink's, where nobody says another
                wol=say.wol,
                hooks=say.hooks,
                dhcp4=have.dhcp4 or say.dhcp4,
                client_id=say.client_id,
                metric=say.metric,
                unused=say.unused,
                ipv6=_ipv6(have, say),
                ipv6_privacy=say.ipv6_privacy if say.ipv6_privacy is not None else have.ipv6_privacy,
                dns=say.dns,
                search=say.search,
                port=_port(have, say),
            )
        )
    rules = [rule for rule in kernel.rules if rule in files.rules or not files.links]
    routes = [route for route in kernel.routes if route in files.routes or not files.links]
    return NetworkConfig.of(links, files.unmanaged, rules, routes)
