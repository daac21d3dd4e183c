"""Who stands on the networks, and how: hosts' NICs, guests and machines as plain values (pure)."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence

from msgspec import Struct, field

from bascule.model.links import Physical
from bascule.model.site import GuestNic, Host, Mode, Network, Site, StaticRoute
from bascule.model.state import HostState
from bascule.model.values import IFNAME_MAX, IfName, IpAddress, IpInterface, Mac, Vid, derive_mac, tap_mac
from bascule.plan.change import Note
from bascule.plan.virtual_network import ResolvedNetwork, resolved_networks

SWITCH_MTU = 9216  # bytes: a switch passes every frame that a host may be set to send


class Cable(Struct, frozen=True, kw_only=True):
    """From a NIC to the building: ``port`` is its name there, ``native`` the network that it is on untagged."""

    node: str
    link: IfName
    port: IfName
    mac: Mac | None = None
    mtu: int | None = None
    native: str | None = None
    tagged: tuple[str, ...] = ()


class EndNic(Struct, frozen=True, kw_only=True):
    """A NIC of a guest or a machine, in the twin's terms."""

    link: IfName
    mac: Mac
    addresses: tuple[IpInterface, ...] = ()
    dhcp: bool = False
    network: Network | None = None
    segment: str | None = None  # the network's name, or a virtual one's
    gateways: tuple[IpAddress, ...] = ()
    routes: tuple[StaticRoute, ...] = ()
    plug: GuestNic | None = None  # of a guest
    bridge: IfName | None = None  # on its host; of a guest without one the NIC is shared
    mtu: int = 1500


class End(Struct, frozen=True, kw_only=True):
    """A guest or a machine: its NICs; ``routes`` are default routes as (link, gateway), at most one per family."""

    name: str
    nics: tuple[EndNic, ...] = ()
    routes: tuple[tuple[IfName, IpAddress], ...] = ()

    @property
    def plugs(self) -> tuple[tuple[GuestNic, IfName, EndNic], ...]:
        """The NICs of a guest that end at a bridge of its host, each with that bridge."""
        return tuple((x.plug, x.bridge, x) for x in self.nics if x.plug is not None and x.bridge is not None)


class Standing(Struct, frozen=True, kw_only=True):
    """A guest's tap that an observed host has already."""

    host: str
    nic: GuestNic
    mac: Mac
    mtu: int


class Wiring(Struct, frozen=True, kw_only=True):
    """Everything that the twin is made of before a plan is applied."""

    switches: Mapping[str, IfName] = field(default_factory=dict)  # network → its bridge in the building
    vids: Mapping[str, Vid] = field(default_factory=dict)  # of the networks that arrive tagged
    cables: tuple[Cable, ...] = ()
    resolved_networks: Mapping[str, tuple[ResolvedNetwork, ...]] = field(default_factory=dict)  # of each host
    guests: Mapping[str, End] = field(default_factory=dict)
    machines: Mapping[str, End] = field(default_factory=dict)
    taps: tuple[Standing, ...] = ()
    notes: tuple[Note, ...] = ()


class Names:
    """Names of links in one namespace: what was asked for where it fits in 15 bytes, else shortened with a hash."""

    def __init__(self) -> None:
        self._taken: set[str] = {"lo"}

    def give(self, wish: str) -> IfName:
        """A name like ``wish`` that nobody has."""
        name = wish if len(wish.encode()) <= IFNAME_MAX and wish.isascii() else ""
        turn = 0
        while not name or name in self._taken:
            digest = hashlib.sha256(f"{wish}\0{turn}".encode()).hexdigest()[:5]
            name = f"{wish.encode('ascii', 'replace').decode()[: IFNAME_MAX - 6]}~{digest}"
            turn += 1
        self._taken.add(name)
        return IfName(name)


def wire(site: Site, hosts: Iterable[str], observed: Mapping[str, HostState]) -> Wiring:
    """The wiring of a site with these hosts; observed ones bring their own links."""
    chosen = [site.hosts[name] for name in hosts]
    names = Names()
    notes: list[Note] = []
    switches = {name: names.give(name) for name in site.networks}
    own = {host.name: resolved_networks(site, host) for host in chosen}
    guests = {
        guest.name: _guest_end(site, host, guest.name, own[host.name], notes, observed.get(host.name))
        for host in chosen
        for guest in site.guests_on(host.name)
    }
    machines = {name: _machine_end(site, name) for name in site.machines}
    played = {(site.guests[end.name].host, nic.tap): nic for end in guests.values() for nic, *_ in end.plugs}
    cables: list[Cable] = []
    taps: list[Standing] = []
    for host in chosen:
        state = observed.get(host.name)
        for cable in _host_cables(site, host, state, names):
            if nic := played.get((host.name, cable.link)):
                mac = cable.mac or tap_mac(nic.mac)
                taps.append(Standing(host=host.name, nic=nic, mac=mac, mtu=cable.mtu or 1500))
            else:
                cables.append(cable)
    for name, end in machines.items():
        for foot in end.nics:
            port = names.give(f"{name}.{foot.link.removeprefix('eth')}")
            native = foot.network.name if foot.network else None
            cables.append(Cable(node=name, link=foot.link, port=port, mac=foot.mac, native=native))
    return Wiring(
        switches=switches,
        vids={name: network.vlan for name, network in site.networks.items() if network.vlan is not None},
        cables=tuple(cables),
        resolved_networks=own,
        guests=guests,
        machines=machines,
        taps=tuple(taps),
        notes=tuple(notes),
    )


