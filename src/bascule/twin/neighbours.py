"""Who asks from a network on which the file has no machine: a neighbour of the twin's own (pure)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from ipaddress import ip_address, ip_interface

from msgspec.structs import replace

from bascule.model.site import Machine, MachineNic, Network, Site
from bascule.model.state import HostState
from bascule.model.values import IpAddress, IpInterface, Mac
from bascule.topology.endpoints import declared_endpoint

TRIED_AT_MOST = 4096  # addresses of a subnet, from its end


def with_neighbours(site: Site, observed: Iterable[HostState] = ()) -> Site:
    """The site with a machine on each network of guests that has none, so that each guest is asked from its wire.

    It serves and routes nothing and takes an address that nobody has, in the file or on the observed hosts; where
    there is none to take, nobody is added.
    """
    met = {nic.network for machine in site.machines.values() for nic in machine.nics}
    guests = {site.segment_of(nic) for guest in site.guests.values() for nic in guest.nics}
    taken = {*_declared(site), *_seen(observed)}
    added: dict[str, Machine] = {}
    for name in (one for one in site.networks if one in guests - met):
        addresses = tuple(_addresses(site.networks[name], taken))
        if addresses:
            known = {*site.networks, *site.hosts, *site.guests, *site.machines, *added}
            own = next(one for one in _names(name) if one not in known)
            added[own] = Machine(name=own, nics=(MachineNic(network=name, addresses=addresses),))
    return replace(site, machines={**site.machines, **added})


def with_macs(site: Site, macs: Mapping[IpAddress, Mac]) -> Site:
    """The site whose machines have the MACs that a host knows for their addresses, where the file says none.

    One that answers for several machines, as with proxy ARP, is nobody's; and one of the file is taken.
    """
    fixed = {nic.mac for guest in site.guests.values() for nic in guest.nics}
    fixed |= {nic.mac for machine in site.machines.values() for nic in machine.nics if nic.mac is not None}
    fixed |= {nic.mac for host in site.hosts.values() for nic in host.nics.values() if nic.mac is not None}
    open_nics = [(name, nic) for name, machine in site.machines.items() for nic in machine.nics if nic.mac is None]
    heard = {(name, nic): {macs[one.ip] for one in nic.addresses if one.ip in macs} for name, nic in open_nics}
    counts = Counter(mac for found in heard.values() for mac in found)
    own = {
        key: mac
        for key, found in heard.items()
        if len(found) == 1
        for mac in found
        if counts[mac] == 1 and mac not in fixed
    }
    return replace(site, machines={
        name: replace(machine, nics=tuple(replace(nic, mac=own.get((name, nic), nic.mac)) for nic in machine.nics))
        for name, machine in site.machines.items()
    })  # fmt: skip


def _names(network: str) -> Iterator[str]:
    turn = 1
    while True:
        yield f"neighbour-on-{network}" + (f"-{turn}" if turn > 1 else "")
        turn += 1


def _declared(site: Site) -> Iterator[IpAddress]:
    for name in (*site.guests, *site.machines, *site.hosts):
        endpoint = declared_endpoint(site, name)
        for nic in endpoint.nics if endpoint is not None else ():
            yield from (address.ip for address in nic.addresses)
            yield from nic.gateways
            yield from (route.via for route in nic.routes if route.via is not None)
    for network in site.networks.values():
        yield from network.gateways


def _seen(observed: Iterable[HostState]) -> Iterator[IpAddress]:
    for state in observed:
        yield from (ip_interface(one.ip).ip for link in state.links.values() for one in link.addresses)
        yield from (ip_address(route.gateway) for route in state.routes if route.gateway)


def _addresses(network: Network, taken: set[IpAddress]) -> Iterator[IpInterface]:
    """One of each subnet, the last that is free."""
    for subnet in network.subnets:
        for offset in range(2, min(subnet.num_addresses - 1, TRIED_AT_MOST) + 1):  # without the first and the last
            if subnet[-offset] not in taken:
                yield ip_interface(f"{subnet[-offset]}/{subnet.prefixlen}")
                break
