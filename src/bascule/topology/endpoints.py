"""Who speaks: guests, machines and hosts, with each NIC's place, addresses and routers. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from enum import StrEnum
from ipaddress import ip_address, ip_interface, ip_network

from msgspec import Struct

from bascule.model.host_links import StaticRoute
from bascule.model.site import GuestNic, Host, Mode, Network, Site, virtual_segment
from bascule.model.site_place import NOWHERE
from bascule.model.state import HostState, Link
from bascule.model.values import (
    ETHERNET_MTU,
    NO_MAC,
    IfName,
    IpAddress,
    IpInterface,
    IpNetwork,
    Mac,
    bridge_name,
    derive_mac,
)
from bascule.topology.virtual_networks import existing_bridge, host_address


class EndpointKind(StrEnum):
    """What an endpoint is."""

    GUEST = "guest"
    MACHINE = "machine"
    HOST = "host"


class EndpointNic(Struct, frozen=True, kw_only=True):
    """A NIC of an endpoint. ``segment`` is the network's name, or a virtual one's; None where it is not known."""

    link: IfName
    mac: Mac = NO_MAC  # of a host's own NIC: its hardware says it
    mac_assumed: bool = False  # of a machine whose MAC the file does not say
    addresses: tuple[IpInterface, ...] = ()
    dhcp: bool = False
    leased: tuple[IpNetwork, ...] = ()  # where its address is, if a DHCP server that the file knows gives it
    network: Network | None = None
    segment: str | None = None
    gateways: tuple[IpAddress, ...] = ()
    routes: tuple[StaticRoute, ...] = ()
    plug: GuestNic | None = None  # of a guest
    mtu: int = ETHERNET_MTU

    @property
    def bridge(self) -> IfName | None:
        """Of a guest: the bridge of its host that its tap is a port of; None where it shares a NIC."""
        return self.plug.master if self.plug is not None else None

    def prefixes(self, version: int) -> tuple[IpNetwork, ...]:
        """The subnets whose addresses it takes for its neighbours."""
        own = [address.network for address in self.addresses if not address.is_link_local]
        return tuple(subnet for subnet in (*own, *self.leased) if subnet.version == version)

    def places(self) -> tuple[IpNetwork, ...]:
        """Its addresses, each as a prefix of full length; a lease is somewhere in its subnet."""
        own = (ip_network(address.ip) for address in self.addresses if not address.is_link_local)
        return (*own, *self.leased)


class Endpoint(Struct, frozen=True, kw_only=True):
    """A guest, a machine or a host with its NICs."""

    name: str
    kind: EndpointKind
    nics: tuple[EndpointNic, ...] = ()

    @property
    def routes(self) -> tuple[tuple[IfName, IpAddress], ...]:
        """Its default routes as (link, gateway), at most one per family.

        Of each family the first gateway that a NIC's own address can reach and that is not the endpoint itself.
        """
        return default_routes(self.nics)

    @property
    def plugs(self) -> tuple[tuple[GuestNic, IfName, EndpointNic], ...]:
        """The NICs of a guest that end at a bridge of its host, each with that bridge."""
        return tuple((x.plug, x.bridge, x) for x in self.nics if x.plug is not None and x.bridge is not None)


def default_routes(nics: Iterable[EndpointNic], *, leased: bool = False) -> tuple[tuple[IfName, IpAddress], ...]:
    """For each family the first gateway that a NIC's own address can reach and that is not the endpoint itself.

    With ``leased`` a gateway that a DHCP server gives counts as well, where no address that is written down has one.
    """
    nics = tuple(nics)
    own = {address.ip for nic in nics for address in nic.addresses}
    routes: dict[int, tuple[IfName, IpAddress]] = {}
    for is_lease in (False, True) if leased else (False,):
        for nic in nics:
            near = nic.leased if is_lease else [address.network for address in nic.addresses]
            for gateway in nic.gateways:
                if gateway not in own and any(gateway in subnet for subnet in near):
                    routes.setdefault(gateway.version, (nic.link, gateway))
    return tuple(routes.values())


def guest_endpoint(site: Site, guest: str, observed: HostState | None = None) -> Endpoint:
    """A guest; ``observed`` is its host's state, which tells the MTU where the file does not."""
    host = site.hosts[site.guests[guest].host]
    nics = []
    for nic in site.guests[guest].nics:
        network = site.network_of(nic)
        virtual = host.virtual_networks.get(nic.virtual_network) if nic.virtual_network else None
        gateways = network.gateways if network else ()
        if virtual is not None and virtual.mode is not Mode.ISOLATED:  # the host is its router
            gateways = tuple(host_address(subnet).ip for subnet in virtual.subnets)
        nics.append(
            EndpointNic(
                link=IfName(f"eth{nic.index}"),
                mac=nic.mac,
                addresses=nic.addresses,
                dhcp=nic.dhcp,
                leased=_leased(site, host, nic, network) if nic.dhcp else (),
                network=network,
                segment=network.name if network else site.segment_of(nic),
                gateways=gateways,
                plug=nic,
                mtu=_mtu(host, nic, observed),
            )
        )
    return Endpoint(name=guest, kind=EndpointKind.GUEST, nics=tuple(nics))


