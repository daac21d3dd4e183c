"""A virtual network in the kernel's terms: bridge, addresses, sysctls, dnsmasq's words.

Its rules are in :mod:`bascule.policy.network_rules`.
"""

from __future__ import annotations

import hashlib
import ipaddress
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from msgspec import Struct

from bascule.errors import Place, Problem, SiteFault
from bascule.model.links import Bridge
from bascule.model.site import GuestNic, Host, Mode, Service, Site, VirtualNetwork
from bascule.model.state import FORWARDING, Address, Link
from bascule.model.values import IfName, IpAddress, IpInterface, IpNetwork, Mac, bridge_name, parse_mac

if TYPE_CHECKING:  # each plan looks here; most hosts have no virtual network
    from bascule.model.domain import Lease, Reservation

LEASE = "1h"  # dnsmasq's own default (dnsmasq(8), --dhcp-range)


class PortForward(Struct, frozen=True, kw_only=True):
    """A port of the host that leads to a guest's address; a range of ports keeps its width on the host."""

    host_port: int
    guest: str
    address: IpAddress
    service: Service
    place: Place | None = None

    @property
    def host_ports(self) -> range:
        """The ports on the host's side."""
        return range(self.host_port, self.host_port + len(self.service.ports))


class Realm(Struct, frozen=True, kw_only=True):
    """A virtual network with everything resolved that the site file leaves to rule."""

    name: str
    mode: Mode
    bridge: IfName
    mac: Mac
    addresses: tuple[IpInterface, ...]  # the host's own, one in each subnet
    ranges: tuple[tuple[IpAddress, IpAddress], ...] = ()
    reservations: tuple[Reservation, ...] = ()
    names: tuple[tuple[str, IpAddress], ...] = ()  # DNS names of the guests
    forwards: tuple[PortForward, ...] = ()

    @property
    def subnets(self) -> tuple[IpNetwork, ...]:
        """The subnets, in the order of the file."""
        return tuple(address.network for address in self.addresses)


def bridge_mac(site: str, host: str, network: str) -> Mac:
    """The stable MAC of a virtual network's bridge, so that guests keep their gateway's over a restart."""
    digest = hashlib.sha256(f"{site}\0{host}\0{network}\0bridge".encode()).digest()
    return Mac("52:54:00:" + ":".join(f"{byte:02x}" for byte in digest[:3]))


def realm(site: Site, host: Host, network: VirtualNetwork) -> Realm:
    """Resolve a virtual network. Raises SiteFault for forwards that lead nowhere."""
    problems: list[Problem] = []
    addresses = tuple(host_address(subnet) for subnet in network.subnets)
    nics = [nic for nic in site.guest_nics(host.name) if nic.virtual_network == network.name]
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
        forwards.append(
            PortForward(
                host_port=forward.host_port,
                guest=forward.guest,
                address=address,
                service=forward.service,
                place=forward.place,
            )
        )
    if problems:
        raise SiteFault(*problems)
    return Realm(
        name=network.name,
        mode=network.mode,
        bridge=bridge_name(network.name),
        mac=bridge_mac(site.name, host.name, network.name),
        addresses=addresses,
        ranges=((network.dhcp.first, network.dhcp.last),) if network.dhcp else (),
        reservations=tuple(reservations),
        names=tuple((one.name, one.address) for one in reservations if one.name),
        forwards=tuple(forwards),
    )


def realms(site: Site, host: Host) -> tuple[Realm, ...]:
    """Every virtual network of a host. Raises SiteFault with all problems."""
    found: list[Realm] = []
    problems: list[Problem] = []
    for network in host.virtual_networks.values():
        try:
            found.append(realm(site, host, network))
        except SiteFault as fault:
            problems += fault.problems
    if problems:
        raise SiteFault(*problems)
    return tuple(found)


def host_address(subnet: IpNetwork) -> IpInterface:
    """The host takes the first address of a subnet, as libvirt's default network does."""
    return ipaddress.ip_interface(f"{subnet.network_address + 1}/{subnet.prefixlen}")


def _reservations(network: VirtualNetwork, nics: list[GuestNic], taken: set[IpAddress]) -> list[Reservation]:
    """A fixed address for each NIC: the declared one; for DHCP guests one of the range that follows from the MAC."""
    from bascule.model.domain import Reservation

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


