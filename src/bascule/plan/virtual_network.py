"""A virtual network in the kernel's terms: bridge, addresses, sysctls, dnsmasq's words.

Its rules are in :mod:`bascule.policy.network_rules`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence

from msgspec import Struct
from msgspec.structs import asdict

from bascule.errors import Problem, SiteFault
from bascule.model.domain import Reservation
from bascule.model.kernel_parameters import FORWARDING
from bascule.model.links import Bridge
from bascule.model.site import Forward, GuestNic, Host, Mode, PlugKind, Site, VirtualNetwork
from bascule.model.state import Address, Link
from bascule.model.values import ETHERNET_MTU, IfName, IpAddress, IpInterface, IpNetwork, Mac, bridge_name
from bascule.topology.virtual_networks import host_address


class PortForward(Forward, frozen=True, kw_only=True):
    """A port of the host that leads to a guest, whose address is known."""

    address: IpAddress


class ResolvedNetwork(Struct, frozen=True, kw_only=True):
    """A virtual network with everything resolved that the site file leaves to rule."""

    name: str
    mode: Mode
    bridge: IfName
    mac: Mac
    addresses: tuple[IpInterface, ...]  # the host's own, one in each subnet
    ranges: tuple[tuple[IpAddress, IpAddress], ...] = ()
    reservations: tuple[Reservation, ...] = ()
    forwards: tuple[PortForward, ...] = ()
    mtu: int | None = None

    @property
    def subnets(self) -> tuple[IpNetwork, ...]:
        """The subnets, in the order of the file."""
        return tuple(address.network for address in self.addresses)

    @property
    def names(self) -> tuple[tuple[str, IpAddress], ...]:
        """The DNS names of the guests, with their addresses."""
        return tuple((one.name, one.address) for one in self.reservations if one.name)


def bridge_mac(site: str, host: str, network: str) -> Mac:
    """The stable MAC of a virtual network's bridge, so that guests keep their gateway's over a restart."""
    digest = hashlib.sha256(f"{site}\0{host}\0{network}\0bridge".encode()).digest()
    return Mac("52:54:00:" + ":".join(f"{byte:02x}" for byte in digest[:3]))


def resolved_network(site: Site, host: Host, network: VirtualNetwork) -> ResolvedNetwork:
    """Resolve a virtual network. Raises SiteFault for forwards that lead nowhere."""
    problems: list[Problem] = []
    addresses = tuple(host_address(subnet) for subnet in network.subnets)
    nics = site.nics_on(host.name, network.name, PlugKind.NETWORK)
    reservations = _reservations(network, nics, {address.ip for address in addresses})
    by_mac = {one.mac: one.address for one in reservations}
    forwards = []
    for forward in network.forwards:
        address = next((by_mac[nic.mac] for nic in nics if nic.guest == forward.guest and nic.mac in by_mac), None)
        if address is None:
            problems.append(
                Problem(
                    code="FORWARD-NOWHERE",
                    message=f"port {forward.host_port} of {host.name} is forwarded to '{forward.guest}', "
                    f"which has no address in virtual network '{network.name}'",
                    place=forward.place,
                    hint=f"give {forward.guest} a NIC with `network: {network.name}` and an `address:` (dhcp will do)",
                )
            )
            continue
        forwards.append(PortForward(**asdict(forward), address=address))
    if problems:
        raise SiteFault(*problems)
    return ResolvedNetwork(
        name=network.name,
        mode=network.mode,
        bridge=bridge_name(network.name),
        mac=bridge_mac(site.name, host.name, network.name),
        addresses=addresses,
        ranges=((network.dhcp.first, network.dhcp.last),) if network.dhcp else (),
        reservations=tuple(reservations),
        forwards=tuple(forwards),
        mtu=network.mtu,
    )


def resolved_networks(site: Site, host: Host) -> tuple[ResolvedNetwork, ...]:
    """Every virtual network of a host. Raises SiteFault with all problems."""
    found: list[ResolvedNetwork] = []
    problems: list[Problem] = []
    for network in host.virtual_networks.values():
        try:
            found.append(resolved_network(site, host, network))
        except SiteFault as fault:
            problems += fault.problems
    if problems:
        raise SiteFault(*problems)
    return tuple(found)


def _reservations(network: VirtualNetwork, nics: Sequence[GuestNic], taken: set[IpAddress]) -> list[Reservation]:
    """A fixed address for each NIC: the declared one; for DHCP guests one of the range that follows from the MAC."""
    found = [
        Reservation(mac=nic.mac, address=address.ip, name=nic.guest)
        for nic in nics
        for address in nic.addresses
        if any(address.ip in subnet for subnet in network.subnets)
    ]
    busy = taken | {one.address for one in found}
    for nic in nics:
        if not nic.dhcp or network.dhcp is None:
            continue
        first = int(network.dhcp.first)
        size = int(network.dhcp.last) - first + 1
        start = int.from_bytes(hashlib.sha256(nic.mac.encode()).digest()[:8])
        kind = type(network.dhcp.first)
        address = next((a for step in range(size) if (a := kind(first + (start + step) % size)) not in busy), None)
        if address is not None:  # a range that is full stays without; the server then gives what is left
            busy.add(address)
            found.append(Reservation(mac=nic.mac, address=address, name=nic.guest))
    return found


def sysctls(one: ResolvedNetwork) -> Mapping[str, str]:
    """What the kernel must be told so that it routes for this network; paths below /proc/sys."""
    if one.mode is Mode.ISOLATED:
        return {}
    return {FORWARDING[subnet.version]: "1" for subnet in one.subnets}


def bridge_link(one: ResolvedNetwork, alias: str, *, is_guarded: bool = False) -> Link:
    """The network's bridge as it shall be; ``alias`` is Bascule's mark, ``is_guarded`` whether a port has a guard."""
    return Link(
        name=one.bridge,
        options=Bridge(forward_delay=0, mcast_snooping=0, no_linklocal_learn=int(is_guarded)),
        up=True,
        mac=one.mac,
        mtu=one.mtu or ETHERNET_MTU,
        # on a bridge without ports an address would stay tentative for ever (no carrier, no DAD)
        addresses=tuple(Address(ip=str(a), flags=("nodad",) if a.version == 6 else ()) for a in one.addresses),
        addrgenmode="eui64" if any(subnet.version == 6 for subnet in one.subnets) else "none",
        alias=alias,
    )


def needs_server(one: ResolvedNetwork) -> bool:
    """Whether a dnsmasq belongs to the network."""
    return bool(one.ranges or one.names or any(subnet.version == 6 for subnet in one.subnets))