def machine_endpoint(site: Site, machine: str) -> Endpoint:
    """A machine on the building's networks."""
    nics = [
        EndpointNic(
            link=IfName(f"eth{index}"),
            mac=nic.mac or derive_mac(site.name, f"machine/{machine}", index),
            mac_assumed=nic.mac is None,
            addresses=nic.addresses,
            dhcp=nic.dhcp,
            mtu=nic.mtu or ETHERNET_MTU,
            leased=_served(site, nic.network) if nic.dhcp else (),
            network=site.networks[nic.network],
            segment=nic.network,
            gateways=site.networks[nic.network].gateways,
            routes=nic.routes,
        )
        for index, nic in enumerate(site.machines[machine].nics)
    ]
    return Endpoint(name=machine, kind=EndpointKind.MACHINE, nics=tuple(nics))


def host_endpoint(site: Site, host: Host, observed: HostState | None = None) -> Endpoint:
    """A host by its addressed NICs and bridges, and on its virtual networks; as it was observed, where it was.

    A bridge with ``address: from-uplink`` speaks for its NIC.
    """
    if observed is None:
        return Endpoint(name=host.name, kind=EndpointKind.HOST, nics=tuple(_host_nics(site, host)))
    bridges = ((name, existing_bridge(one, observed)) for name, one in host.virtual_networks.items())
    virtual = {link.name: virtual_segment(host.name, name) for name, link in bridges if link is not None}
    nics = []
    for link in observed.links.values():
        own = tuple(ip_interface(address.ip) for address in link.addresses if not address.is_link_local)
        if not own or link.name == "lo":
            continue
        network = None if link.name in virtual else site.network_of_link(host, link.name)
        through = [route for route in observed.routes if route.dev == link.name and route.gateway]
        nics.append(
            EndpointNic(
                link=link.name,
                addresses=own,
                network=network,
                segment=virtual.get(link.name, network.name if network else None),
                gateways=tuple(ip_address(route.gateway) for route in through if route.is_default),
                routes=tuple(
                    StaticRoute(to=ip_network(route.dst), via=ip_address(route.gateway), place=NOWHERE)
                    for route in through
                    if not route.is_default
                ),
            )
        )
    return Endpoint(name=host.name, kind=EndpointKind.HOST, nics=tuple(nics))


def declared_endpoint(site: Site, name: str) -> Endpoint | None:
    """A guest, a machine or a host by its name, as the file has it; None for anybody else."""
    if name in site.guests:
        return guest_endpoint(site, name)
    if name in site.machines:
        return machine_endpoint(site, name)
    return host_endpoint(site, site.hosts[name]) if name in site.hosts else None


def _host_nics(site: Site, host: Host) -> Iterator[EndpointNic]:
    several: dict[IfName, list[StaticRoute]] = {}
    for route in host.routes:
        for hop in host.ways(route) if route.table is None else ():
            several.setdefault(hop.link, []).append(StaticRoute(to=route.to, via=hop.router))
    for link in host.speakers():
        said, network = host.effective(link), site.network_of_link(host, link.name)
        name = network.name if network else None
        yield EndpointNic(
            link=link.name,
            addresses=said.addresses,
            dhcp=said.dhcp,
            leased=_served(site, name) if said.dhcp else (),
            network=network,
            segment=name,
            gateways=said.gateways or (_offered(site, name) if said.dhcp else ()),
            routes=(*(r for r in said.routes if r.via is not None and r.table is None), *several.get(link.name, ())),
        )
    for one in host.virtual_networks.values():
        if one.subnets:
            yield EndpointNic(
                link=bridge_name(one.name),
                addresses=tuple(host_address(subnet) for subnet in one.subnets),
                segment=virtual_segment(host.name, one.name),
            )


def _served(site: Site, network: str | None) -> tuple[IpNetwork, ...]:
    """The subnets of a network in which a machine gives addresses."""
    known = site.networks.get(network or "")
    servers = [machine.dhcp for machine in site.machines.values() if machine.dhcp and machine.dhcp.network == network]
    subnets = known.subnets if known is not None else ()
    return tuple(subnet for subnet in subnets if any(server.range.first in subnet for server in servers))


def _offered(site: Site, network: str | None) -> tuple[IpAddress, ...]:
    """The routers that a network's DHCP server names."""
    known = site.networks.get(network or "")
    return known.gateways if known is not None else ()


def _leased(site: Site, host: Host, nic: GuestNic, network: Network | None) -> tuple[IpNetwork, ...]:
    virtual = host.virtual_networks.get(nic.virtual_network) if nic.virtual_network else None
    if virtual is None:
        return _served(site, network.name if network else None)
    return tuple(subnet for subnet in virtual.subnets if virtual.dhcp and virtual.dhcp.first in subnet)


def _mtu(host: Host, nic: GuestNic, observed: HostState | None) -> int:
    """Of a guest's NIC: of the bridge, else of the narrowest link under it, as declared or as it was found."""
    seen = observed.links if observed is not None else {}
    if nic.shared_nic is not None:
        found = seen.get(nic.shared_nic)
        return host.nics[nic.shared_nic].mtu or (found.mtu if found is not None else ETHERNET_MTU)
    if nic.bridge is None:
        virtual = host.virtual_networks.get(nic.virtual_network) if nic.virtual_network else None
        return (virtual.mtu if virtual is not None else None) or ETHERNET_MTU
    bridge = host.bridges[nic.bridge]
    return bridge.mtu or min((_link_mtu(host, name, seen) for name in host.below(bridge)), default=ETHERNET_MTU)


def _link_mtu(host: Host, name: IfName, seen: Mapping[IfName, Link]) -> int:
    """A link's own, else what it was found with, else that of the first link that it is made of."""
    link = host.link(name)
    if link is not None and link.mtu:
        return link.mtu
    if name in seen:
        return seen[name].mtu
    below = host.below(link) if link is not None else ()
    return _link_mtu(host, below[0], seen) if below else ETHERNET_MTU
