"""What a host's network is, in the kernel's own terms, as one frozen value.

The same type says what is (observed), what shall be (wanted) and what was (checkpoint), so there is one diff.
Facts that belong to the moment and not to the configuration (carrier, indexes, remaining lifetimes) are values of
their own, which take no part in comparison.
"""

from __future__ import annotations

import copyreg
from collections.abc import Iterable, Mapping
from functools import cached_property
from itertools import pairwise
from types import MappingProxyType
from typing import Any

from msgspec import Struct, field
from msgspec.structs import force_setattr

from bascule.model.kernel_parameters import FORWARDING
from bascule.model.links import Bridge, BridgePort, LinkOptions, Veth
from bascule.model.ruleset.rules import AnyTable
from bascule.model.values import IfName, Mac, span_words
from bascule.model.volatile import FOREVER, Lifetime, Volatile

MARK = "bascule:"  # begins what marks a link (its alias) or a table as Bascule's; nothing without it is ever deleted
ROUTING_DAEMONS = frozenset(
    {"zebra", "bird", "bgp", "ospf", "isis", "rip", "eigrp", "babel", "openr", "gated", "xorp"}
)  # the protocols of their routes (rt_protos of iproute2), which come and go as their neighbours say
DEFAULT_DST = {4: "0.0.0.0/0", 6: "::/0"}  # of a default route, by the family
OWN_PROTOCOL = "66"  # of routes and rules that Bascule makes (rtm_protocol; unassigned in iproute2's rt_protos)

DIES_WITH_ITS_PARENT = {"vlan", "macvlan", "macvtap", "ipvlan", "ipvtap", "macsec", "vxlan"}
BY_SECRET = {"stable_secret", "random"}  # values of addrgenmode that make addresses from a secret (RFC 7217)


class Address(Struct, frozen=True, kw_only=True, order=True):
    """An address on a link: ``ip`` is written with its prefix length, as in 192.168.1.10/24.

    ``dynamic`` ones have a lifetime (a DHCP lease, SLAAC), which some routers advertise as endless.
    """

    ip: str
    scope: str = "global"
    broadcast: str = ""
    peer: str = ""
    label: str = ""
    metric: int = 0
    flags: tuple[str, ...] = ()  # of noprefixroute, nodad, home, mngtmpaddr, autojoin, temporary, deprecated…
    dynamic: bool = False
    lifetime: Lifetime = FOREVER

    @property
    def local(self) -> str:
        """The address without its prefix length, which ip-address(8) calls so in its JSON."""
        return self.ip.partition("/")[0]

    @property
    def is_ipv6(self) -> bool:
        """Whether it is one of IPv6."""
        return ":" in self.ip

    @property
    def is_leased(self) -> bool:
        """Of IPv4 with an end, which a DHCP server has set."""
        return self.dynamic and not self.is_ipv6

    @property
    def is_temporary(self) -> bool:
        """Made by the kernel for a while, beside an address that manages it (RFC 8981)."""
        return "temporary" in self.flags

    @property
    def is_link_local(self) -> bool:
        """Made by the kernel on its own (fe80::/10)."""
        return self.ip.startswith("fe80:")


class RouteFacts(Volatile, frozen=True, kw_only=True):
    """What is seen with a route.

    ``nexthop_id`` is the next-hop object (ip-nexthop(8)) that it uses, 0 for none: whoever made it keeps it. ``place``
    is how many others stand before it in its slot: the first leads.
    """

    nexthop_id: int = 0
    place: int = 0


DEFAULT_DST = {4: "0.0.0.0/0", 6: "::/0"}  # the destination of the default route, by IP version


