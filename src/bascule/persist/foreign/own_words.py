"""What the host's own files said of its links, and neither the site file nor the kernel knows. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence

from msgspec.structs import replace

from bascule.model.dhcp.offers import NOTHING
from bascule.model.host_links import LISTENING, Ipv6
from bascule.model.state import HostState, Link, Route
from bascule.model.values import IfName
from bascule.persist.config import LinkConfig, NetworkConfig, StaticRoute
from bascule.persist.parsed import Hardware
from bascule.persist.running import is_own, link_config, routes_by_link, table_of


def with_own_words(config: NetworkConfig, before: NetworkConfig, state: HostState, hardware: Hardware) -> NetworkConfig:
    """The same configuration with them, where nobody says otherwise.

    Name servers, the rank and privacy of addresses that the host asks for, and what of a lease it does not use: a
    bridge takes over those of the links below it, as it does with their traffic. Of a NIC itself what ties its name to
    its hardware, if it is that one; of any link its MTU and its MAC, where it has those in ``state``, which the change
    leads to, and what wakes the machine by it.
    """
    links, ports = [], config.ports()
    for link in with_what_stays(config, before, state).links.values():
        kept = _with_hardware(link, before.links.get(link.name), state, hardware)
        known = _known(link, ports, before)
        links.append(_with_dns_and_rank(kept, known) if _is_addressed(kept) else kept)
    links = [_with_mtu_of_ports(link, links, state) for link in links]
    return config.with_links(links)


def with_what_stays(config: NetworkConfig, before: NetworkConfig, state: HostState) -> NetworkConfig:
    """The same with addresses and routes that the change leaves on a link, though the site file does not say them.

    They stay where a file gave them: so they are there after the next start as they are now.
    """
    ports, written = config.ports(), routes_by_link(state)
    taken = {route.slot for link in config.links.values() for route in link.routes}
    links = []
    for link in config.links.values():
        now, known = state.links.get(link.name), _known(link, ports, before)
        if now is None or link.master is not None or not known:
            links.append(link)
            continue
        kept = _with_kept_addresses(link, known, now, before.links.get(link.name))
        ways = _kept_routes(link, known, written.get(link.name, ()), taken)
        links.append(replace(kept, routes=(*kept.routes, *ways)))
    return config.with_links(links)


def _known(link: LinkConfig, ports: Mapping[IfName, Sequence[IfName]], before: NetworkConfig) -> list[LinkConfig]:
    """What was said of a link and of those below it."""
    below = [name for port in ports.get(link.name, ()) for name in (port, *ports.get(port, ()))]
    return [before.links[name] for name in (link.name, *below) if name in before.links]


def with_emptied_links(
    config: NetworkConfig, earlier: NetworkConfig, own: NetworkConfig, state: HostState
) -> NetworkConfig:
    """The same with links that have left the site file and whose ``own`` files would set addresses of another link.

    Such an address came from there and stays where it is: ``earlier`` files of ours go on speaking for the link.
    """
    written = routes_by_link(state)
    links = []
    for name in sorted(earlier.links.keys() & own.links.keys() - config.links.keys()):
        link, elsewhere = state.links.get(name), {ip for one in config.links.values() for ip in one.addresses}
        if link is not None and elsewhere.intersection(own.links[name].addresses):
            links.append(link_config(link, state, written))
    return config.with_links((*config.links.values(), *links)) if links else config


def with_earlier_modes(config: NetworkConfig, earlier: NetworkConfig, silent: Collection[IfName]) -> NetworkConfig:
    """The same with the IPv6 modes that our files have, of links of which the site file is ``silent``.

    What the kernel shows of a link is by then what the manager makes of our files, and each makes something else of it.
    """
    links = []
    for link in config.links.values():
        before = earlier.links.get(link.name) if link.name in silent else None
        same = before is not None and before.master is None and _is_addressed(before) == _is_addressed(link)
        links.append(replace(link, ipv6=before.ipv6) if before is not None and same and link.master is None else link)
    return config.with_links(links)


def _is_addressed(link: LinkConfig) -> bool:
    return bool(link.addresses) or link.dhcp4


def with_words_of_udev(config: NetworkConfig, udev: NetworkConfig) -> NetworkConfig:
    """The configuration as it comes out where .link files of others stay: they say what it leaves open of a NIC."""
    links = []
    for link in config.links.values():
        said = udev.links.get(link.name)
        if said is None or link.options.kind:
            links.append(link)
            continue
        is_open = link.pin_mac is None and link.pin_path is None
        links.append(
            replace(
                link,
                pin_mac=said.pin_mac if is_open else link.pin_mac,
                pin_path=said.pin_path if is_open else link.pin_path,
                mtu=said.mtu if link.mtu is None else link.mtu,
                wol=said.wol if link.wol is None else link.wol,
            )
        )
    return config.with_links(links)


def _with_hardware(link: LinkConfig, before: LinkConfig | None, state: HostState, hardware: Hardware) -> LinkConfig:
    if before is None:
        return link
    now = state.links.get(link.name)
    found = {
        "mac": before.mac if link.mac is None and now is not None and now.mac == before.mac else link.mac,
        "mtu": before.mtu if link.mtu is None and now is not None and now.mtu == before.mtu else link.mtu,
        "wol": before.wol if link.wol is None else link.wol,
    }
    if link.options.kind or link.pin_mac is not None or link.pin_path is not None:
        return replace(link, **found)
    is_that = before.pin_mac is not None and before.pin_mac == hardware.get(link.name)
    return replace(link, **found, pin_mac=before.pin_mac if is_that else None, pin_path=before.pin_path)


def _with_mtu_of_ports(link: LinkConfig, links: Sequence[LinkConfig], state: HostState) -> LinkConfig:
    """A bridge with the MTU of a port whose file says it: ifupdown2 gives 1500 to one of which nothing is said."""
    now = state.links.get(link.name)
    if now is None or not link.is_bridge or link.mtu is not None:
        return link
    if now.mtu not in {one.mtu for one in links if one.master == link.name}:
        return link
    return replace(link, mtu=now.mtu)


def _with_kept_addresses(
    link: LinkConfig, known: Sequence[LinkConfig], now: Link, own: LinkConfig | None
) -> LinkConfig:
    """With the addresses and the lease that it goes on having, in the kernel's order: the first one is the source.

    A link that has just those of its own file keeps the file's order: what differs from it its manager does at each
    reload (seen with systemd-networkd 252).
    """
    said = {ip for one in known for ip in one.addresses}
    there = [address.ip for address in now.addresses if is_own(address)]
    leased = any(address.is_leased for address in now.addresses)
    asks = leased and not link.addresses and any(one.dhcp4 for one in known)  # an address in the file takes its place
    more = said.intersection(there) - {*link.addresses}
    if not more and (link.dhcp4 or not asks):
        return link
    listened = link.ipv6 is Ipv6.MANUAL and not link.addresses and any(one.ipv6 is Ipv6.AUTO for one in known)
    both = more.union(link.addresses)
    if own is not None and both == {*own.addresses}:
        there = [*own.addresses]
    ordered = (*(ip for ip in there if ip in both), *(ip for ip in link.addresses if ip not in there))
    return replace(link, addresses=ordered, dhcp4=link.dhcp4 or asks, ipv6=Ipv6.AUTO if listened else link.ipv6)


def _kept_routes(
    link: LinkConfig, known: Sequence[LinkConfig], now: Sequence[Route], taken: set[tuple[str, int, int]]
) -> Iterator[StaticRoute]:
    """The routes of its files that are on the link and in nobody's place."""
    there = {(route.dst, route.gateway, table_of(route)) for route in now}
    there -= {(route.dst, route.gateway, route.table) for route in link.routes}  # with the metric that a manager chose
    for route in (route for one in known for route in one.routes):
        if (route.dst, route.gateway, route.table) in there and route.slot not in taken:
            taken.add(route.slot)
            yield route


def _with_dns_and_rank(link: LinkConfig, known: Sequence[LinkConfig]) -> LinkConfig:
    dns = link.dns or next((one.dns for one in known if one.dns), ())
    v4, v6 = link.split()
    speaks = {False: bool(v4 or link.dhcp4), True: bool(v6) or link.ipv6 in LISTENING}
    privacy = next((one.ipv6_privacy for one in known if one.ipv6_privacy is not None), None)
    unused = next((one.unused for one in known if one.unused), NOTHING)
    metric = next((one.metric for one in known if one.dhcp4 and one.metric is not None), None)
    return replace(
        link,
        dns=tuple(server for server in dns if server in link.dns or speaks[":" in server]),
        search=link.search or next((one.search for one in known if one.search), ()),
        unused=link.unused or unused,
        metric=metric if link.metric is None and link.dhcp4 else link.metric,
        ipv6_privacy=privacy if link.ipv6_privacy is None and link.ipv6 in LISTENING else link.ipv6_privacy,
    )
