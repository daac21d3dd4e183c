"""What of a host a packet's way depends on, beside the packet: links, forwarding database, neighbours, switches."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cached_property

from msgspec import Struct, field
from msgspec.structs import replace

from bascule.model.kernel_parameters import FORWARDING, VLAN_TAGGED, bridge_nf, conf
from bascule.model.links import Bridge, Vlan
from bascule.model.links.bond import Bond
from bascule.model.links.plain import Other, Physical
from bascule.model.ruleset.openflow import LoadedRule
from bascule.model.state import HostState, Link
from bascule.model.values import IfName, grouped
from bascule.topology.layer2 import Tags, inside, outside, patched
from bascule.topology.trace.routing import AwaitedRoutes, RouteTables
from bascule.topology.trace.rules.lines import RuleChain, Rules
from bascule.topology.trace.rules.values import address, mac


class LearnedMac(Struct, frozen=True, kw_only=True):
    """Where a bridge sends frames for a MAC: ``static`` ones were set by somebody, the others were learned.

    A static one moves as well when its MAC speaks at another port that learns, unless it is ``sticky``.
    """

    mac: int
    port: str
    bridge: str
    vlan: int = 0
    static: bool = False
    sticky: bool = False


class KnownNeighbour(Struct, frozen=True, kw_only=True):
    """A MAC that the host knows for an address on a link."""

    address: int
    link: str
    mac: int
    failed: bool = False

    @property
    def version(self) -> int:
        """4 or 6, by the address."""
        return 4 if self.address < 1 << 32 else 6


class BalancedService(Struct, frozen=True, kw_only=True):
    """A service of IPVS: ``protocol`` is the number in the IP header; ``port`` 0 stands for all."""

    protocol: int
    address: int
    port: int

    def takes(self, protocol: object, address: object, port: object) -> bool:
        """Whether a packet is for it."""
        return (protocol, address) == (self.protocol, self.address) and self.port in {0, port}


class AddressGroup(Struct, frozen=True, kw_only=True):
    """Some addresses, as ranges with their IP version, and whole networks of the building."""

    networks: frozenset[str] = frozenset()
    ranges: tuple[tuple[int, int, int], ...] = ()


class ForwardedTraffic(Struct, frozen=True, kw_only=True):
    """What a machine hands on: from some (None: from all) to some, by a service; ``hides``: under its own address."""

    sources: AddressGroup | None = None
    targets: AddressGroup | None = None
    protocol: str = ""
    first: int = 0
    last: int = 65535
    hides: bool = False


class WireEnd(Struct, frozen=True, kw_only=True):
    """Somebody on this host's wires: a guest behind its tap, or a machine behind a NIC.

    ``port`` is the host's link that it is behind. ``addresses`` are numbers with their IP version and prefix length.
    ``vlan`` is the tag that its frames bear on the wire there, 0 for none; ``mac_assumed``: nobody has said or seen it.
    ``gateways`` are by version, ``routes`` have version, first and last address and gateway; ``routes_known`` says
    that these are all. ``passes`` is what it hands on between its NICs; None: nobody has said.
    """

    name: str
    port: str
    mac: int
    addresses: tuple[tuple[int, int, int], ...] = ()
    gateways: Mapping[int, int] = field(default_factory=dict)
    routes_known: bool = True
    static_neighbours: bool = False
    router: tuple[tuple[int, int, int], ...] = ()  # the addresses of the router that it is behind, on the wire
    outside: bool = False  # a machine of the building, or what lies behind it: no guest of this host
    routes: tuple[tuple[int, int, int, int], ...] = ()
    passes: tuple[ForwardedTraffic, ...] | None = None
    mac_assumed: bool = False
    mtu: int = 0  # of its own NIC in bytes; 0 where it is taken to be that of the link that it is behind
    vlan: int = 0

    def owns(self, version: int, number: int) -> bool:
        """Whether an address is its own."""
        return any((number, version) == (own, kind) for own, kind, _ in self.addresses)

    def prefix_of(self, version: int, to: int) -> int | None:
        """How long the prefix is by which an address is on its own wire; None where it is not."""
        bits = 32 if version == 4 else 128
        lengths = [
            length
            for number, kind, length in (*self.addresses, *self.router)
            if kind == version and number >> bits - length == to >> bits - length
        ]
        return max(lengths, default=None)

    def next_hop(self, version: int, to: int) -> int | None:
        """To whom it sends what is for an address: the address itself on its own wire, a router, or None."""
        if self.prefix_of(version, to) is not None:
            return to
        fitting = [one for one in self.routes if one[0] == version and one[1] <= to <= one[2]]
        if fitting:
            return min(fitting, key=lambda one: one[2] - one[1])[3]
        return self.gateways.get(version)


class HostNetwork(Struct, frozen=True, kw_only=True, dict=True):
    """A host as a packet finds it.

    ``calls`` has for each bridge which of br_netfilter's switches it has on itself (``iptables``, ``ip6tables``).
    ``passed_over`` says of chains of bridges at priority 0 whether br_netfilter skips them, as far as that is known.
    ``called`` names by family and hook what netfilter calls there that no table shows; what it does is not read.
    ``own_macs`` are the MACs for which a bridge hands frames up to the host, by the bridge, where that was seen.
    ``balanced`` are the services that IPVS hands on to servers of its own choice.
    ``flows`` are the rules of OpenFlow on each bridge that does not only learn as a switch.
    ``traced`` says whether a frame passes a bridge's rules, by both, as far as the switch itself was asked.
    ``awaited`` are routes that a wanted host will get from others, and that nobody knows yet.
    ``wires`` has the building's network that comes out at a link: two links of one network see each other there.
    ``trunks`` are the links by which networks with a tag may come in beside that, on whichever wire.
    """

    state: HostState
    rules: Rules = field(default_factory=Rules)
    sysctls: Mapping[str, str] = field(default_factory=dict)
    calls: Mapping[str, frozenset[str]] = field(default_factory=dict)
    fdb: tuple[LearnedMac, ...] = ()
    own_macs: Mapping[str, frozenset[int]] = field(default_factory=dict)
    neighbours: tuple[KnownNeighbour, ...] = ()
    passed_over: Mapping[tuple[str, str, str], bool] = field(default_factory=dict)
    called: Mapping[tuple[str, str], tuple[str, ...]] = field(default_factory=dict)
    balanced: tuple[BalancedService, ...] = ()
    wires: Mapping[str, str] = field(default_factory=dict)
    trunks: frozenset[str] = frozenset()
    traffic_control: Mapping[str, str] = field(default_factory=dict)  # the kinds of tc's filters on a link, not read
    flows: Mapping[str, tuple[LoadedRule, ...]] = field(default_factory=dict)
    traced: Mapping[tuple[str, str], bool] = field(default_factory=dict)
    awaited: tuple[AwaitedRoutes, ...] = ()

    def link(self, name: str) -> Link | None:
        """A link by its name."""
        return self.state.links.get(IfName(name)) if name else None

    def unread(self, name: str, *, ingress: bool = True) -> Iterator[str]:
        """What acts on the frames of a link and is not read: filters of tc, and a link that wraps them in others.

        On those that come in, programs of XDP as well.

        The host's own rules and routes decide about the packets in which it wraps them (vxlan, gre, wireguard…).
        """
        if name in self.traffic_control:
            yield f"tc has filters on {name}: {self.traffic_control[name]}"
        link = self.link(name)
        for program in link.facts.xdp if link is not None and ingress else ():
            yield f"the XDP program {program} on {name}, which is not read, has its frames before the kernel does"
        if link is not None and isinstance(link.options, Other):
            yield f"{name} is a link of the kind {link.options.info_kind}, and what it makes of a frame is not read"

    def routes(self, version: int) -> RouteTables:
        """The host's routes of an IP version."""
        if version not in self._routes:
            self._routes[version] = RouteTables(self.state, version)
        return self._routes[version]

    @cached_property
    def _routes(self) -> dict[int, RouteTables]:
        return {}

    def why_dead(self, link: Link) -> str:
        """Why nothing passes a link, empty where it works; one that is only planned has no index, and comes up."""
        if not link.up:
            return f"{link.name} is down"
        return f"{link.name} has no carrier" if link.facts.index and not link.facts.carrier else ""

    def number(self, key: str, default: int = 0) -> int:
        """A kernel parameter as a number."""
        text = self.sysctls.get(key, self.state.sysctls.get(key, ""))
        return int(text) if text.lstrip("-").isdigit() else default

    def largest(self, link: str, name: str) -> int:
        """The larger of a link's own IPv4 parameter and that of all links, as the kernel takes rp_filter."""
        return max(self.number(conf(4, "all", name)), self.number(conf(4, link, name)))

    def forwards(self, version: int, link: str) -> bool:
        """Whether the host forwards what comes in by a link: of IPv4 its own switch decides, of IPv6 that of all."""
        if version == 6:
            everywhere = self.number(FORWARDING[6])
            return bool(everywhere or self.number(conf(6, link, "force_forwarding")))
        own = conf(4, link, "forwarding")
        known = own in self.sysctls or own in self.state.sysctls
        return bool(self.number(own) if known else self.number(FORWARDING[4]))

    def filters_bridged(self, bridge: str, version: int) -> bool:
        """Whether br_netfilter hands bridged frames to the IP chains: those of the kernel's bridges alone."""
        if self.is_switched(bridge):
            return False
        name = "iptables" if version == 4 else "ip6tables"
        return bool(self.number(bridge_nf(f"call-{name}")) or name in self.calls.get(bridge, ()))

    def is_vlan_aware(self, bridge: str) -> bool:
        """Whether a link is a bridge that keeps VLANs apart."""
        link = self.link(bridge)
        return link is not None and isinstance(link.options, Bridge) and bool(link.options.vlan_filtering)

    def meets_ip_chains(self, *, tagged: bool) -> bool:
        """Whether br_netfilter takes a frame for one of IP at all: with a VLAN tag only where a switch has it so."""
        return not tagged or bool(self.number(VLAN_TAGGED))

    def vlan_link(self, below: str, vid: int) -> str:
        """The link of a VLAN on another link, empty where there is none."""
        for one in self.state.links.values():
            if one.parent == below and isinstance(one.options, Vlan) and one.options.id == vid:
                return one.name
        return ""

    def host_side(self, end: WireEnd) -> str:
        """The link by which the host itself hears an end: that of a VLAN, where its frames come up with a tag."""
        port = self.link(end.port)
        below = self.bridge_of(end.port) or end.port
        own = self.link(below)
        tags: Tags = (end.vlan,) if end.vlan else ()
        if port is not None and own is not None and self.is_vlan_aware(below):
            tags = outside(own, inside(port, tags))
        return (self.vlan_link(below, tags[0]) if tags else "") or below

    def is_switched(self, bridge: str) -> bool:
        """Whether another than the kernel moves the frames of a bridge, past the hooks for bridges."""
        link = self.link(bridge)
        return link is not None and not link.options.by_kernel

    def mac_of(self, link: str) -> int:
        """A link's own MAC, 0 where it has none."""
        found = self.link(link)
        return mac(found.mac) if found is not None and found.mac else 0

    def bridge_of(self, port: str) -> str:
        """The bridge of which a link is a port, empty where it is none."""
        bridge = self.state.bridge_of(IfName(port)) if port else None
        return bridge.name if bridge is not None else ""

    @cached_property
    def cables(self) -> Mapping[str, tuple[tuple[str, str], ...]]:
        """For each end of a cable between two bridges the other end, with each bridge that frames come to by it."""
        peers = {
            str(name): str(far.name) for name, link in self.state.links.items() if (far := patched(link, self.state))
        }
        found = {}
        for port, peer in peers.items():
            reached, queue = [self.bridge_of(port)], [peer]
            for end in queue:
                if (bridge := self.bridge_of(end)) not in reached:
                    reached.append(bridge)
                    queue += [other for near, other in peers.items() if self.bridge_of(near) == bridge]
            found[port] = tuple((peer, bridge) for bridge in reached[1:])
        return found

    def cable_to(self, bridge: str, segment: str) -> str:
        """The port of a bridge by which a cable leads to another one; empty where none does, or it is that one."""
        if segment in {bridge, ""}:
            return ""
        ends = ((port, {to for _, to in ways}) for port, ways in self.cables.items())
        return next((port for port, ways in ends if segment in ways and self.bridge_of(port) == bridge), "")

    def beside(self, port: str) -> Iterator[tuple[str, str]]:
        """Other links that come out on the same wire, each with its bridge, or with itself where it is no port.

        A cable to another bridge is such a wire.
        """
        yield from self.cables.get(port, ())
        for other in self._links_of_wires.get(self.wires.get(port), ()):
            if other != port:
                yield other, self.bridge_of(other) or other

    def segments_beside(self, segment: str) -> list[tuple[str, str]]:
        """The bridges, or links, that share a wire with a port of a bridge, or with a lone link, and that port."""
        if segment not in self._segments_beside:
            ports = [str(one.name) for one in self.state.ports(IfName(segment))] or [segment]
            self._segments_beside[segment] = [(port, other) for port in ports for _, other in self.beside(port)]
        return self._segments_beside[segment]

    @cached_property
    def _segments_beside(self) -> dict[str, list[tuple[str, str]]]:
        return {}

    def everywhere(self, end: WireEnd) -> tuple[WireEnd, ...]:
        """Somebody of the building at each link that comes out on his wire, as a host may have several on one."""
        others = self._links_of_wires.get(self.wires.get(end.port), ()) if end.outside else ()
        return (end, *(replace(end, port=name) for name in others if name != end.port))

    @cached_property
    def _links_of_wires(self) -> Mapping[str | None, list[str]]:
        return grouped((wire, link) for link, wire in self.wires.items())

    def has_trunk(self, segment: str) -> bool:
        """Whether networks with a tag may come in by a port of a bridge."""
        return any(str(one.name) in self.trunks for one in self.state.ports(IfName(segment)))

    def way_out(self, segment: str) -> str:
        """A link by which frames of a segment leave for the building; empty where there is none that works."""
        ports = [one.name for one in self.state.ports(IfName(segment))] or [IfName(segment)]
        for name in ports:
            link = self.link(name)
            leads = name in self.wires or (link is not None and (isinstance(link.options, Physical | Vlan | Bond)))
            if leads and link is not None and not self.why_dead(link):
                return str(name)
        return ""

    def entry(self, bridge: str, number: int, vlan: int = 0) -> LearnedMac | None:
        """What a bridge knows of a MAC, beside its own."""
        for one in self._fdb.get((bridge, number), ()):
            if not vlan or not one.vlan or one.vlan == vlan:
                return one
        return None

    def skipped(self, chain: RuleChain) -> bool | None:
        """Whether br_netfilter skips a chain of bridges at its own priority; None where nobody knows."""
        return self.passed_over.get(chain.key)

    @cached_property
    def _fdb(self) -> Mapping[tuple[str, int], list[LearnedMac]]:
        return grouped(((one.bridge, one.mac), one) for one in self.fdb)

    def neighbour(self, link: str, number: int) -> KnownNeighbour | None:
        """Who has an address on a link, as the host knows it."""
        return self._neighbours.get((link, number))

    @cached_property
    def _neighbours(self) -> Mapping[tuple[str, int], KnownNeighbour]:
        return {(one.link, one.address): one for one in self.neighbours}

    @cached_property
    def own_addresses(self) -> Mapping[tuple[int, int], tuple[str, ...]]:
        """The host's addresses, by version and number, with the links of each: ``fe80::1`` may be on several."""
        found: dict[tuple[int, int], tuple[str, ...]] = {}
        for link in self.state.links.values():
            if not link.up:
                continue
            for one in link.addresses:
                text = one.local
                own = (6 if ":" in text else 4, address(text))
                found[own] = (*found.get(own, ()), link.name)
        return found

    def address_of(self, version: int, link: str) -> int:
        """The address that the kernel takes on a link by itself, 0 where it has none."""
        return next(self._addresses(version, link), 0)

    def masquerading(self, version: int, link: str) -> int:
        """The address that masquerading takes: of the link, else of any other (inet_select_addr in net/ipv4)."""
        others = sorted(self.state.links.values(), key=lambda one: one.facts.index)
        names = (link, *(one.name for one in others))
        return next((found for name in names for found in self._addresses(version, name, scope="global")), 0)

    def _addresses(self, version: int, link: str, scope: str = "") -> Iterator[int]:
        found = self.link(link)
        for one in found.addresses if found is not None and found.up else ():
            text = one.local
            fits = (":" in text) == (version == 6) and scope in {"", one.scope}
            if fits and not (version == 6 and one.is_link_local):
                yield address(text)