class Route(Struct, frozen=True, kw_only=True, order=True):
    """A route that the kernel did not make by itself. ``dst`` is a prefix, that of ``DEFAULT_DST`` for the default."""

    dst: str
    dev: str = ""
    gateway: str = ""
    table: str = "main"
    metric: int = 0
    prefsrc: str = ""
    protocol: str = "boot"
    scope: str = "global"
    kind: str = "unicast"
    flags: tuple[str, ...] = ()  # onlink…
    nexthops: tuple[str, ...] = ()  # of a multipath route, each as `nexthop …` words of ip-route(8)
    extra: tuple[str, ...] = ()  # further words for `ip route add` (mtu 1400…)
    lifetime: Lifetime = FOREVER
    facts: RouteFacts = RouteFacts()

    @property
    def is_ipv6(self) -> bool:
        """The family follows from the destination."""
        return ":" in self.dst

    @property
    def is_default(self) -> bool:
        """Whether it leads everywhere."""
        return self.dst in {"0.0.0.0/0", "::/0"}

    @property
    def destination(self) -> str:
        """Where it leads, as ip-route(8) prints it."""
        return "default" if self.is_default else self.dst

    @property
    def is_ours(self) -> bool:
        """Whether Bascule made it; the agent of Google's cloud makes those to local addresses under the same number."""
        return self.protocol == OWN_PROTOCOL and self.kind != "local"

    @property
    def tos(self) -> str:
        """The type of service that it is for; empty for any."""
        return dict(zip(self.extra[::2], self.extra[1::2], strict=False)).get("tos", "")

    @property
    def slot(self) -> tuple[str, str, int, str]:
        """What `ip route replace` goes by: a route that is set there overwrites the first that is."""
        return self.dst, self.table, self.metric, self.tos

    @property
    def hops(self) -> tuple[tuple[str, str], ...]:
        """The gateway (or nothing) and the link of each way that it leads by."""
        said = [dict(pairwise(hop.split())) for hop in self.nexthops]
        hops = tuple((words.get("via", ""), words.get("dev", "")) for words in said)
        return ((self.gateway, self.dev), *hops) if self.dev else hops


class RoutingRule(Struct, frozen=True, kw_only=True, order=True):
    """A policy routing rule (ip-rule(8)), as the words that would make it."""

    priority: int
    words: tuple[str, ...]
    ipv6: bool = False

    @property
    def name(self) -> str:
        """What a plan calls it."""
        return f"{'IPv6 ' if self.ipv6 else ''}rule {self.priority}"


class FixedNeighbour(Struct, frozen=True, kw_only=True, order=True):
    """A neighbour that somebody has set, or one for whom a link answers (``proxy``, which has no MAC).

    ``flags`` are words of ip-neighbour(8): ``router``, ``extern_learn`` of a program that learns for the kernel,
    ``noarp`` of one that is never asked for; ``managed`` ones, which the kernel looks for again and again, have no MAC.
    """

    ip: str
    dev: str
    mac: str = ""
    proxy: bool = False
    flags: tuple[str, ...] = ()

    @property
    def words(self) -> tuple[str, ...]:
        """What makes it, after `ip neigh replace`."""
        if self.proxy:
            return "proxy", self.ip, "dev", self.dev, *self.flags
        if "managed" in self.flags:
            return self.ip, "dev", self.dev, *self.flags
        kind = "noarp" if "noarp" in self.flags else "permanent"
        rest = (word for word in self.flags if word != "noarp")
        return self.ip, "lladdr", self.mac, "dev", self.dev, "nud", kind, *rest


class PortVlans(Struct, frozen=True, kw_only=True, order=True):
    """A range of VLANs on a bridge port or on the bridge itself."""

    first: int
    last: int
    pvid: bool = False
    untagged: bool = False

    @property
    def span(self) -> str:
        """``10`` or ``10-20``."""
        return span_words(self.first, self.last)


def vlan_ranges(vlans: Mapping[int, tuple[bool, bool]]) -> list[PortVlans]:
    """VLANs, each with whether it is the PVID and leaves untagged: neighbours with the same flags together.

    The kernel takes no range with a PVID in it.
    """
    found: list[PortVlans] = []
    for vid, (pvid, untagged) in sorted(vlans.items()):
        last = found[-1] if found else None
        if last and last.last == vid - 1 and not pvid and not last.pvid and last.untagged == untagged:
            found[-1] = PortVlans(first=last.first, last=vid, untagged=untagged)
        else:
            found.append(PortVlans(first=vid, last=vid, pvid=pvid, untagged=untagged))
    return found


