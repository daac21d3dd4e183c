"""The MTU of a network is that of every link on it that names none."""

from __future__ import annotations

from collections.abc import Iterator

from msgspec.structs import replace

from bascule.model.host_links import Bridge
from bascule.model.site import Host, Network, Site
from bascule.model.values import ETHERNET_MTU, IfName


def with_network_mtus(site: Site) -> Site:
    """The same site, with the MTU of each link of a host where only the network names one."""
    if all(network.mtu is None for network in site.networks.values()):
        return site
    hosts = {}
    for name, host in site.hosts.items():
        given = {link.name: _mtu(site, host, link.name) for link in host.links() if link.mtu is None}
        hosts[name] = replace(
            host,
            nics={name: replace(link, mtu=given.get(name, link.mtu)) for name, link in host.nics.items()},
            bonds={name: replace(link, mtu=given.get(name, link.mtu)) for name, link in host.bonds.items()},
            vlans={name: replace(link, mtu=given.get(name, link.mtu)) for name, link in host.vlans.items()},
            bridges={name: replace(link, mtu=given.get(name, link.mtu)) for name, link in host.bridges.items()},
        )
    return replace(site, hosts=hosts)


def _mtu(site: Site, host: Host, name: IfName) -> int | None:
    """The largest MTU of the networks that a link carries; None where none is said, or an unsaid one may be larger."""
    said = {network.name: network.mtu for network in _carried(site, host, name)}
    largest = max((mtu or ETHERNET_MTU for mtu in said.values()), default=0)
    return largest if largest in said.values() else None


def _carried(site: Site, host: Host, name: IfName) -> Iterator[Network]:
    """The networks whose frames cross a link, by itself and by what lies above it."""
    own = site.network_of_link(host, name)
    if own is not None:
        yield own
    for bond in host.bonds.values():
        if name in bond.nics:
            yield from _carried(site, host, bond.name)
    for link in host.stacked():
        if name in host.below(link):
            yield from _carried(site, host, link.name)
    bridge = host.bridges.get(name)
    if isinstance(bridge, Bridge) and bridge.vlan_aware:
        for nic in site.guest_nics(host.name):
            ranges = nic.vlans if nic.bridge == name else ()
            vids = {nic.vlan} if nic.bridge == name else set()
            for network in site.networks.values():
                inside = network.vlan in vids or any(first <= (network.vlan or 0) <= last for first, last in ranges)
                if network.vlan is not None and inside:
                    yield network
