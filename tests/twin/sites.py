"""Sites as values, so that the twin's tests do not depend on the reader of the file."""

from __future__ import annotations

from ipaddress import ip_address, ip_interface, ip_network
from typing import Any

from bascule.model.host_links import Bridge, Nic
from bascule.model.site import (
    DhcpRange,
    DhcpServer,
    Guest,
    GuestNic,
    Host,
    Machine,
    MachineNic,
    Masquerade,
    Network,
    PlugKind,
    Site,
)
from bascule.model.values import IfName, Mac, Service, derive_guest_mac, derive_tap

__all__ = ["Bridge", "Host", "by_name", "guest", "machine", "network", "nic", "production", "service"]


def service(text: str) -> Service:
    protocol, _, ports = text.partition("/")
    first, _, last = ports.partition("-")
    return Service(protocol, int(first or 0), int(last or first or 0))  # type: ignore[arg-type]  # a test's own words


def guest(
    name: str,
    bridge: str,
    *addresses: str,
    mac: str | None = None,
    serves: tuple[str, ...] = (),
    host: str = "vmserver",
) -> Guest:
    nic = GuestNic(
        guest=name,
        index=0,
        plug=PlugKind.BRIDGE,
        into=bridge,
        mac=Mac(mac) if mac else derive_guest_mac("production", host, name, 0),
        tap=derive_tap(name, 0),
        addresses=tuple(ip_interface(a) for a in addresses),
        dhcp=not addresses,
    )
    return Guest(name=name, host=host, nics=(nic,), serves=tuple(service(s) for s in serves))


def machine(name: str, *feet: tuple[str, str], **rest: Any) -> Machine:
    serves = tuple(service(s) for s in rest.pop("serves", ()))
    nics = tuple(
        MachineNic(network=network, addresses=tuple(ip_interface(a) for a in addresses.split()))
        for network, addresses in feet
    )
    return Machine(name=name, nics=nics, serves=serves, **rest)


def nic(name: str, network: str | None, *addresses: str, **rest: Any) -> Nic:
    return Nic(name=IfName(name), network=network, addresses=tuple(ip_interface(a) for a in addresses), **rest)


def network(name: str, subnets: str, gateways: str = "", vlan: Any = None) -> Network:
    return Network(
        name=name,
        subnets=tuple(ip_network(s) for s in subnets.split()),
        gateways=tuple(ip_address(g) for g in gateways.split()),
        vlan=vlan,
    )


def by_name(*things: Any) -> dict[Any, Any]:
    return {thing.name: thing for thing in things}


def production(*, dhcp_first: str = "192.168.1.100", **changes: Any) -> Site:
    host = Host(
        name="vmserver",
        nics=by_name(
            nic("eth2", "internal", "192.168.1.10/24"),
            nic("eth3", "internet", "129.230.1.10/16", gateways=(ip_address("129.230.0.1"),)),
            nic("eth4", "internal"),
            nic("eth5", "internet"),
        ),
        bridges=by_name(
            Bridge(name=IfName("br3"), uplink=IfName("eth4")), Bridge(name=IfName("br4"), uplink=IfName("eth5"))
        ),
    )
    parts: dict[str, Any] = {
        "networks": by_name(
            network("internal", "192.168.1.0/24 fd00:1::/64", "192.168.1.1 fd00:1::1"),
            network("internet", "129.230.0.0/16", "129.230.0.1"),
        ),
        "hosts": by_name(host),
        "guests": by_name(
            guest("guest_01", "br4", "129.230.1.21/16", serves=("tcp/80", "tcp/443")),
            guest("guest_02", "br3", mac="52:54:00:28:23:af", serves=("tcp/3389", "tcp/8000-8100", "udp/7")),
            guest("guest_03", "br3", "192.168.1.33/24", "fd00:1::33/64", serves=("tcp/502",)),
        ),
        "machines": by_name(
            machine(
                "dmz",
                ("internal", "192.168.1.1/24 fd00:1::1/64"),
                ("internet", "129.230.0.1/16"),
                serves=("tcp/21", "udp/53"),
                dhcp=DhcpServer(
                    network="internal",
                    range=DhcpRange(first=ip_address(dhcp_first), last=ip_address("192.168.1.199")),
                ),
                masquerade=Masquerade(sources=("guest_02",), to="internet"),
            ),
            machine("desk", ("internal", "192.168.1.50/24 fd00:1::50/64")),
            machine("customer", ("internet", "129.230.200.9/16"), serves=("udp/9000", "tcp/9000")),
        ),
    }
    return Site(name="production", **{**parts, **changes})
