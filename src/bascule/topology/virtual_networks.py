"""Which bridge of a host carries a virtual network, and which addresses the host has there. Pure."""

from __future__ import annotations

from ipaddress import ip_interface

from bascule.model.site import VirtualNetwork
from bascule.model.state import HostState, Link
from bascule.model.values import IpInterface, IpNetwork, bridge_name


def host_address(subnet: IpNetwork) -> IpInterface:
    """The address that the host takes in a virtual network's subnet: its first, as libvirt's default network does."""
    first = subnet.network_address + 1 if subnet.num_addresses > 2 else subnet.network_address
    return ip_interface(f"{first}/{subnet.prefixlen}")


def existing_bridge(network: VirtualNetwork, observed: HostState) -> Link | None:
    """The bridge that carries a virtual network: Bascule's own, else one of others (libvirt names its own virbr0…).

    Another's is known by the host's address in the network's subnet, or by any address of that subnet.
    """
    if (own := observed.links.get(bridge_name(network.name))) is not None:
        return own
    found: list[tuple[int, Link]] = []
    for link in observed.links.values() if network.subnets else ():
        addresses = [ip_interface(address.ip) for address in link.addresses] if link.is_bridge else []
        if any(address in map(host_address, network.subnets) for address in addresses):
            found.append((0, link))
        elif any(address.ip in subnet for address in addresses for subnet in network.subnets):
            found.append((1, link))
    return min(found, key=lambda one: (one[0], one[1].name), default=(0, None))[1]