def tagged_vlans(vids: Iterable[int]) -> list[PortVlans]:
    """VLANs that leave tagged, as few ranges."""
    return vlan_ranges(dict.fromkeys(vids, (False, False)))


def vlan_numbers(ranges: Iterable[tuple[int, int]]) -> set[int]:
    """Each VLAN of some ranges."""
    return {vid for first, last in ranges for vid in range(first, last + 1)}


def default_vlans(pvid: int) -> tuple[PortVlans, ...]:
    """What the kernel gives to every port that joins a bridge, and to the bridge itself (``vlan_default_pvid``)."""
    return (PortVlans(first=pvid, last=pvid, pvid=True, untagged=True),) if pvid else ()


class LinkFacts(Volatile, frozen=True, kw_only=True):
    """What a link shows of itself at the moment, and of its hardware.

    ``temporaries`` are its temporary IPv6 addresses (RFC 8981): the kernel makes and ends them beside their parent.
    ``unread`` are the words of options that no field of its kind holds: where a tunnel leads, a bond's rarer ones.
    ``queue`` is its root queue if that lets through only so much (tc(8)), ``unrouted`` are those routes that the kernel
    makes for its addresses and that somebody has taken away, ``behind`` the subnets to which the kernel's route by
    another link comes first, ``deprecated`` the addresses that are used no more for what the host begins. ``function``
    is of a virtual function of SR-IOV: its NIC, its number there, and what that does not let through, empty where all
    passes. ``protodown``: a program holds it down, whatever its cable says. ``mirrors``: a switch copies these frames,
    in words. ``token`` is the second half that somebody has set for the IPv6 addresses that it makes (ip-token(8)),
    where it has made one. ``xdp`` are the programs that see what comes in before the kernel does.
    """

    index: int = 0
    carrier: bool = False
    operstate: str = ""
    stp_port_state: str = ""
    permanent_mac: Mac | None = None
    bus: str = ""  # "pci/0000:03:00.0" of hardware
    wireless: bool = False
    unread: str = ""
    temporaries: tuple[Address, ...] = ()
    queue: str = ""
    unrouted: tuple[str, ...] = ()
    behind: tuple[str, ...] = ()
    token: str = ""
    xdp: tuple[str, ...] = ()
    deprecated: tuple[str, ...] = ()
    function: tuple[str, ...] = ()
    protodown: bool = False
    mirrors: tuple[str, ...] = ()


class Link(Struct, frozen=True, kw_only=True):
    """One network interface."""

    name: IfName
    options: LinkOptions
    up: bool = False
    mac: Mac | None = None
    mtu: int = 1500
    master: IfName | None = None
    parent: IfName | None = None  # what a VLAN or macvtap sits on; the peer of a veth in the same namespace
    port: BridgePort | None = None
    vlans: tuple[PortVlans, ...] = ()
    addresses: tuple[Address, ...] = ()
    addrgenmode: str = "eui64"
    alias: str = ""
    altnames: tuple[str, ...] = ()
    arp: bool = True  # off: it resolves nobody's address and answers nobody, by ARP or by neighbour discovery
    multicast: bool = True  # off: programs that ask for multicast on it get none (ip-link(8))
    group: str = "default"  # ip-link(8): links of one group can be deleted in one go
    facts: LinkFacts = LinkFacts()

    @property
    def hardware_mac(self) -> Mac | None:
        """The MAC that the hardware came with, where the kernel tells it; else the one that the link has."""
        return self.facts.permanent_mac or self.mac

    @property
    def is_bridge(self) -> bool:
        """Whether other links can be its ports."""
        return isinstance(self.options, Bridge)

    @property
    def stands_on(self) -> IfName | None:
        """The link without which it cannot be: the kernel deletes both together."""
        kind = getattr(self.options, "info_kind", "") or self.options.kind
        if kind not in DIES_WITH_ITS_PARENT or self.parent is not None:
            return self.parent if kind in DIES_WITH_ITS_PARENT else None
        words = self.facts.unread.split()  # of a tunnel the kernel tells it among the options
        return next(
            (IfName(after) for word, after in zip(words[::2], words[1::2], strict=False) if word == "link"), None
        )

    @property
    def is_ours(self) -> bool:
        """Whether it carries Bascule's mark."""
        return self.alias.startswith(MARK)

    @property
    def is_makeable(self) -> bool:
        """Whether a plan makes it; of veth pairs, which are guests' and containers' as a rule, ours alone."""
        return self.options.virtual or (isinstance(self.options, Veth) and self.is_ours)


