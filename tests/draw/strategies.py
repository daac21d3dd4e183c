"""Random sites that the site file could say, with random hosts under them: every feature of DESIGN.md section 5."""

from __future__ import annotations

from ipaddress import ip_address, ip_interface, ip_network
from typing import Any

from hypothesis import strategies as st

from bascule.draw import SeenHost
from bascule.model.host_links import Bond, Bridge, Nic, SwitchPort
from bascule.model.links import Bond as BondLink
from bascule.model.links import Bridge as BridgeLink
from bascule.model.links import BridgePort, LinkOptions, Macvtap, Other, Physical, Tap, Veth, Vlan
from bascule.model.site import (
    DhcpRange,
    Forward,
    Guest,
    Host,
    Machine,
    Masquerade,
    Mode,
    Network,
    PlugKind,
    Site,
    VirtualNetwork,
)
from bascule.model.site_place import SiteSource
from bascule.model.state import Address, HostState, Link, LinkFacts, PortVlans
from bascule.model.values import IfName, Mac, Service, Vid
from tests.draw.sites import guest, plug

SERVICES = [Service("tcp", 80, 80), Service("udp", 5000, 5010), Service("icmp")]


@st.composite
def sites(draw: st.DrawFn, *, most_guests: int = 12) -> Site:
    networks = {}
    for number in range(draw(st.integers(0, 4))):
        subnet = draw(st.sampled_from([(), (ip_network(f"10.{number}.0.0/16"),), (ip_network(f"fd00:{number}::/64"),)]))
        vlan = Vid(10 * (number + 1)) if draw(st.booleans()) else None
        name = draw(st.sampled_from(["net", "a-rather-long-name-for-a-network-in-a-building"])) + str(number)
        networks[name] = Network(name=name, subnets=subnet, vlan=vlan)
    hosts = {}
    guests: dict[str, Guest] = {}
    for number in range(draw(st.integers(0, 2))):
        host = draw(_hosts(f"host{number}", list(networks.values())))
        hosts[host.name] = host
        for guest_ in draw(_guests(host, most_guests)):
            guests[guest_.name] = guest_
    machines = {}
    for number in range(draw(st.integers(0, 4))):
        feet: list[str] = draw(st.lists(st.sampled_from(sorted(networks)), max_size=3) if networks else st.just([]))
        machines[f"m{number}"] = draw(_machines(f"m{number}", feet, [*guests, *networks]))
    return Site(
        name="random",
        networks=networks,
        hosts=hosts,
        guests=guests,
        machines=machines,
        source=SiteSource(digest="0" * 64),
    )


@st.composite
def _hosts(draw: st.DrawFn, name: str, networks: list[Network]) -> Host:
    nics: dict[IfName, Nic] = {}
    for number in range(draw(st.integers(0, 6))):
        nic = IfName(f"eth{number}")
        own = draw(st.booleans())
        nics[nic] = Nic(
            name=nic,
            network=draw(st.sampled_from([None, *(n.name for n in networks)])),
            addresses=(ip_interface(f"10.9.{number}.1/24"),) if own else (),
            gateways=(ip_address(f"10.9.{number}.254"),) if own and draw(st.booleans()) else (),
            mtu=draw(st.sampled_from([None, 9000])),
            switch=SwitchPort(name="sw1", port=f"Gi0/{number}") if draw(st.booleans()) else None,
        )
    free = list(nics)
    bonds: dict[IfName, Bond] = {}
    if len(free) >= 2 and draw(st.booleans()):
        members = tuple(free[: draw(st.integers(1, min(3, len(free))))])
        bonds[IfName("bond0")] = Bond(name=IfName("bond0"), nics=members)
    uplinks: list[IfName | None] = [None, *(x for x in free if not any(x in b.nics for b in bonds.values())), *bonds]
    bridges: dict[IfName, Bridge] = {}
    for number in range(draw(st.integers(0, 5))):
        uplink = draw(st.sampled_from(uplinks))
        tagged = draw(st.booleans())
        if uplink is not None and not tagged:
            uplinks.remove(uplink)
        bridges[IfName(f"br{number}")] = Bridge(
            name=IfName(f"br{number}"),
            uplink=uplink,
            vlan=Vid(10 * (number + 1)) if tagged and uplink is not None else None,
            vlan_aware=not tagged and draw(st.booleans()),
            stp=draw(st.booleans()),
            dhcp=draw(st.booleans()),
            from_uplink=draw(st.booleans()),
        )
    virtual: dict[str, VirtualNetwork] = {}
    for number, mode in enumerate(draw(st.lists(st.sampled_from(list(Mode)), max_size=3))):
        virtual[f"lab{number}"] = VirtualNetwork(
            name=f"lab{number}",
            mode=mode,
            subnets=(ip_network(f"192.168.{number}.0/24"),),
            dhcp=DhcpRange(first=ip_address("192.168.0.5"), last=ip_address("192.168.0.9")),
            forwards=(Forward(host_port=2222, guest=f"{name}-g0", service=SERVICES[0]),),
        )
    return Host(name=name, nics=nics, bonds=bonds, bridges=bridges, virtual_networks=virtual, memory=2**35)


