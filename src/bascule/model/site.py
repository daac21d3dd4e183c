"""What the person meant: the site file as frozen values, every reference resolved and every default filled in.

Each value that stands in the file knows its place there (``place``), which never takes part in comparison.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from enum import StrEnum
from functools import cached_property

from msgspec import Struct, field

from bascule.errors import Place
from bascule.model.guarding import Bandwidth, Guarding
from bascule.model.host_link_stack import HostLinks
from bascule.model.host_links import HostLink, StaticRoute
from bascule.model.site_place import NOWHERE, SiteSource
from bascule.model.values import IfName, IpAddress, IpInterface, IpNetwork, Mac, Service, Vid, bridge_name, grouped


class Verdict(StrEnum):
    """What an expectation says."""

    REACH = "reach"
    NO_REACH = "no-reach"


class Mode(StrEnum):
    """libvirt's modes of a virtual network."""

    NAT = "nat"
    ROUTED = "routed"
    ISOLATED = "isolated"
    OPEN = "open"


class PlugKind(StrEnum):
    """What a guest NIC is plugged into."""

    BRIDGE = "bridge"
    NETWORK = "network"
    DIRECT = "direct"


class Attachment(Struct, frozen=True):
    """What a guest NIC is plugged into: a bridge, a virtual network of its host, or a NIC that it shares (macvtap)."""

    kind: PlugKind
    into: str

    def __str__(self) -> str:
        return f"{self.kind.value} {self.into}"


class Network(Struct, frozen=True, kw_only=True):
    """A layer-2 network that exists in the building; ``vlan`` where it arrives tagged, ``mtu`` where it is said."""

    name: str
    subnets: tuple[IpNetwork, ...] = ()
    gateways: tuple[IpAddress, ...] = ()
    vlan: Vid | None = None
    mtu: int | None = None
    place: Place = NOWHERE


class DhcpRange(Struct, frozen=True, kw_only=True):
    """The addresses that a DHCP server hands out, both ends included."""

    first: IpAddress
    last: IpAddress
    place: Place = NOWHERE

    def __str__(self) -> str:
        return f"{self.first}-{self.last}"


class Forward(Struct, frozen=True, kw_only=True):
    """A port of the host that leads to a guest behind NAT."""

    host_port: int
    guest: str
    service: Service
    place: Place = NOWHERE

    @property
    def host_ports(self) -> range:
        """The ports on the host's side; a range keeps its width there."""
        return range(self.host_port, self.host_port + len(self.service.ports))


class VirtualNetwork(Struct, frozen=True, kw_only=True):
    """A host-only network in one of libvirt's modes."""

    name: str
    mode: Mode
    subnets: tuple[IpNetwork, ...] = ()
    dhcp: DhcpRange | None = None
    mtu: int | None = None
    forwards: tuple[Forward, ...] = ()
    place: Place = NOWHERE


class Host(HostLinks, frozen=True, kw_only=True):
    """A machine that runs guests."""

    name: str
    memory: int | None = None  # bytes
    persist: str | None = None
    as_found: bool = False
    virtual_networks: Mapping[str, VirtualNetwork] = field(default_factory=dict)
    serves: tuple[Service, ...] = ()
    place: Place = NOWHERE


class SwitchedNic(Struct, frozen=True, kw_only=True):
    """How a NIC stands on a bridge that the kernel does not make.

    With ``untagged`` None and no ``tagged`` its port carries all. ``untagged`` is the VLAN of what it sends without a
    tag, 0 for the one that is no VLAN; ``native_tagged``: it gets frames of that VLAN with its tag.
    """

    untagged: int | None = None
    tagged: tuple[tuple[Vid, Vid], ...] = ()
    native_tagged: bool = False

    @property
    def words(self) -> str:
        """Its VLANs as a domain's definition has them: ``10 untagged, 20``; nothing where its port carries all."""
        own = [] if self.untagged is None else [str(self.untagged)]
        if own and self.tagged:
            own = [f"{self.untagged} {'tagged' if self.native_tagged else 'untagged'}"]
        rest = (vid for first, last in self.tagged for vid in range(first, last + 1) if vid != self.untagged)
        return ", ".join([*own, *map(str, rest)])