def _frozen(mapping: Mapping[Any, Any]) -> MappingProxyType[Any, Any]:
    return MappingProxyType(dict(mapping))


copyreg.pickle(MappingProxyType, lambda view: (_frozen, (dict(view),)))  # for pickle and copy.deepcopy


class HostState(Struct, frozen=True, kw_only=True, dict=True):
    """A host's network: links by name, routes, rules, the sysctls that were asked for, nft's tables, and more.

    ``neighbours`` are those that somebody has set: what the kernel learns is of the moment. ``lost_rules`` are the
    policy rules that every kernel starts with and that somebody has taken away.

    ``sysctls`` maps a path below /proc/sys with slashes (``net/ipv4/ip_forward``) to its text. ``tables`` maps
    ``family name`` of each table of nftables to its rules, or to what is seen of a table of others. ``parts`` has what
    further providers keep (libvirt, qemu, dnsmasq), by their names; one that was not asked has no entry, for unknown is
    not empty.
    """

    links: Mapping[IfName, Link] = field(default_factory=lambda: MappingProxyType({}))
    routes: tuple[Route, ...] = ()
    rules: tuple[RoutingRule, ...] = ()
    lost_rules: tuple[RoutingRule, ...] = ()
    neighbours: tuple[FixedNeighbour, ...] = ()
    sysctls: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    tables: Mapping[str, AnyTable] = field(default_factory=lambda: MappingProxyType({}))
    parts: Mapping[str, Any] = field(default_factory=lambda: MappingProxyType({}))

    def __post_init__(self) -> None:
        for name in ("links", "sysctls", "tables", "parts"):
            force_setattr(self, name, _frozen(getattr(self, name)))
        force_setattr(self, "routes", tuple(sorted(self.routes)))
        force_setattr(self, "rules", tuple(sorted(self.rules)))
        force_setattr(self, "neighbours", tuple(sorted(self.neighbours)))

    @classmethod
    def of(cls, links: Iterable[Link], **rest: Any) -> HostState:
        """A state from links in any order."""
        return cls(links={link.name: link for link in links}, **rest)

    @property
    def has_ipv6(self) -> bool:
        """Whether the kernel speaks IPv6."""
        return FORWARDING[6] in self.sysctls

    def bridge_of(self, port: IfName) -> Link | None:
        """The bridge that a link is a port of."""
        link = self.links.get(port)
        master = self.master_of(link) if link is not None else None
        return master if master is not None and master.is_bridge else None

    def master_of(self, link: Link) -> Link | None:
        """The bridge, the bond or the VRF that a link belongs to."""
        return self.links.get(link.master) if link.master is not None else None

    def parent_of(self, link: Link) -> Link | None:
        """The link that another sits on, or the other end of a veth pair."""
        return self.links.get(link.parent) if link.parent is not None else None

    def ports(self, bridge: str) -> tuple[Link, ...]:
        """The links whose master is ``bridge``, in the order of their names."""
        return self._ports.get(bridge, ())

    @cached_property
    def _ports(self) -> Mapping[str, tuple[Link, ...]]:
        """Of all masters at once: a host of a thousand bridges is asked for each."""
        found: dict[str, list[Link]] = {}
        for link in sorted((x for x in self.links.values() if x.master), key=lambda x: x.name):
            found.setdefault(link.master or "", []).append(link)
        return {master: tuple(links) for master, links in found.items()}


def stood_on(gone: Iterable[str], links: Mapping[IfName, Link]) -> dict[IfName, IfName]:
    """The links that go along where others go, each with the one that it stands on."""
    lost = set(gone)
    found: dict[IfName, IfName] = {}
    while more := {n: x.stands_on for n, x in links.items() if n not in lost and x.stands_on in lost}:
        lost |= more.keys()
        found |= {name: below for name, below in more.items() if below is not None}
    return found
