"""What a host's network means after a reboot: the one value that every dialect renders and parses.

It says less than a HostState (no taps, nothing of the moment) and a little more: DHCP, name servers, what shall
come up at boot, which links are left to others. It is kept in a normal form, so that ``parse(render(x)) == x``
can be exact: ports carry no addresses, IPv4 comes before IPv6, routes are sorted.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from types import MappingProxyType

from msgspec import Struct, field
from msgspec.structs import force_setattr, replace

from bascule.model.dhcp.identity import ClientId
from bascule.model.dhcp.offers import NOTHING, Unused
from bascule.model.host_links import LISTENING, MAIN_TABLE, HostRoute, Ipv6, Ipv6Privacy, PolicyRule
from bascule.model.links import Bridge, BridgePort, LinkOptions, OpenVSwitch, OpenVSwitchBond, Physical
from bascule.model.links.wake_on_lan import Modes
from bascule.model.state import DEFAULT_DST, FixedNeighbour, PortVlans, default_vlans
from bascule.model.values import IfName, Mac, grouped
from bascule.plan.target.port_vlans import EVERY_VLAN


class StaticRoute(Struct, frozen=True, kw_only=True, order=True):
    """A route that is written down. ``metric`` 0 and ``table`` 254 are the kernel's own choice."""

    dst: str
    gateway: str = ""
    metric: int = 0
    table: int = MAIN_TABLE
    prefsrc: str = ""
    onlink: bool = False

    @property
    def is_ipv6(self) -> bool:
        """The family follows from the destination."""
        return ":" in self.dst

    @property
    def slot(self) -> tuple[str, int, int]:
        """Destination, table and metric: the kernel takes no second route there."""
        return self.dst, self.table, self.metric

    @property
    def is_plain_default(self) -> bool:
        """A default gateway and nothing else, which most dialects have a word of their own for."""
        return self == StaticRoute(dst=DEFAULT_DST[6 if self.is_ipv6 else 4], gateway=self.gateway) and bool(
            self.gateway
        )


class LinkConfig(Struct, frozen=True, kw_only=True):
    """One link as it shall be after a reboot.

    ``pin_mac`` and ``pin_path`` tie the name to a piece of hardware (its permanent MAC, its udev ``ID_PATH``);
    ``mac`` is the address that the link is given. ``mtu`` None leaves it to the kernel. ``vlans`` of a port are
    the VLANs that it is given on a VLAN-aware bridge, empty for the bridge's default. ``client_id`` None leaves it
    to the DHCP client who the link is for its server, ``metric`` None the rank of the routes that a lease brings,
    ``unused`` is what is not taken of a lease or an advertisement,
    ``ipv6_privacy`` None to the kernel or the manager whether it has temporary addresses, ``wol`` None to the driver
    what wakes the machine by it. ``hooks`` are lines of interfaces(5) that run a command which nobody understands.
    """

    name: IfName
    options: LinkOptions = field(default_factory=Physical)
    master: IfName | None = None
    parent: IfName | None = None
    pin_mac: Mac | None = None
    pin_path: str | None = None
    mac: Mac | None = None
    mtu: int | None = None
    wol: Modes | None = None
    dhcp4: bool = False
    client_id: ClientId | None = None
    metric: int | None = None
    unused: Unused = NOTHING
    ipv6: Ipv6 = Ipv6.OFF
    ipv6_privacy: Ipv6Privacy | None = None
    addresses: tuple[str, ...] = ()
    routes: tuple[StaticRoute, ...] = ()
    dns: tuple[str, ...] = ()
    search: tuple[str, ...] = ()
    hooks: tuple[str, ...] = ()
    port: BridgePort | None = None
    vlans: tuple[PortVlans, ...] = ()
    onboot: bool = True

    def __post_init__(self) -> None:
        put = force_setattr
        if self.master is not None and self._says_something:  # a port speaks for nobody: its bridge or bond does
            for name, empty in _PORT_HAS_NONE:
                put(self, name, empty)
        if self.metric is not None and not self.dhcp4:
            put(self, "metric", None)
        if self.client_id is not None and (not self.dhcp4 or self.client_id == ClientId()):
            put(self, "client_id", None)
        if self.addresses or self.dns or self.routes or self.vlans:  # most links of a large host have none
            put(self, "addresses", v4_first(dict.fromkeys(self.addresses)))
            put(self, "dns", v4_first(dict.fromkeys(self.dns)))
            put(self, "routes", tuple(sorted(set(self.routes))))
            put(self, "vlans", tuple(sorted(set(self.vlans))))
            if self.ipv6 is Ipv6.OFF and (
                any(":" in text for text in self.addresses) or any(route.is_ipv6 for route in self.routes)
            ):
                put(self, "ipv6", Ipv6.MANUAL)
        if self.ipv6_privacy is not None and self.ipv6 not in LISTENING:
            put(self, "ipv6_privacy", None)
        if self.unused:
            offered = {4: self.dhcp4, 6: self.ipv6 in LISTENING}
            put(self, "unused", frozenset(one for one in self.unused if offered[one[1]]))
        if self.port is not None and self.port == _PLAIN_PORT:
            put(self, "port", None)
        if isinstance(self.options, OpenVSwitchBond):  # what its members say
            put(self, "mac", None)
            put(self, "mtu", None)

    @property
    def _says_something(self) -> bool:
        """Whether there is something that a port has no use for."""
        said = self.addresses or self.routes or self.dns or self.search or self.dhcp4
        return bool(said) or self.ipv6 is not Ipv6.OFF

    @property
    def is_bridge(self) -> bool:
        """Whether other links can be its ports."""
        return isinstance(self.options, Bridge)

    @property
    def has_address(self) -> bool:
        """Whether the host itself has an address there, or asks for one."""
        return bool(self.addresses) or self.dhcp4 or self.ipv6 in LISTENING

    def split(self) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """Its addresses by family."""
        return by_family(self.addresses)