@st.composite
def _guests(draw: st.DrawFn, host: Host, most: int) -> list[Guest]:
    plugs: list[dict[str, object]] = []
    for bridge in host.bridges:
        plugs += [plug(bridge), plug(bridge, "dhcp", vlan=Vid(20)), plug(bridge, vlans=((Vid(10), Vid(29)),))]
    plugs += [plug(name, "dhcp", PlugKind.NETWORK) for name in host.virtual_networks]
    plugs += [plug(name, "10.1.2.3/24", PlugKind.DIRECT) for name in host.nics]
    found = []
    for number in range(draw(st.integers(0, most))):
        own = draw(st.lists(st.sampled_from(plugs), max_size=3) if plugs else st.just([]))
        name = f"{host.name}-g{number}"
        found.append(guest(name, host.name, *own, serves=draw(st.lists(st.sampled_from(SERVICES), max_size=3))))
    return found


@st.composite
def _machines(draw: st.DrawFn, name: str, feet: list[str], sources: list[str]) -> Machine:
    from tests.draw.sites import machine

    rest: dict[str, Any] = {}
    goes_out: bool = draw(st.booleans())
    if feet and sources and goes_out:
        rest["masquerade"] = Masquerade(sources=(draw(st.sampled_from(sources)),), to=draw(st.sampled_from(feet)))
    return machine(name, *((foot, "") for foot in feet), **rest)


@st.composite
def states(draw: st.DrawFn, site: Site, host: str) -> HostState:
    """Some of what the file wants, some of it elsewhere, and some links that nobody named."""
    declared = site.hosts[host]
    taps = [nic.tap for nic in site.guest_nics(host)]
    names = [*declared.nics, *declared.bonds, *declared.bridges, *taps]
    names += [IfName(name) for name in ("docker0", "virbr0", "vnet9", "veth1", "wg0", "eth9")]
    present = draw(st.lists(st.sampled_from(names), unique=True, max_size=len(names)))
    masters = [name for name in present if name in declared.bridges or name in {"docker0", "virbr0"}]
    kinds: list[LinkOptions] = [
        Physical(),
        Tap(),
        Veth(),
        Other(info_kind="wireguard"),
        Vlan(id=7),
        Macvtap(),
        BondLink(),
    ]
    links = []
    for name in present:
        bridge = name in masters
        options = BridgeLink(stp_state=draw(st.integers(0, 1))) if bridge else draw(st.sampled_from(kinds))
        others = [other for other in present if other != name]
        links.append(
            Link(
                name=name,
                options=options,
                up=draw(st.booleans()),
                mac=Mac("52:54:00:00:00:01"),
                master=draw(st.sampled_from([None, *(m for m in masters if m != name)])),
                parent=draw(st.sampled_from([None, *others])),
                port=BridgePort(isolated=True) if draw(st.booleans()) else None,
                vlans=(PortVlans(first=1, last=4, pvid=True),),
                addresses=(Address(ip="192.168.0.1/24"),) if draw(st.booleans()) else (),
                facts=draw(
                    st.builds(
                        LinkFacts,
                        carrier=st.booleans(),
                        stp_port_state=st.sampled_from(["", "blocking", "forwarding"]),
                    )
                ),
            )
        )
    return HostState.of(links)


@st.composite
def observed_sites(draw: st.DrawFn) -> tuple[Site, dict[str, SeenHost]]:
    """A site, and what was seen of some of its hosts."""
    site = draw(sites())
    return site, {host: SeenHost(state=draw(states(site, host))) for host in site.hosts if draw(st.booleans())}
