"""Who may answer by DHCP and advertise itself as a router on a segment, as far as the site file says; pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from bascule.model.guarding import VirtualRouter
from bascule.model.site import GuestNic, Machine, MachineNic, Site
from bascule.model.values import IpAddress, Mac


def servers(site: Site, segment: str | None) -> tuple[IpAddress, ...] | None:
    """The addresses of those that serve DHCP; None where the file names nobody."""
    found = [a.ip for nic in _machine_nics(site, segment, _serves(segment)) for a in nic.addresses]
    found += [a.ip for nic in _guest_nics(site, segment, "dhcp-server") for a in nic.addresses]
    return tuple(found) or None


def server_macs(site: Site, segment: str | None) -> tuple[Mac, ...] | None:
    """The MACs of the same, who answer by DHCPv6 from a link-local address; None where one of them is not known."""
    return _macs(
        _machine_nics(site, segment, _serves(segment)),
        _guest_nics(site, segment, "dhcp-server"),
    )


def router_macs(site: Site, segment: str | None) -> tuple[Mac, ...] | None:
    """The MACs of the routers of a network with IPv6; None where the file does not know each of them.

    Routers are the guests that may be, and the machines that have the gateway's address or let anything through. A
    gateway of IPv6 that is nobody's in the file, and a host that has its address, are routers of which nobody knows
    the MAC.
    """
    network = site.networks.get(segment or "")
    if network is None:
        return None
    gateways = set(network.gateways)

    def routes(machine: Machine) -> bool:
        own = {a.ip for nic in machine.nics if nic.network == segment for a in nic.addresses}
        return bool(own & gateways) or machine.forwards is not None or machine.masquerade is not None

    machines, guests = list(_machine_nics(site, segment, routes)), list(_guest_nics(site, segment, "router"))
    known = {a.ip for one in machines for a in one.addresses} | {a.ip for nic in guests for a in nic.addresses}
    shared = {one.network_address for nic in guests for group in nic.guarding.routers for one in group.addresses}
    if any(gateway.version == 6 for gateway in gateways - known - shared):
        return None
    return _macs(machines, guests)


def group_macs(router: VirtualRouter) -> tuple[Mac, ...]:
    """The MACs of a group of routers: RFC 9568 §7.3 for VRRP (CARP took them over), RFC 2281 §3 for HSRP."""
    if router.protocol == "hsrp":
        return (Mac(f"00:00:0c:07:ac:{router.group:02x}"), Mac(f"00:00:0c:9f:f0:{router.group:02x}"))
    return (Mac(f"00:00:5e:00:01:{router.group:02x}"), Mac(f"00:00:5e:00:02:{router.group:02x}"))


def _serves(segment: str | None) -> Callable[[Machine], bool]:
    return lambda machine: machine.dhcp is not None and machine.dhcp.network == segment


def _machine_nics(site: Site, segment: str | None, which: Callable[[Machine], bool]) -> Iterator[MachineNic]:
    for machine in site.machines.values():
        if which(machine):
            yield from (nic for nic in machine.nics if nic.network == segment)


def _guest_nics(site: Site, segment: str | None, permission: str) -> Iterator[GuestNic]:
    for nic in site.nics_with_permissions:
        if permission in nic.guarding.may and site.segment_of(nic) == segment:
            yield nic


def _macs(machines: Iterable[MachineNic], guests: Iterable[GuestNic]) -> tuple[Mac, ...] | None:
    found = [nic.mac for nic in machines]
    if None in found:
        return None
    for nic in guests:
        found += [nic.mac, *nic.guarding.macs, *(mac for one in nic.guarding.routers for mac in group_macs(one))]
    return tuple(mac for mac in found if mac) or None
