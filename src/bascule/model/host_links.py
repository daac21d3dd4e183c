"""The links of a host as the site file declares them: NICs, bonds, VLAN links and bridges.

The host can speak on each of them in the same way, so what it says there is one value that all of them share.
"""

from __future__ import annotations

from enum import StrEnum

from msgspec import Struct

from bascule.errors import Place
from bascule.model.dhcp.offers import NOTHING, Unused
from bascule.model.links.mirror import Mirror
from bascule.model.links.wake_on_lan import Modes
from bascule.model.site_place import NOWHERE
from bascule.model.values import IfName, IpAddress, IpInterface, IpNetwork, Mac, Vid

MAIN_TABLE, DEFAULT_TABLE = 254, 253  # the tables that the kernel's own rules look up (linux/rtnetlink.h)
TABLE_NAMES = {None: "main", MAIN_TABLE: "main", DEFAULT_TABLE: "default"}

UNICAST, NOWHERE_TO = "unicast", ("blackhole", "unreachable", "prohibit", "throw")  # types of routes (ip-route(8))


def table_name(table: int | None) -> str:
    """A routing table as ip-route(8) shows it."""
    return TABLE_NAMES.get(table) or str(table)


class Ipv6(StrEnum):
    """How a link comes by its own IPv6 addresses, besides those that are written down."""

    OFF = "off"  # not even a link-local one, no router advertisement is listened to
    MANUAL = "manual"  # a link-local one, and no router advertisement is listened to
    AUTO = "auto"  # router advertisements decide
    DHCP = "dhcp"  # DHCPv6 whatever the advertisements say


LISTENING = frozenset({Ipv6.AUTO, Ipv6.DHCP})  # to router advertisements


class Ipv6Privacy(StrEnum):
    """Whether a link that listens to advertisements makes itself temporary addresses (RFC 8981), and uses them."""

    OFF = "off"
    PREFER_PUBLIC = "prefer-public"
    PREFER_TEMPORARY = "prefer-temporary"


TEMPORARY = {Ipv6Privacy.OFF: 0, Ipv6Privacy.PREFER_PUBLIC: 1, Ipv6Privacy.PREFER_TEMPORARY: 2}  # use_tempaddr


class SwitchPort(Struct, frozen=True, kw_only=True):
    """The cabling as it should be."""

    name: str
    port: str
    place: Place = NOWHERE


class StaticRoute(Struct, frozen=True, kw_only=True):
    """A network that lies behind a router, or on the link itself; ``metric`` and ``table`` None are the kernel's own.

    ``src`` is the address of its own from which the host sends there.
    """

    to: IpNetwork
    via: IpAddress | None = None
    metric: int | None = None
    table: int | None = None
    onlink: bool = False
    src: IpAddress | None = None
    place: Place = NOWHERE


class RouteHop(Struct, frozen=True, kw_only=True):
    """One of several ways of a route: a router, the link to it, and its share of the connections."""

    router: IpAddress
    link: IfName
    weight: int = 1
    onlink: bool = False  # it is a neighbour, whatever the link's addresses say

    @property
    def words(self) -> list[str]:
        """As ip-route(8) takes it, but for the flag ``onlink``."""
        share = ["weight", str(self.weight)] if self.weight != 1 else []
        return ["nexthop", "via", str(self.router), "dev", self.link, *share]


class HostRoute(Struct, frozen=True, kw_only=True):
    """A route that stands on no single link: one that leads nowhere, which ``type`` says, or by several routers."""

    to: IpNetwork
    type: str = UNICAST
    hops: tuple[RouteHop, ...] = ()
    metric: int | None = None
    table: int | None = None
    place: Place = NOWHERE

    @property
    def dst(self) -> str:
        """The network as a word."""
        return str(self.to)


RULE_ENDS = ("blackhole", "unreachable", "prohibit")  # rules that end the search for a route (ip-rule(8))


class PolicyRule(Struct, frozen=True, kw_only=True):
    """Policy routing: which packets use which routing table, or are not sent at all, which ``action`` says."""

    priority: int
    table: int | None = None  # None for a rule with an action
    action: str | None = None
    source: IpNetwork | None = None
    to: IpNetwork | None = None
    iif: str | None = None
    fwmark: str | None = None  # as the kernel prints it: 0x10, or 0x10/0xff
    oif: str | None = None
    ipproto: str | None = None
    sport: str | None = None  # a port, or a range of them
    dport: str | None = None
    uidrange: str | None = None
    inverted: bool = False  # it is for all packets but these
    suppress_prefixlength: int | None = None
    ipv6: bool = False
    place: Place = NOWHERE

    @property
    def selectors(self) -> tuple[tuple[str, str], ...]:
        """Which packets it is for, but for their addresses, in the words and the order of ip-rule(8)."""
        words = ("fwmark", "iif", "oif", "ipproto", "sport", "dport", "uidrange")
        said = [(word, value) for word in words if (value := getattr(self, word)) is not None]
        return tuple(sorted(said, key=lambda pair: pair[0] in {"sport", "dport"} and "-" in pair[1]))