_PLAIN_PORT = BridgePort()
_PORT_HAS_NONE = (
    ("dhcp4", False),
    ("ipv6", Ipv6.OFF),
    ("addresses", ()),
    ("routes", ()),
    ("dns", ()),
    ("search", ()),
)


class NetworkConfig(Struct, frozen=True, kw_only=True):
    """A host's network as its configuration files say it.

    ``unmanaged`` are names, possibly ending in ``*``, of links that the configuration system must leave alone:
    the guests' taps. They have a meaning only where there is a bridge. ``neighbours`` are rendered and never parsed: no
    key of a site file says them.
    """

    links: Mapping[IfName, LinkConfig] = field(default_factory=lambda: MappingProxyType({}))
    unmanaged: tuple[str, ...] = ()
    rules: tuple[PolicyRule, ...] = ()
    routes: tuple[HostRoute, ...] = ()  # those that stand on no single link
    neighbours: tuple[FixedNeighbour, ...] = ()

    def __post_init__(self) -> None:
        put = force_setattr
        if self.rules:
            put(self, "rules", tuple(sorted(set(self.rules), key=lambda rule: (rule.ipv6, rule.priority, repr(rule)))))
        if self.routes:
            put(self, "routes", tuple(sorted(set(self.routes), key=lambda route: (str(route.to), repr(route)))))
        links = {name: self.links[name] for name in sorted(self.links)}
        for name, link in links.items():
            master = links.get(link.master) if link.master else None
            if master is not None and isinstance(master.options, OpenVSwitch):
                if link.vlans == EVERY_VLAN:
                    links[name] = replace(link, vlans=())
            elif master is not None and isinstance(master.options, Bridge):
                usual = default_vlans(master.options.vlan_default_pvid)
                if link.vlans and (not master.options.vlan_filtering or link.vlans == usual):
                    links[name] = replace(link, vlans=())
            elif link.port is not None or (link.vlans and not link.is_bridge):
                links[name] = replace(link, port=None, vlans=() if not link.is_bridge else link.vlans)
        tagged = {link.master for link in links.values() if link.vlans}
        for name, link in links.items():
            if isinstance(link.options, OpenVSwitch) and link.options.vlan_filtering != (name in tagged):
                links[name] = replace(link, options=replace(link.options, vlan_filtering=int(name in tagged)))
        put(self, "links", MappingProxyType(links))
        bridges = any(link.is_bridge for link in links.values())
        put(self, "unmanaged", tuple(sorted(set(self.unmanaged))) if bridges else ())

    @classmethod
    def of(
        cls,
        links: Iterable[LinkConfig],
        unmanaged: Iterable[str] = (),
        rules: Iterable[PolicyRule] = (),
        routes: Iterable[HostRoute] = (),
    ) -> NetworkConfig:
        """A configuration from links, rules and routes in any order."""
        by_name = {link.name: link for link in links}
        return cls(links=by_name, unmanaged=tuple(unmanaged), rules=tuple(rules), routes=tuple(routes))

    def with_links(self, links: Iterable[LinkConfig]) -> NetworkConfig:
        """The same, with other links."""
        return replace(self, links={link.name: link for link in links})

    def with_ipv6_reversed(self) -> NetworkConfig:
        """The same with the IPv6 addresses of each link in the other order."""
        several = {name: by_family(x.addresses) for name, x in self.links.items() if len(x.addresses) > 1}
        turned = {name: (*v4, *reversed(v6)) for name, (v4, v6) in several.items() if len(v6) > 1}
        if not turned:
            return self
        return self.with_links(
            replace(x, addresses=turned[name]) if name in turned else x for name, x in self.links.items()
        )

    @property
    def subjects(self) -> set[IfName]:
        """The links that it is about: not those that others only name as their master or as the link below them."""
        named = {name for link in self.links.values() for name in (link.master, link.parent) if name}
        return set(self.links) - named

    def over(self, link: LinkConfig) -> LinkConfig | None:
        """The bridge or bond that a link is a port of, if it is configured."""
        return self.links.get(link.master) if link.master else None

    def below(self, link: LinkConfig) -> LinkConfig | None:
        """The link that a VLAN is on, if it is configured."""
        return self.links.get(link.parent) if link.parent else None

    def in_order(self) -> list[LinkConfig]:
        """The links so that what others are made of comes first: NICs, bonds, VLANs, then bridges over them."""
        ports = self.ports()
        done: dict[IfName, LinkConfig] = {}

        def visit(name: IfName) -> None:
            link = self.links.get(name)
            if link is None or name in done:
                return
            stack = [link.parent] if link.parent else []
            for below in (*stack, *ports.get(name, ())):
                if below not in done:
                    visit(below)
            done[name] = link

        for rank in ("", "bond", "openvswitch-bond", "vlan", "dummy", "bridge", "openvswitch-bridge"):
            for name, link in self.links.items():
                if link.options.kind == rank:
                    visit(name)
        return [*done.values(), *(link for name, link in self.links.items() if name not in done)]

    def ports(self) -> dict[IfName, list[IfName]]:
        """The ports of every bridge and bond, each in the order of their names."""
        found: dict[IfName, list[IfName]] = {name: [] for name, link in self.links.items() if link.options.kind}
        for name, link in self.links.items():
            if link.master is not None:
                found.setdefault(link.master, []).append(name)
        return found

    def perhaps_listening(self) -> Iterator[str]:
        """Of each switch with several ports: one may get the copies of a mirror, which no dialect says."""
        for name, ports in self.ports().items():
            link = self.links.get(name)
            if link is not None and isinstance(link.options, OpenVSwitch) and len(ports) > 1:
                words = (
                    f"{name}: no file says whether one of its ports ({', '.join(ports)}) gets the copies of a mirror"
                )
                yield f"{words}, and is none that forwards: see 'ovs-vsctl list Mirror', and say it under 'mirror'"

    def above(self) -> dict[IfName, list[LinkConfig]]:
        """The links that stand on each, as VLANs do, in the order of their names."""
        return grouped((link.parent, link) for link in self.links.values() if link.parent is not None)


def v4_first(texts: Iterable[str]) -> tuple[str, ...]:
    """IPv4 before IPv6, each family in its order."""
    v4, v6 = by_family(texts)
    return v4 + v6


def by_family(texts: Iterable[str]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """IPv4 texts and IPv6 texts."""
    all_of_them = tuple(texts)
    return tuple(text for text in all_of_them if ":" not in text), tuple(text for text in all_of_them if ":" in text)
