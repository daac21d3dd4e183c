"""The production scenario as a Site, built by hand: the reader of site files is tested elsewhere."""

from __future__ import annotations

from ipaddress import ip_address, ip_interface, ip_network

from bascule.errors import Place
from bascule.model.host_links import Bridge, Nic
from bascule.model.site import (
    Expectation,
    Guest,
    GuestNic,
    Host,
    Machine,
    MachineNic,
    Masquerade,
    Network,
    PlugKind,
    Site,
    Verdict,
)
from bascule.model.site_place import SiteSource
from bascule.model.values import IfName, Mac, Service

FILE = "production.yaml"


def service(text: str) -> Service:
    protocol, _, ports = text.partition("/")
    first, _, last = ports.partition("-")
    return Service(protocol, int(first or 0), int(last or first or 0))  # type: ignore[arg-type]  # a test's own words


def expect(source: str, target: str, verdict: str, text: str = "icmp", seen_as: str | None = None) -> Expectation:
    return Expectation(
        source=source, target=target, service=service(text), verdict=Verdict(verdict), seen_as=seen_as,
        place=Place(FILE, 50, 5),
    )  # fmt: skip


def guest(name: str, mac: str, bridge: str, *addresses: str, line: int, serves: str = "") -> Guest:
    nic = GuestNic(
        guest=name, index=0, plug=PlugKind.BRIDGE, into=bridge, mac=Mac(mac), tap=IfName(f"{name}.0"),
        addresses=tuple(map(ip_interface, addresses)), place=Place(FILE, line, 12),
    )  # fmt: skip
    return Guest(name=name, host="vmserver", nics=(nic,), serves=tuple(map(service, serves.split())))


def machine(name: str, *feet: tuple[str, str], masquerade: Masquerade | None = None, serves: str = "") -> Machine:
    nics = tuple(MachineNic(network=network, addresses=(ip_interface(address),)) for network, address in feet)
    return Machine(name=name, nics=nics, masquerade=masquerade, serves=tuple(map(service, serves.split())))


def production(*wishes: Expectation, guests: tuple[Guest, ...] | None = None) -> Site:
    networks = (
        Network(name="internal", subnets=(ip_network("192.168.1.0/24"),), gateways=(ip_address("192.168.1.1"),)),
        Network(name="internet", subnets=(ip_network("129.230.0.0/16"),), gateways=(ip_address("129.230.0.1"),)),
    )
    nics = (
        Nic(name=IfName("eth2"), network="internal", addresses=(ip_interface("192.168.1.10/24"),)),
        Nic(name=IfName("eth3"), network="internet", addresses=(ip_interface("129.230.1.10/16"),)),
        Nic(name=IfName("eth4"), network="internal"),
        Nic(name=IfName("eth5"), network="internet"),
    )
    bridges = (
        Bridge(name=IfName("br3"), uplink=IfName("eth4")),
        Bridge(name=IfName("br4"), uplink=IfName("eth5")),
    )
    host = Host(name="vmserver", nics={n.name: n for n in nics}, bridges={b.name: b for b in bridges})
    if guests is None:
        guests = (  # the MACs that tests.domains gives out in this order
            guest("guest_01", "52:54:00:00:00:03", "br4", "129.230.1.21/16", line=26, serves="tcp/80 tcp/443"),
            guest("guest_02", "52:54:00:00:00:04", "br3", "192.168.1.102/24", line=31, serves="tcp/3389 tcp/8042"),
            guest("guest_03", "52:54:00:00:00:05", "br3", "192.168.1.33/24", line=36, serves="tcp/502"),
        )
    way_out = Masquerade(sources=("guest_02",), to="internet", place=Place(FILE, 43, 18))
    machines = (
        machine("dmz", ("internal", "192.168.1.1/24"), ("internet", "129.230.0.1/16"), masquerade=way_out,
                serves="tcp/21 udp/53"),
        machine("desk", ("internal", "192.168.1.50/24")),
        machine("customer", ("internet", "129.230.200.9/16"), serves="tcp/80 udp/5000"),
    )  # fmt: skip
    return Site(
        name="production",
        networks={n.name: n for n in networks},
        hosts={"vmserver": host},
        guests={g.name: g for g in guests},
        machines={m.name: m for m in machines},
        expectations=wishes,
        source=SiteSource(path=FILE),
    )


WISHES = (
    expect("customer", "guest_01", "reach", "tcp/80"),
    expect("customer", "guest_02", "no-reach", "tcp/3389"),
    expect("desk", "guest_02", "reach", "tcp/8042"),
    expect("guest_02", "customer", "reach", seen_as="dmz"),
    expect("guest_03", "customer", "no-reach"),
    expect("desk", "guest_03", "reach", "tcp/502"),
)