class HostLink(Struct, frozen=True, kw_only=True):
    """A link on which the host may have addresses of its own. Without any it carries guests only.

    ``network`` is the network of the building on its wire, where the file names it. ``mac`` of a NIC pins the name to
    the hardware; any other link is given it. ``ipv6`` and ``ipv6_privacy`` None are left as they are.
    """

    name: IfName
    network: str | None = None
    addresses: tuple[IpInterface, ...] = ()
    dhcp: bool = False
    ipv6: Ipv6 | None = None
    ipv6_privacy: Ipv6Privacy | None = None
    gateways: tuple[IpAddress, ...] = ()
    metric: int | None = None  # of the gateways, and of what DHCP brings
    unused: Unused = NOTHING  # of what DHCP and advertisements bring
    onlink: bool = False  # the gateways are neighbours, whatever the addresses say
    routes: tuple[StaticRoute, ...] = ()
    dns: tuple[IpAddress, ...] = ()
    search: tuple[str, ...] = ()
    hooks: tuple[str, ...] = ()  # lines of its stanza of interfaces(5) that run a command, kept as they are
    mac: Mac | None = None
    mtu: int | None = None
    place: Place = NOWHERE

    @property
    def address_words(self) -> list[str]:
        """The host's own addresses here, and how it comes by further ones."""
        ways = {"DHCP": self.dhcp, "IPv6 by advertisements": self.ipv6 is Ipv6.AUTO, "DHCPv6": self.ipv6 is Ipv6.DHCP}
        return [*map(str, self.addresses), *(word for word, is_said in ways.items() if is_said)]

    @property
    def has_address(self) -> bool:
        """Whether the host itself speaks on this link."""
        return bool(self.addresses) or self.dhcp or self.ipv6 in LISTENING


class Nic(HostLink, frozen=True, kw_only=True):
    """A NIC of a host. ``wol`` are the packets that wake the machine by it; None: as they are."""

    path: str | None = None
    wol: Modes | None = None
    switch: SwitchPort | None = None


class Bond(HostLink, frozen=True, kw_only=True):
    """Several NICs as one. What is None is left as it is, or to Bascule where it makes the bond; times are in ms.

    ``nics_unknown`` is the place of ``unknown`` among its members: there are others, and nobody has said which.
    """

    nics: tuple[IfName, ...]
    nics_unknown: Place | None = None
    mode: str = "active-backup"
    miimon: int | None = None
    updelay: int | None = None
    downdelay: int | None = None
    hash_policy: str | None = None
    lacp_rate: str | None = None
    primary: IfName | None = None
    min_links: int | None = None
    ad_select: str | None = None
    primary_reselect: str | None = None
    arp_interval: int | None = None
    arp_ip_target: tuple[str, ...] | None = None
    arp_validate: str | None = None
    arp_all_targets: str | None = None
    fail_over_mac: str | None = None
    num_grat_arp: int | None = None
    resend_igmp: int | None = None
    all_slaves_active: bool | None = None
    packets_per_slave: int | None = None
    lp_interval: int | None = None  # in seconds
    by_kernel: bool = True  # else it is one port of the bridge over it, whoever makes that


class VlanLink(HostLink, frozen=True, kw_only=True):
    """A link that puts a tag on what it sends over another link."""

    link: IfName
    id: Vid
    protocol: str = "802.1Q"


class OpenVSwitch(Struct, frozen=True, kw_only=True):
    """What a bridge of Open vSwitch has beside what all bridges have; None is Open vSwitch's own choice."""

    rstp: bool = False
    fail_mode: str | None = None
    datapath: str | None = None
    mirrors: tuple[Mirror, ...] = ()


class Patch(Struct, frozen=True, kw_only=True):
    """One end of a cable between two bridges of a host: a patch port, or one end of a veth pair."""

    name: IfName
    peer: IfName
    to: IfName
    by_kernel: bool = False  # a veth pair
    place: Place = NOWHERE