class GuestNic(Struct, frozen=True, kw_only=True):
    """A NIC of a guest. ``mac`` and ``tap`` are always filled; ``mac_given`` says whether the file named the MAC."""

    guest: str
    index: int
    plug: PlugKind
    into: str  # the bridge, virtual network or NIC
    mac: Mac
    tap: IfName
    mac_given: bool = False
    next_tap: IfName | None = None  # from its guest's next start on, where it is another than now
    addresses: tuple[IpInterface, ...] = ()
    dhcp: bool = False
    vlan: Vid | None = None
    vlans: tuple[tuple[Vid, Vid], ...] = ()  # ranges of a trunk
    guarding: Guarding = Guarding()
    switched: SwitchedNic | None = None  # of a bridge that is not the kernel's alone
    bandwidth: Bandwidth = Bandwidth()
    place: Place = NOWHERE

    @property
    def attachment(self) -> Attachment:
        """What it is plugged into, as one value."""
        return Attachment(self.plug, self.into)

    @property
    def bridge(self) -> IfName | None:
        """The bridge that the file names; None on a virtual network and where it shares a NIC."""
        return IfName(self.into) if self.plug is PlugKind.BRIDGE else None

    @property
    def virtual_network(self) -> str | None:
        """The virtual network of its host that it is plugged into; None elsewhere."""
        return self.into if self.plug is PlugKind.NETWORK else None

    @property
    def shared_nic(self) -> IfName | None:
        """The NIC of its host that it shares by macvtap; None where its tap is a port of a bridge."""
        return IfName(self.into) if self.plug is PlugKind.DIRECT else None

    @property
    def by_kernel(self) -> bool:
        """Whether the kernel forwards its frames, by its rules and queues; else whoever makes its bridge."""
        return self.switched is None

    @property
    def native_tagged(self) -> bool:
        """Whether what leaves its trunk in the native VLAN bears its tag."""
        return self.switched is not None and self.switched.native_tagged

    @property
    def master(self) -> IfName | None:
        """The bridge that its tap is a port of, by Bascule's name for it; None where it shares a NIC."""
        return bridge_name(self.into) if self.plug is PlugKind.NETWORK else self.bridge


class Guest(Struct, frozen=True, kw_only=True):
    """A virtual server."""

    name: str
    host: str
    memory: int | None = None  # bytes
    vcpus: int = 1
    disks: tuple[str, ...] = ()  # image files or block devices, in the order of their names in the guest
    iso: str | None = None
    kernel: str | None = None  # started without a boot loader; `initrd` and `cmdline` belong to it
    initrd: str | None = None
    cmdline: str = ""
    nics: tuple[GuestNic, ...] = ()
    autostart: bool | None = None  # with the host, by libvirt; None: as it is
    serves: tuple[Service, ...] = ()
    place: Place = NOWHERE


class MachineNic(Struct, frozen=True, kw_only=True):
    """A machine's NIC in a network."""

    network: str
    addresses: tuple[IpInterface, ...] = ()
    dhcp: bool = False
    mac: Mac | None = None
    mtu: int | None = None
    routes: tuple[StaticRoute, ...] = ()
    place: Place = NOWHERE


class DhcpServer(Struct, frozen=True, kw_only=True):
    """A DHCP (and DNS) server that a machine runs on one network."""

    network: str
    range: DhcpRange
    place: Place = NOWHERE


class Masquerade(Struct, frozen=True, kw_only=True):
    """Who may go out through a machine under the machine's own address."""

    sources: tuple[str, ...]  # guests, machines, hosts or networks
    to: str  # a network
    place: Place = NOWHERE


class Flow(Struct, frozen=True, kw_only=True):
    """What a machine lets through under the senders' own addresses; ``service`` None stands for all."""

    sources: tuple[str, ...] = ()  # guests, machines, hosts or networks; none stands for everybody
    targets: tuple[str, ...] = ()
    service: Service | None = None
    place: Place = NOWHERE

    @property
    def is_everything(self) -> bool:
        """Whether it is everybody's to everybody, by every service."""
        return not self.sources and not self.targets and self.service is None

    def __str__(self) -> str:
        if not self.sources and not self.targets:
            return str(self.service or "all")
        service = f" {self.service}" if self.service else ""
        return f"{' '.join(self.sources) or 'all'} → {' '.join(self.targets) or 'all'}{service}"


class Machine(Struct, frozen=True, kw_only=True):
    """What else is on the networks: never touched, played in the twin.

    A machine on several networks lets through what ``masquerade`` and ``forwards`` say. Where neither stands, nobody
    has said whether it routes.
    """

    name: str
    nics: tuple[MachineNic, ...] = ()
    dhcp: DhcpServer | None = None
    masquerade: Masquerade | None = None
    forwards: tuple[Flow, ...] | None = None  # None: the file does not say
    serves: tuple[Service, ...] = ()
    place: Place = NOWHERE

    @property
    def let_through(self) -> tuple[str, ...]:
        """Everybody whom ``masquerade`` and ``forwards`` name."""
        flows = self.forwards or ()
        hidden = self.masquerade.sources if self.masquerade is not None else ()
        return tuple(dict.fromkeys((*hidden, *(name for flow in flows for name in (*flow.sources, *flow.targets)))))

    @property
    def may_route(self) -> bool:
        """Whether it stands on several networks and nobody has said whether it routes between them."""
        return len({nic.network for nic in self.nics}) > 1 and self.masquerade is None and self.forwards is None


class Expectation(Struct, frozen=True, kw_only=True):
    """One access criterion: who must, or must not, reach whom."""

    source: str
    target: str
    service: Service
    verdict: Verdict
    seen_as: str | None = None
    place: Place = NOWHERE


