"""Sites made by hand, so that a drawing's test depends on nothing but the model."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from ipaddress import ip_address, ip_interface, ip_network
from typing import Any

from bascule.draw import SeenHost
from bascule.model.host_links import Bond, Bridge, Nic, SwitchPort
from bascule.model.links import Bridge as Bridge_
from bascule.model.links import BridgePort, LinkOptions, Loopback, Physical, Tap, Veth
from bascule.model.site import (
    DhcpRange,
    DhcpServer,
    Expectation,
    Forward,
    Guest,
    GuestNic,
    Host,
    Machine,
    MachineNic,
    Masquerade,
    Mode,
    Network,
    PlugKind,
    Site,
    Verdict,
    VirtualNetwork,
)
from bascule.model.site_place import SiteSource
from bascule.model.state import Address, HostState, Link, LinkFacts
from bascule.model.values import IfName, Mac, Service, Vid, derive_mac, derive_tap
from bascule.plan.make import make_plan

TCP80 = Service("tcp", 80, 80)


def network(name: str, subnet: str = "", vlan: int | None = None) -> Network:
    subnets = (ip_network(subnet),) if subnet else ()
    return Network(
        name=name,
        subnets=subnets,
        gateways=tuple(ip_address(int(s.network_address) + 1) for s in subnets),
        vlan=Vid(vlan) if vlan else None,
    )


def nic(name: str, on: str | None = None, address: str = "", gateway: str = "", **rest: object) -> Nic:
    return Nic(
        name=IfName(name),
        network=on,
        addresses=(ip_interface(address),) if address else (),
        gateways=(ip_address(gateway),) if gateway else (),
        **rest,  # type: ignore[arg-type]  # the builder passes on what the test names
    )


def bridge(name: str, uplink: str | None, **rest: object) -> Bridge:
    return Bridge(name=IfName(name), uplink=IfName(uplink) if uplink else None, **rest)  # type: ignore[arg-type]


def host(name: str, *parts: Nic | Bond | Bridge | VirtualNetwork, memory: int | None = None) -> Host:
    return Host(
        name=name,
        memory=memory,
        nics={p.name: p for p in parts if isinstance(p, Nic)},
        bonds={p.name: p for p in parts if isinstance(p, Bond)},
        bridges={p.name: p for p in parts if isinstance(p, Bridge)},
        virtual_networks={p.name: p for p in parts if isinstance(p, VirtualNetwork)},
    )


def plug(into: str, address: str = "", kind: PlugKind = PlugKind.BRIDGE, **rest: object) -> dict[str, object]:
    return {
        "into": into,
        "plug": kind,
        "addresses": (ip_interface(address),) if address and address != "dhcp" else (),
        "dhcp": address == "dhcp",
        **rest,
    }


def guest(
    name: str, on: str, *plugs: dict[str, object], serves: Sequence[Service] = (), memory: int | None = None
) -> Guest:
    nics = []
    for index, given in enumerate(plugs):
        words = {"mac": derive_mac("test", name, index), "tap": derive_tap(name, index), **given}
        nics.append(GuestNic(guest=name, index=index, **words))  # type: ignore[arg-type]
    return Guest(name=name, host=on, nics=tuple(nics), serves=tuple(serves), memory=memory)


def machine(name: str, *feet: tuple[str, str], **rest: object) -> Machine:
    nics = tuple(MachineNic(network=n, addresses=(ip_interface(a),) if a else (), dhcp=not a) for n, a in feet)
    return Machine(name=name, nics=nics, **rest)  # type: ignore[arg-type]


def site(
    name: str,
    networks: Iterable[Network] = (),
    hosts: Iterable[Host] = (),
    guests: Iterable[Guest] = (),
    machines: Iterable[Machine] = (),
    expect: Iterable[Expectation] = (),
) -> Site:
    return Site(
        name=name,
        networks={n.name: n for n in networks},
        hosts={h.name: h for h in hosts},
        guests={g.name: g for g in guests},
        machines={m.name: m for m in machines},
        expectations=tuple(expect),
        source=SiteSource(digest="9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"),
    )


INTERNAL = network("internal", "192.168.1.0/24")
INTERNET = network("internet", "129.230.0.0/16")


def production() -> Site:
    """The scenario of DESIGN.md section 1."""
    return site(
        "production",
        [INTERNAL, INTERNET],
        [
            host(
                "vmserver",
                nic("eth2", "internal", "192.168.1.10/24"),
                nic("eth3", "internet", "129.230.1.10/16", "129.230.0.1"),
                nic("eth4", "internal"),
                nic("eth5", "internet"),
                bridge("br3", "eth4"),
                bridge("br4", "eth5"),
                memory=64 * 2**30,
            )
        ],
        [
            guest(
                "guest_01",
                "vmserver",
                plug("br4", "129.230.1.21/16"),
                serves=[TCP80, Service("tcp", 443, 443)],
                memory=8 * 2**30,
            ),
            guest(
                "guest_02",
                "vmserver",
                plug("br3", "dhcp", mac=Mac("52:54:00:28:23:af")),
                serves=[Service("tcp", 3389, 3389), Service("tcp", 8000, 8100)],
                memory=4 * 2**30,
            ),
            guest(
                "guest_03",
                "vmserver",
                plug("br3", "192.168.1.33/24"),
                serves=[Service("tcp", 502, 502)],
                memory=2**30,
            ),
        ],
        [
            machine(
                "dmz",
                ("internal", "192.168.1.1/24"),
                ("internet", "129.230.0.1/16"),
                dhcp=DhcpServer(
                    network="internal",
                    range=DhcpRange(first=ip_address("192.168.1.100"), last=ip_address("192.168.1.199")),
                ),
                masquerade=Masquerade(sources=("guest_02",), to="internet"),
                serves=(Service("tcp", 21, 21), Service("udp", 53, 53)),
            ),
            machine("desk", ("internal", "192.168.1.50/24")),
            machine("customer", ("internet", "129.230.200.9/16")),
        ],
        [Expectation(source="guest_02", target="customer", service=Service("icmp"), verdict=Verdict.REACH)],
    )


def virtual(mode: Mode, name: str = "lab", forwards: Sequence[Forward] = ()) -> VirtualNetwork:
    return VirtualNetwork(
        name=name,
        mode=mode,
        subnets=(ip_network("192.168.122.0/24"),),
        dhcp=DhcpRange(first=ip_address("192.168.122.100"), last=ip_address("192.168.122.200")),
        forwards=tuple(forwards),
    )


def lab(mode: Mode = Mode.NAT, guests: int = 2) -> Site:
    """One virtual network beside one bridge."""
    forwards = [Forward(host_port=2222, guest="vm1", service=Service("tcp", 22, 22))] if mode is Mode.NAT else []
    return site(
        f"lab-{mode}",
        [INTERNAL],
        [host("desktop", nic("eth0", "internal", "192.168.1.10/24", "192.168.1.1"), virtual(mode, forwards=forwards))],
        [guest(f"vm{i}", "desktop", plug("lab", "dhcp", PlugKind.NETWORK)) for i in range(1, guests + 1)],
        [machine("router", ("internal", "192.168.1.1/24")), machine("desk", ("internal", "192.168.1.50/24"))],
    )


def many(count: int, bridges: int = 2, *, firewall: bool = True) -> Site:
    """Guests of different kinds on a few bridges, so that they are not alike."""
    nets = [network(f"net{i}", f"10.{i}.0.0/16") for i in range(bridges)]
    parts: list[Nic | Bridge] = [nic(f"eth{i}", f"net{i}") for i in range(bridges)]
    parts += [bridge(f"br{i}", f"eth{i}") for i in range(bridges)]
    guests = []
    for i in range(count):
        on = i % bridges
        plugs = [plug(f"br{on}", f"10.{on}.{1 + i // 250}.{1 + i % 250}/16")]
        if firewall and i == 0 and bridges > 1:
            plugs.append(plug("br1", "10.1.0.254/16"))
        guests.append(guest(f"vm-{i:03}", "big", *plugs, serves=[TCP80] if i % 3 == 0 else []))
    machines = [
        machine("gw", *((f"net{i}", f"10.{i}.0.1/16") for i in range(min(bridges, 2)))),
        machine("desk", ("net0", "10.0.0.9/16")),
    ]
    return site(f"many-{count}", nets, [host("big", *parts, memory=256 * 2**30)], guests, machines)


def trunk() -> Site:
    """A bond with VLANs: one bridge per VLAN, a VLAN-aware bridge, a trunk into a guest, a macvtap."""
    vid = [(Vid(10), Vid(10)), (Vid(20), Vid(29))]
    return site(
        "trunk",
        [
            network("office", "10.10.0.0/24", 10),
            network("storage", "10.20.0.0/24", 20),
            network("dmz", "10.30.0.0/24", 30),
            network("mgmt", "10.99.0.0/24"),
        ],
        [
            host(
                "kvm1",
                nic("eno1", "mgmt", "10.99.0.5/24", "10.99.0.1", switch=SwitchPort(name="sw1", port="Gi0/5")),
                nic("eno2"),
                nic("eno3"),
                nic("eno4", "office"),
                Bond(name=IfName("bond0"), nics=(IfName("eno2"), IfName("eno3")), mode="802.3ad"),
                bridge("br30", "bond0", vlan=Vid(30)),
                bridge("br20", "bond0", vlan=Vid(20)),
                bridge("trunk0", "eno4", vlan_aware=True, stp=True),
                bridge("quiet", None),
                memory=128 * 2**30,
            )
        ],
        [
            guest("web", "kvm1", plug("br30", "10.30.0.21/24"), serves=[TCP80]),
            guest("nas", "kvm1", plug("br20", "10.20.0.7/24")),
            guest("fw", "kvm1", plug("br30", "10.30.0.1/24"), plug("trunk0", vlans=tuple(vid))),
            guest("pc", "kvm1", plug("trunk0", "dhcp", vlan=Vid(10))),
            guest("probe", "kvm1", plug("eno1", "dhcp", PlugKind.DIRECT)),
            guest("cell", "kvm1", plug("quiet", "172.16.0.2/24")),
        ],
        [machine("switch", ("mgmt", "10.99.0.1/24"))],
    )


def drifted() -> tuple[Site, SeenHost]:
    """The production site and a host on which a few things are not as the file says."""
    tap = Tap(type="tap")

    def link(name: str, options: LinkOptions, master: str | None = None, **rest: Any) -> Link:
        seen: dict[str, Any] = {"carrier": True, "operstate": "UP"}
        seen |= {k: v for k, v in rest.items() if k in LinkFacts.__struct_fields__}
        given = {"up": True} | {k: v for k, v in rest.items() if k not in seen}
        where = IfName(master) if master else None
        return Link(name=IfName(name), options=options, master=where, facts=LinkFacts(**seen), **given)

    state = HostState.of(
        [
            link("lo", Loopback()),
            link("eth2", Physical(), addresses=(Address(ip="192.168.1.10/24"),), mac=Mac("52:54:00:aa:00:02")),
            link("eth3", Physical(), addresses=(Address(ip="129.230.1.99/16"),)),
            link("eth4", Physical(), "br3", carrier=False, operstate="DOWN"),
            link("eth5", Physical(), "br4", stp_port_state="blocking"),
            link("br3", Bridge_(), mtu=1400),
            link("br4", Bridge_(stp_state=1)),
            link("docker0", Bridge_(), addresses=(Address(ip="172.17.0.1/16"),), carrier=False),
            link("vethabc", Veth(), "docker0"),
            link("guest_02.0", tap, "br4"),
            link("guest_03.0", tap, "br3", port=BridgePort(isolated=True)),
            link("eth7", Physical(), up=False, carrier=False),
        ]
    )
    site = production()
    return site, SeenHost(state=state, plan=make_plan(site, site.hosts["vmserver"], state)[0])