def _host_cables(site: Site, host: Host, state: HostState | None, names: Names) -> Iterator[Cable]:
    """Each declared NIC, and each observed link that no plan can make (hardware, taps, foreign kinds)."""
    links = dict(state.links) if state else {}
    for index, (name, nic) in enumerate(host.nics.items()):
        seen = links.pop(name, None)
        network = site.networks[nic.network] if nic.network else None
        tagged = {x.name for x in _tagged(site, host, name)}
        if network is not None and network.vlan is not None:
            tagged.add(network.name)
        yield Cable(
            node=host.name,
            link=name,
            port=names.give(f"{host.name}.{name}"),
            mac=nic.mac or (seen.mac if seen else None) or derive_mac(site.name, f"host/{host.name}", index),
            mtu=seen.mtu if seen else None,
            native=network.name if network is not None and network.vlan is None else None,
            tagged=tuple(sorted(tagged)),
        )
    for name, link in links.items():
        if not link.options.virtual and link.options.kind != "loopback":
            wish = f"{host.name}.{name}" if isinstance(link.options, Physical) else f"{host.name}~{name}"
            yield Cable(node=host.name, link=name, port=names.give(wish), mac=link.mac, mtu=link.mtu)


def _tagged(site: Site, host: Host, nic: IfName) -> Iterator[Network]:
    """The networks whose frames arrive at a NIC with a tag: those that the bridges on it ask for."""
    vids: set[Vid] = set()
    for bridge in host.bridges.values():
        if nic not in {x.name for x in host.uplink_nics(bridge)}:
            continue
        if bridge.vlan is not None:
            vids.add(bridge.vlan)
        if bridge.vlan_aware:
            vids |= {x.vlan for x in site.networks.values() if x.vlan is not None}
    return (network for vid in sorted(vids) if (network := site.network_of_vlan(vid)) is not None)


def _guest_end(
    site: Site, host: Host, guest: str, own: Sequence[ResolvedNetwork], notes: list[Note], state: HostState | None
) -> End:
    nics: list[EndNic] = []
    for nic in site.guests[guest].nics:
        if nic.vlans:
            text = f"NIC {nic.index} of {guest} is a trunk: its port gets the VLANs, but no tags are sent by the guest"
            notes.append(Note(kind="unsupported", subject=guest, text=text))
        network = site.network_of(nic)
        nics.append(
            EndNic(
                link=IfName(f"eth{nic.index}"),
                mac=nic.mac,
                addresses=nic.addresses,
                dhcp=nic.dhcp,
                network=network,
                segment=site.segment_of(nic),
                gateways=network.gateways if network else _host_gateways(nic, own),
                plug=nic,
                bridge=nic.master,
                mtu=_mtu(host, nic, state),
            )
        )
    return End(name=guest, nics=tuple(nics), routes=default_routes(nics))


def _host_gateways(nic: GuestNic, own: Sequence[ResolvedNetwork]) -> tuple[IpAddress, ...]:
    """The host is the router of its virtual networks, but of an isolated one."""
    for one in own:
        if nic.virtual_network == one.name and one.mode is not Mode.ISOLATED:
            return tuple(address.ip for address in one.addresses)
    return ()


def _mtu(host: Host, nic: GuestNic, state: HostState | None) -> int:
    """As the plan wants it: of the bridge, else of the NIC below it, as declared or as it was found."""
    seen = {name: link.mtu for name, link in state.links.items()} if state else {}
    if nic.shared_nic:
        return host.nics[nic.shared_nic].mtu or seen.get(nic.shared_nic, 1500)
    if nic.bridge is None:
        return 1500
    bridge = host.bridges[nic.bridge]
    below = [x.mtu or seen.get(x.name) for x in host.uplink_nics(bridge)]
    return bridge.mtu or next(filter(None, below), 1500)


def _machine_end(site: Site, machine: str) -> End:
    nics = [
        EndNic(
            link=IfName(f"eth{index}"),
            mac=nic.mac or derive_mac(site.name, f"machine/{machine}", index),
            addresses=nic.addresses,
            dhcp=nic.dhcp,
            network=site.networks[nic.network],
            segment=nic.network,
            gateways=site.networks[nic.network].gateways,
            routes=nic.routes,
        )
        for index, nic in enumerate(site.machines[machine].nics)
    ]
    return End(name=machine, nics=tuple(nics), routes=default_routes(nics))


def default_routes(nics: Iterable[EndNic]) -> tuple[tuple[IfName, IpAddress], ...]:
    """For each family the first gateway that a NIC's own address can reach and that is not the end itself."""
    nics = tuple(nics)
    own = {address.ip for nic in nics for address in nic.addresses}
    routes: dict[int, tuple[IfName, IpAddress]] = {}
    for nic in nics:
        for gateway in nic.gateways:
            if gateway not in own and any(gateway in address.network for address in nic.addresses):
                routes.setdefault(gateway.version, (nic.link, gateway))
    return tuple(routes.values())
