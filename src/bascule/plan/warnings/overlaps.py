"""Declared subnets against what else a host is connected to: would it look for their members on another link? Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import partial
from ipaddress import ip_interface, ip_network

from msgspec import Struct
from msgspec.structs import replace

from bascule.errors import Place, Problem
from bascule.model.links import Bridge
from bascule.model.site import Host, Network, Site
from bascule.model.state import Address, HostState, Link, Route
from bascule.model.values import IfName, IpAddress, IpNetwork, bridge_name, grouped
from bascule.plan.change import Note
from bascule.topology.host_routes import HostRoutes, RouteChoice, address_of
from bascule.topology.virtual_networks import existing_bridge, host_address


class MisroutedSubnet(Struct, frozen=True, kw_only=True):
    """A declared subnet of which the host would look for a member on a link that the file does not give it to."""

    link: IfName
    label: str
    subnet: IpNetwork
    member: str
    way: RouteChoice
    place: Place
    is_new: bool
    selector: str = ""  # the packets of which it is true, where it is not of all

    @property
    def words(self) -> str:
        """What would happen, in a sentence."""
        does = f"looks for {self.member} on {' and '.join(self.way.devs)}"
        does += f" with packets of '{self.selector}'" if self.selector else ""
        if self.way.kind == "local":
            does = f"takes {self.member} for an address of its own"
        elif self.way.kind in {"broadcast", "multicast"}:
            does = f"takes {self.member} for a {self.way.kind} address"
        return f"{self.label} has {self.subnet}, but this host {does}: {self.way}"


GATEWAY = "the gateway"
HINT = "take another subnet, or remove the other route to it; a route that is intended belongs into the file"


def overlaps(
    site: Site, host: Host, observed: HostState, wanted: HostState, *, by_libvirt: bool
) -> tuple[MisroutedSubnet, ...]:
    """Every declared subnet whose members the wanted state would not reach over the link that has it."""
    state, labels = _with_networks(host, observed, wanted) if by_libvirt else (wanted, {})
    names = {*(link.name for link in host.links()), *map(bridge_name, host.virtual_networks), *labels}
    moved = {
        address.ip
        for name, link in observed.links.items()
        for address in link.addresses
        if not _stays(wanted, name, address)
    }
    stood = {(name, ip_interface(a.ip).network) for name, link in observed.links.items() for a in link.addresses}
    known = partial(_is_known, host, names)
    routes = HostRoutes(state)
    unknown, every = routes.unknown(known), _Members(site, host, state, names)
    own = {address_of(a.ip) for link in state.links.values() for a in link.addresses}
    found: dict[tuple[IpNetwork, frozenset[str], str], MisroutedSubnet] = {}
    for name in sorted(names & state.links.keys()):
        for address in state.links[IfName(name)].addresses:
            subnet = ip_interface(address.ip).network
            if address.is_link_local or subnet.prefixlen == subnet.max_prefixlen:
                continue
            members = [*every.of(IfName(name), subnet)]
            rivals = tuple(routes.rivals(subnet, unknown))
            parts = [part for part in rivals if part.prefixlen > subnet.prefixlen]
            members += [(part[at], "") for part in parts for at in ((1, -2) if part.num_addresses > 2 else (0,))]
            for member, words in members:
                is_asked = words not in {"", GATEWAY} if member in own else bool(rivals)
                for way, selector in _ways(routes, member, address_of(address.ip)) if is_asked else ():
                    if all(_leads_there(route, name) or known(route) for route in way.routes):
                        continue
                    key = (subnet, frozenset(way.devs), selector)
                    found.setdefault(key, MisroutedSubnet(
                        link=IfName(name), label=labels.get(name, "") or _label(host, name), subnet=subnet,
                        member=f"{words} {member}".strip(), way=way, place=_place(host, name),
                        is_new=address.ip not in moved and (name, subnet) not in stood, selector=selector,
                    ))  # fmt: skip
    return tuple(found.values())


def _stays(wanted: HostState, name: str, address: Address) -> bool:
    link = wanted.links.get(IfName(name))
    return link is not None and any(one.ip == address.ip for one in link.addresses)


def _ways(routes: HostRoutes, member: IpAddress, source: IpAddress) -> Iterator[tuple[RouteChoice, str]]:
    """Where the host sends to a member, all or some packets."""
    if (way := routes.way_to(member)) is not None:
        yield way, ""
    yield from routes.ways_by_rule(member, source)


def _leads_there(route: Route, name: str) -> bool:
    return route.dev == name and route.kind == "unicast"


def problems_of(found: tuple[MisroutedSubnet, ...]) -> tuple[Problem, ...]:
    """What a plan refuses: what it would bring about itself."""
    return tuple(
        Problem(code="SUBNET-TAKEN", message=one.words, place=one.place if one.place.line else None, hint=HINT)
        for one in found
        if one.is_new and not one.selector
    )


def notes_of(found: tuple[MisroutedSubnet, ...]) -> tuple[Note, ...]:
    """What is so already, and stays; and what is so of some packets only, which somebody may have meant."""
    return tuple(
        Note(kind="warning", subject=one.link, text=one.words) for one in found if not one.is_new or one.selector
    )


def _with_networks(host: Host, observed: HostState, wanted: HostState) -> tuple[HostState, Mapping[str, str]]:
    """The state with the bridges of the virtual networks that libvirt is to make; and what they are called."""
    links, labels = dict(wanted.links), dict[str, str]()
    for network in host.virtual_networks.values():
        bridge = existing_bridge(network, observed)
        name = bridge.name if bridge is not None else bridge_name(network.name)
        labels[name] = f"virtual network '{network.name}'"
        if bridge is None:
            addresses = tuple(Address(ip=str(host_address(subnet))) for subnet in network.subnets)
            links[name] = Link(name=name, options=Bridge(), up=True, addresses=addresses)
    return replace(wanted, links=links), labels


class _Members:
    """Who is known to be in the subnets behind the host's links."""

    def __init__(self, site: Site, host: Host, state: HostState, names: set[str]) -> None:
        self.site, self.host = site, host
        self.gateways = grouped((route.dev, address_of(route.gateway)) for route in state.routes if route.gateway)
        self.nics = grouped((nic.master, nic) for nic in site.guest_nics(host.name))
        self.links = grouped(
            (ip_interface(address.ip).network, name)
            for name in names & state.links.keys()
            for address in state.links[IfName(name)].addresses
        )
        self.lengths = {(subnet.version, subnet.prefixlen) for subnet in self.links}

    def of(self, link: IfName, subnet: IpNetwork) -> Iterator[tuple[IpAddress, str]]:
        """Those who are behind a link, and somebody whom nobody knows."""
        yield from ((gateway, GATEWAY) for gateway in self.gateways.get(link, ()) if gateway in subnet)
        network = self._network(link)
        if network is not None:
            yield from ((gateway, GATEWAY) for gateway in network.gateways if gateway in subnet)
        for nic in self.nics.get(link, ()):
            yield from ((one.ip, nic.guest) for one in nic.addresses if one.ip in subnet)
        for neighbour in (subnet[1], subnet[subnet.num_addresses // 2], subnet[-2]):
            if not self._is_behind_another(neighbour, subnet, link):
                yield neighbour, ""

    def _network(self, link: IfName) -> Network | None:
        if link in self.host.bridges:
            return self.site.network_of_link(self.host, link)
        said = self.host.link(link)
        return self.site.networks.get(said.network or "") if said is not None else None

    def _is_behind_another(self, neighbour: IpAddress, subnet: IpNetwork, link: str) -> bool:
        lengths = (length for version, length in self.lengths if version == subnet.version)
        others = (ip_network((neighbour, length), strict=False) for length in lengths)
        return any(other != subnet and any(name != link for name in self.links.get(other, ())) for other in others)


def _is_known(host: Host, names: set[str], route: Route) -> bool:
    """Whether the file knows of a route: of what it says itself, `check` has told."""
    if route.is_ours or (route.dev in names and (route.protocol == "kernel" or host.as_found)):
        return True
    if any(str(one.to) == route.dst for one in host.routes):
        return True
    said = host.link(route.dev) if route.dev in names else None
    return said is not None and any(
        (str(one.to), str(one.via or "")) == (route.dst, route.gateway) for one in host.effective(said).routes
    )


def _label(host: Host, name: str) -> str:
    for network in host.virtual_networks:
        if bridge_name(network) == name:
            return f"virtual network '{network}'"
    return name


def _place(host: Host, name: str) -> Place:
    named = {bridge_name(network): one.place for network, one in host.virtual_networks.items()}
    named |= {link.name: link.place for link in host.links()}
    return named.get(IfName(name), host.place)
