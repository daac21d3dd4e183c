"""What the twin is made of: the topology's guests, machines and cables, with a name for each link (pure)."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence

from msgspec import Struct, field

from bascule.model.links import Physical
from bascule.model.site import GuestNic, Host, Network, Site
from bascule.model.state import HostState
from bascule.model.values import IFNAME_MAX, IfName, Mac, Vid, derive_mac, tap_mac
from bascule.plan.change import Note
from bascule.plan.virtual_network import ResolvedNetwork, resolved_networks
from bascule.topology.declared import networks_on
from bascule.topology.endpoints import Endpoint, guest_endpoint, machine_endpoint

SWITCH_MTU = 9216  # bytes: a switch passes every frame that a host may be set to send


class Cable(Struct, frozen=True, kw_only=True):
    """From a NIC to the building: ``port`` is its name there, ``native`` the network that it is on untagged.

    ``mtu`` is what the NIC has, ``passes`` what the port of the switch takes, in bytes.
    """

    node: str
    link: IfName
    port: IfName
    mac: Mac | None = None
    mtu: int | None = None
    passes: int = SWITCH_MTU
    native: str | None = None
    tagged: tuple[str, ...] = ()


class ExistingTap(Struct, frozen=True, kw_only=True):
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
    guests: Mapping[str, Endpoint] = field(default_factory=dict)
    machines: Mapping[str, Endpoint] = field(default_factory=dict)
    taps: tuple[ExistingTap, ...] = ()
    notes: tuple[Note, ...] = ()


class LinkNames:
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
    names = LinkNames()
    switches = {name: names.give(name) for name in site.networks}
    own = {host.name: resolved_networks(site, host) for host in chosen}
    guests = {
        guest.name: guest_endpoint(site, guest.name, observed.get(host.name))
        for host in chosen
        for guest in site.guests_on(host.name)
    }
    machines = {name: machine_endpoint(site, name) for name in site.machines}
    played = {(site.guests[end.name].host, nic.tap): nic for end in guests.values() for nic, *_ in end.plugs}
    cables: list[Cable] = []
    taps: list[ExistingTap] = []
    for host in chosen:
        state = observed.get(host.name)
        for cable in _host_cables(site, host, state, names):
            if nic := played.get((host.name, cable.link)):
                mac = cable.mac or tap_mac(nic.mac)
                taps.append(ExistingTap(host=host.name, nic=nic, mac=mac, mtu=cable.mtu or 1500))
            else:
                cables.append(cable)
    for name, end in machines.items():
        for played_nic in end.nics:
            port = names.give(f"{name}.{played_nic.link.removeprefix('eth')}")
            native = played_nic.network.name if played_nic.network else None
            passes = _passes([played_nic.network] if played_nic.network else [])
            cables.append(
                Cable(
                    node=name,
                    link=played_nic.link,
                    port=port,
                    mac=played_nic.mac,
                    mtu=played_nic.mtu,
                    passes=passes,
                    native=native,
                )
            )
    return Wiring(
        switches=switches,
        vids={name: network.vlan for name, network in site.networks.items() if network.vlan is not None},
        cables=tuple(cables),
        resolved_networks=own,
        guests=guests,
        machines=machines,
        taps=tuple(taps),
        notes=tuple(_trunks(guests.values())),
    )


def _host_cables(site: Site, host: Host, state: HostState | None, names: LinkNames) -> Iterator[Cable]:
    """Each declared NIC, and each observed link that no plan can make (hardware, taps, foreign kinds)."""
    links = dict(state.links) if state else {}
    for index, (name, nic) in enumerate(host.nics.items()):
        seen = links.pop(name, None)
        native, tagged = networks_on(site, host, name)
        yield Cable(
            node=host.name,
            link=name,
            port=names.give(f"{host.name}.{name}"),
            mac=nic.mac or (seen.mac if seen else None) or derive_mac(site.name, f"host/{host.name}", index),
            mtu=seen.mtu if seen else None,
            passes=_passes([*([native] if native is not None else []), *tagged]),
            native=native.name if native is not None else None,
            tagged=tuple(network.name for network in tagged),
        )
    for name, link in links.items():
        if not link.is_makeable and link.options.kind != "loopback":
            wish = f"{host.name}.{name}" if isinstance(link.options, Physical) else f"{host.name}~{name}"
            yield Cable(node=host.name, link=name, port=names.give(wish), mac=link.mac, mtu=link.mtu)


def _passes(networks: Sequence[Network]) -> int:
    """The largest packet that a port of a switch takes; any where a network does not say it."""
    return max((network.mtu or SWITCH_MTU for network in networks), default=SWITCH_MTU)


def _trunks(guests: Iterable[Endpoint]) -> Iterator[Note]:
    for guest in guests:
        for index, nic in enumerate(guest.nics):
            if nic.plug is not None and nic.plug.vlans:
                text = f"NIC {index} of {guest.name} is a trunk: its port gets the VLANs, but "
                text += "no tags are sent by the guest"
                yield Note(kind="unsupported", subject=guest.name, text=text)