class Site(Struct, frozen=True, kw_only=True, dict=True):
    """The whole file."""

    name: str
    networks: Mapping[str, Network] = field(default_factory=dict)
    hosts: Mapping[str, Host] = field(default_factory=dict)
    guests: Mapping[str, Guest] = field(default_factory=dict)
    machines: Mapping[str, Machine] = field(default_factory=dict)
    expectations: tuple[Expectation, ...] = ()
    source: SiteSource = SiteSource()

    def guests_on(self, host: str) -> Iterator[Guest]:
        """The guests of one host, in the order of the file."""
        return (guest for guest in self.guests.values() if guest.host == host)

    def guest_nics(self, host: str) -> Iterator[GuestNic]:
        """The NICs of all guests of one host, in the order of the file."""
        return (nic for guest in self.guests_on(host) for nic in guest.nics)

    def nics_on(self, host: str, into: str, plug: PlugKind = PlugKind.BRIDGE) -> tuple[GuestNic, ...]:
        """The NICs of guests that are plugged into a bridge of a host, or whatever it is, in the order of the file."""
        return tuple(self._nics_by_attachment.get((host, Attachment(plug, into)), ()))

    @cached_property
    def nics_with_permissions(self) -> tuple[GuestNic, ...]:
        """The NICs that may do what a guard denies to others."""
        return tuple(nic for nic in self._every_nic() if nic.guarding.may)

    @cached_property
    def _nics_by_attachment(self) -> Mapping[tuple[str, Attachment], list[GuestNic]]:
        return grouped(((self.guests[nic.guest].host, nic.attachment), nic) for nic in self._every_nic())

    @cached_property
    def _isolated_by_segment(self) -> Mapping[str | None, list[GuestNic]]:
        return grouped((self.segment_of(nic), nic) for nic in self._every_nic() if nic.guarding.isolated)

    def _every_nic(self) -> Iterator[GuestNic]:
        return (nic for guest in self.guests.values() for nic in guest.nics)

    def network_of_link(self, host: Host, name: str | None) -> Network | None:
        """The building's network on a link: the one that it or a NIC below it names, or the one of its VLAN."""
        if not name or not self.networks or (link := host.link(name)) is None:
            return None
        known = self._networks_of_links if host is self.hosts.get(host.name) else {}
        if (key := (host.name, link.name)) not in known:
            found = (self.network_below(host, each) for each in host.joined(link))
            known[key] = next((network for network in found if network is not None), None)
        return known[key]

    @cached_property
    def _networks_of_links(self) -> dict[tuple[str, str], Network | None]:
        return {}  # those that were asked for already: each guest on a bridge asks for the bridge's

    def network_below(self, host: Host, link: HostLink) -> Network | None:
        """The one that a link or what it sits on names."""
        if link.network is not None:
            return self.networks.get(link.network)
        if tags := host.tags(link.name):
            return self.network_of_vlan(tags[-1]) if len(tags) == 1 else None
        below = (self.network_of_link(host, each) for each in host.below(link))
        return next(filter(None, below), None)

    def network_of_vlan(self, vid: Vid) -> Network | None:
        """The building's network that arrives with this tag."""
        return next((network for network in self.networks.values() if network.vlan == vid), None)

    def network_at(self, host: Host, plug: Attachment, vlan: Vid | None, *, is_trunk: bool) -> Network | None:
        """The building's network in which what a guest sends untagged arrives; None where it is none, or not known."""
        if plug.kind is PlugKind.DIRECT:
            return self.network_of_link(host, plug.into)
        bridge = host.bridges.get(IfName(plug.into)) if plug.kind is PlugKind.BRIDGE else None
        if bridge is None or host.is_alone(bridge):
            return None
        if vlan is None:
            return None if is_trunk else self.network_of_link(host, bridge.name)
        return self.network_of_vlan(vlan)

    def network_of(self, nic: GuestNic) -> Network | None:
        """The building's network that a guest NIC stands on.

        None behind a virtual network or a bridge without NIC, and where it only gets the copies of a mirror.
        """
        host, is_trunk = self.hosts[self.guests[nic.guest].host], bool(nic.vlans)
        return None if nic.tap in host.listeners else self.network_at(host, nic.attachment, nic.vlan, is_trunk=is_trunk)

    def segment_of(self, nic: GuestNic) -> str | None:
        """What the broadcast domain of a guest NIC is called: the building's network, or a host's virtual one."""
        if nic.virtual_network is not None:
            return virtual_segment(self.guests[nic.guest].host, nic.virtual_network)
        network = self.network_of(nic)
        return network.name if network else None

    def kept_apart(self, nic: GuestNic) -> Iterator[GuestNic]:
        """The NICs of isolated guests that it must not meet, on whatever host: all but those of its own group."""
        group = nic.guarding.group
        others = self._isolated_by_segment[self.segment_of(nic)] if nic.guarding.isolated else ()
        return (one for one in others if one.guest != nic.guest and not (group and one.guarding.group == group))


def virtual_segment(host: str, network: str) -> str:
    """What the broadcast domain of a virtual network is called; no network of the building can be called so."""
    return f"{network} of {host}"
