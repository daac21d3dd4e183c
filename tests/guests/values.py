"""Hosts with virtual networks and guests, as values."""

from __future__ import annotations

from ipaddress import ip_address, ip_interface, ip_network

from msgspec.structs import replace

from bascule.model.site import DhcpRange, Forward, Guest, GuestNic, Host, Mode, PlugKind, Site, VirtualNetwork
from bascule.model.values import Service, derive_mac, derive_tap
from bascule.plan.virtual_network import ResolvedNetwork, resolved_networks
from bascule.twin.test_guest import init
from bascule.twin.test_guest.kernel import GuestImage


def nic(guest: str, index: int, into: str, *addresses: str, plug: PlugKind = PlugKind.BRIDGE) -> GuestNic:
    return GuestNic(
        guest=guest,
        index=index,
        plug=plug,
        into=into,
        mac=derive_mac("test", guest, index),
        tap=derive_tap(guest, index),
        addresses=tuple(ip_interface(a) for a in addresses if a != "dhcp"),
        dhcp="dhcp" in addresses,
    )


def guest(name: str, *nics: GuestNic, serves: tuple[Service, ...] = (), image: GuestImage | None = None) -> Guest:
    made = Guest(name=name, host="h", memory=init.MEMORY, nics=nics, serves=serves)
    if image is None:
        return made
    made = replace(made, kernel=str(image.kernel), initrd=str(image.initrd))
    return replace(made, cmdline=init.command_line(made))


def virtual_network(
    mode: Mode,
    *,
    forwards: tuple[Forward, ...] = (),
    subnets: tuple[str, ...] = ("192.168.122.0/24",),
    name: str = "lab",
) -> VirtualNetwork:
    span = DhcpRange(first=ip_address("192.168.122.100"), last=ip_address("192.168.122.200"))
    return VirtualNetwork(
        name=name, mode=mode, subnets=tuple(ip_network(s) for s in subnets), dhcp=span, forwards=forwards
    )


def site(*guests: Guest, networks: tuple[VirtualNetwork, ...] = ()) -> Site:
    host = Host(name="h", virtual_networks={network.name: network for network in networks})
    return Site(name="test", hosts={"h": host}, guests={one.name: one for one in guests})


def resolved_network(of: Site) -> ResolvedNetwork:
    return resolved_networks(of, of.hosts["h"])[0]


SSH = Forward(host_port=2222, guest="g1", service=Service("tcp", 22, 22))