class DeclaredPort(Struct, frozen=True, kw_only=True):
    """A link of the host under a bridge, and what the bridge keeps for it; the VLANs count on a VLAN-aware one.

    ``vlans`` are ranges that it carries tagged, ``pvid`` is the VLAN of what arrives untagged (None: the bridge's own
    choice, NO_VLAN: it is not taken); ``for_guests``: it carries the VLANs of the bridge's guests as well.
    """

    link: IfName
    vlans: tuple[tuple[Vid, Vid], ...] = ()
    pvid: Vid | None = None
    for_guests: bool = True
    path_cost: int | None = None
    port_priority: int | None = None
    port_flags: tuple[tuple[str, bool], ...] = ()  # those that the file says, by their names in BridgePort
    place: Place = NOWHERE


class Bridge(HostLink, frozen=True, kw_only=True):
    """A bridge of a host; ``uplink`` None means that it has no NIC on purpose.

    ``uplink_unknown`` is the place of ``uplink: unknown``: there is one, and nobody has said which. ``openvswitch`` is
    None of a bridge of the kernel. Times are in hundredths of a second, ``path_cost``, ``port_priority`` and
    ``port_flags`` those of the uplink's port; what is None is left as it is, or to Bascule where it makes the bridge.
    ``ports`` are further links of the host under it: they stand on the uplink's network. ``patches`` are its ends of
    cables to other bridges, whichever of both names the cable in the file.
    """

    uplink: IfName | None
    ports: tuple[DeclaredPort, ...] = ()
    uplink_unknown: Place | None = None
    from_uplink: bool = False
    vlan: Vid | None = None
    vlan_aware: bool = False
    vlans: tuple[tuple[Vid, Vid], ...] = ()  # ranges that the uplink's port carries tagged beside those of guests
    pvid: Vid | None = None  # the VLAN of what arrives untagged there; None: 1, NO_VLAN: it is not taken
    native_tagged: bool = False  # frames of that VLAN leave with its tag
    stp: bool = False
    priority: int | None = None
    forward_delay: int | None = None
    hello: int | None = None
    max_age: int | None = None
    ageing: int | None = None
    path_cost: int | None = None
    port_priority: int | None = None
    port_flags: tuple[tuple[str, bool], ...] = ()
    snooping: bool | None = None
    querier: bool | None = None
    openvswitch: OpenVSwitch | None = None
    patches: tuple[Patch, ...] = ()

    @property
    def by_kernel(self) -> bool:
        """Whether the kernel makes it and forwards its frames."""
        return self.openvswitch is None

    @property
    def traits(self) -> tuple[str, ...]:
        """What tells it from a plain bridge, for people."""
        switch = self.openvswitch
        told = (
            ("Open vSwitch", switch is not None),
            ("VLAN-aware", self.vlan_aware),
            ("STP", self.stp),
            ("RSTP", switch is not None and switch.rstp),
        )
        return (*(words for words, on in told if on), *(mirror.words for mirror in self.mirrors))

    @property
    def mirrors(self) -> tuple[Mirror, ...]:
        """Whose frames are copied to whom; none of a bridge of the kernel."""
        return self.openvswitch.mirrors if self.openvswitch is not None else ()

    @property
    def in_userspace(self) -> bool:
        """Whether a process moves its frames, while the kernel goes on hearing them."""
        return self.openvswitch is not None and self.openvswitch.datapath == "netdev"

    @property
    def native(self) -> Vid:
        """The VLAN inside a VLAN-aware bridge of what bears no tag: Open vSwitch keeps it apart from all VLANs."""
        return Vid(1 if self.openvswitch is None else 0)

    @property
    def port(self) -> IfName | None:
        """The link that is enslaved: the uplink itself or the VLAN link on it (``eth4.30``)."""
        if self.uplink is None or self.vlan is None or self.vlan_aware:
            return self.uplink
        return IfName(f"{self.uplink}.{self.vlan}")

    @property
    def every_port(self) -> tuple[DeclaredPort, ...]:
        """The links of the host that are enslaved, the uplink (or the VLAN link on it) first."""
        if self.port is None:
            return self.ports
        first = DeclaredPort(
            link=self.port,
            vlans=self.vlans,
            pvid=self.pvid,
            path_cost=self.path_cost,
            port_priority=self.port_priority,
            port_flags=self.port_flags,
            place=self.place,
        )
        return (first, *self.ports)

    @property
    def ports_out(self) -> tuple[IfName, ...]:
        """The links by which frames leave it for somebody who is no guest of its own: to the wire, by a cable."""
        return (*(port.link for port in self.every_port), *(patch.name for patch in self.patches))

    @property
    def has_address(self) -> bool:
        """Whether the host itself speaks on this bridge."""
        return super().has_address or self.from_uplink