def lease_file(one: Realm, folder: Path) -> Path:
    """Where dnsmasq keeps the leases of a network."""
    return folder / f"{one.name}.leases"


def pid_file(one: Realm, folder: Path) -> Path:
    """Where dnsmasq keeps its process id."""
    return folder / f"{one.name}.pid"


def parse_leases(text: str, network: str = "") -> tuple[Lease, ...]:
    """The leases in dnsmasq's file: ``EXPIRES MAC ADDRESS NAME CLIENT`` in each line; IPv6 ones carry no MAC."""
    from bascule.model.domain import Lease

    found = []
    for line in text.splitlines():
        words = line.split()
        if len(words) == 5 and words[1].count(":") == 5:
            name = "" if words[3] == "*" else words[3]
            address = ipaddress.ip_address(words[2])
            found.append(
                Lease(mac=parse_mac(words[1]), address=address, name=name, network=network, expires=int(words[0]))
            )
    return tuple(found)


def sysctls(one: Realm) -> Mapping[str, str]:
    """What the kernel must be told so that it routes for this network; paths below /proc/sys."""
    if one.mode is Mode.ISOLATED:
        return {}
    return {FORWARDING[subnet.version]: "1" for subnet in one.subnets}


def bridge_link(one: Realm, alias: str) -> Link:
    """The network's bridge as it shall be; ``alias`` is Bascule's mark."""
    return Link(
        name=one.bridge,
        options=Bridge(forward_delay=0, mcast_snooping=0),
        up=True,
        mac=one.mac,
        # on a bridge without ports an address would stay tentative for ever (no carrier, no DAD)
        addresses=tuple(Address(ip=str(a), flags=("nodad",) if a.version == 6 else ()) for a in one.addresses),
        addrgenmode="eui64" if any(subnet.version == 6 for subnet in one.subnets) else "none",
        alias=alias,
    )


def needs_server(one: Realm) -> bool:
    """Whether a dnsmasq belongs to the network."""
    return bool(one.ranges or one.names or any(subnet.version == 6 for subnet in one.subnets))


def dnsmasq_arguments(one: Realm, folder: Path, *, upstream: bool = True, foreground: bool = False) -> tuple[str, ...]:
    """The words behind ``dnsmasq`` for this network: DHCP, reservations and names, on its bridge alone.

    ``folder`` takes its lease and process id files; ``upstream`` False keeps it from asking the host's own name
    servers. In the ``foreground`` it changes no user and waits for nothing, as a twin needs it.
    """
    words = ["--no-daemon", "--no-ping"] if foreground else [f"--pid-file={pid_file(one, folder)}"]
    words += [
        "--conf-file=/dev/null",
        "--bind-dynamic",
        f"--interface={one.bridge}",
        "--except-interface=lo",
        "--no-hosts",
        "--dhcp-authoritative",
        "--dhcp-no-override",
        f"--dhcp-leasefile={lease_file(one, folder)}",
        f"--domain={one.name}",
        f"--local=/{one.name}/",
        "--expand-hosts",
    ]
    if not upstream or one.mode is Mode.ISOLATED:
        words.append("--no-resolv")
    if one.mode is Mode.ISOLATED:
        words.append("--dhcp-option=option:router")  # no way out: hand out no gateway
    for first, last in one.ranges:
        subnet = next(subnet for subnet in one.subnets if first in subnet)
        bits = subnet.netmask if first.version == 4 else subnet.prefixlen
        words.append(f"--dhcp-range={first},{last},{bits},{LEASE}")
    if any(subnet.version == 6 for subnet in one.subnets):
        words.append("--enable-ra")
        if one.mode is Mode.ISOLATED:
            words.append(f"--ra-param={one.bridge},0,0")  # advertised as a subnet, not as a way out
        with_range = {first.version for first, _ in one.ranges}
        words += [
            f"--dhcp-range={s.network_address},ra-only" for s in one.subnets if s.version == 6 and 6 not in with_range
        ]
    for entry in one.reservations:
        address = str(entry.address) if entry.address.version == 4 else f"[{entry.address}]"
        if any(first.version == entry.address.version for first, _ in one.ranges):
            words.append(f"--dhcp-host={entry.mac},{address}" + (f",{entry.name}" if entry.name else ""))
    words += [f"--host-record={name}.{one.name},{name},{address}" for name, address in one.names]
    return tuple(words)
