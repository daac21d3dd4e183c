"""From a configuration to a site file: the entry of one host, and what a site file has no word for."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_interface, ip_network
from itertools import combinations
from typing import Any

from msgspec import Struct, field
from msgspec.structs import replace

from bascule.importer.routing import host_route_entry, route_entry, rule_entry
from bascule.model.dhcp.offers import use_words
from bascule.model.host_links import LISTENING, MAIN_TABLE, Ipv6
from bascule.model.links import BOND_KEYS, Bond, Bridge, BridgePort, Physical, Vlan
from bascule.model.links.wake_on_lan import OFF
from bascule.model.state import PortVlans
from bascule.model.values import IfName, IpInterface, is_onlink, overlap
from bascule.persist.config import LinkConfig, NetworkConfig, StaticRoute
from bascule.persist.formats.values import seconds
from bascule.plan.target.bonds_and_vlans import MIIMON_MS


class HostEntry(Struct):
    """The parts of a site file that one host fills."""

    networks: dict[str, dict[str, Any]] = field(default_factory=dict)
    host: dict[str, Any] = field(default_factory=dict)


def host_entry(
    config: NetworkConfig,
    unsure: Collection[IfName] = (),
    of_ipv6: Collection[IfName] = (),
    snooping: Collection[IfName] = (),
) -> HostEntry:
    """The host's NICs, bonds, VLANs and bridges, and the networks that its addresses name.

    ``unsure`` are bridges and bonds with ports that nobody can tell, ``of_ipv6`` links whose IPv6 mode is known for
    good, ``snooping`` bridges that snoop on multicast because somebody wrote it. What there is no word for is left out;
    the comparison in :mod:`bascule.importer.not_in_file` tells it.
    """
    return _Writer(config, unsure, of_ipv6, snooping).write()


ALL_TAGGED = 4093  # VLANs, or one more where what bears no tag is in none


class _Writer:
    def __init__(
        self,
        config: NetworkConfig,
        unsure: Collection[IfName],
        of_ipv6: Collection[IfName],
        snooping: Collection[IfName],
    ) -> None:
        self.config = config
        self.snooping = snooping
        self.unsure = unsure
        self.of_ipv6 = of_ipv6
        self.out = HostEntry()
        self.ports = config.ports()
        self.parents = {link.parent for link in config.links.values()}
        self.used_vlans: set[IfName] = set()
        self.gateways: set[tuple[bool, int]] = set()
        self.subnets: dict[str, str] = {}  # with the network that each is of
        self.tagged: dict[int, str] = {}  # the network of each VLAN
        self.untagged: set[str] = set()  # networks that NICs are on
        self.nics: dict[str, dict[str, Any]] = {}
        self.bonds: dict[str, dict[str, Any]] = {}
        self.vlans: dict[str, dict[str, Any]] = {}
        self.bridges: dict[str, dict[str, Any]] = {}

    def write(self) -> HostEntry:
        for link in self.config.links.values():
            if isinstance(link.options, Bridge):
                self.bridges[link.name] = self._bridge(link)
            elif isinstance(link.options, Bond):
                self.bonds[link.name] = self._bond(link)
            elif not link.options.kind and (link.onboot or link.master or link.name in self.parents):
                self.nics[link.name] = self._nic(link)
        for link in self.config.links.values():
            if isinstance(link.options, Vlan) and link.name not in self.used_vlans:
                self._vlan(link, link.options)
        tables = {"nics": self.nics, "bonds": self.bonds, "vlans": self.vlans, "bridges": self.bridges}
        for name, entries in tables.items():
            if entries:
                self.out.host[name] = entries
        if self.config.rules:
            self.out.host["rules"] = [rule_entry(rule) for rule in self.config.rules]
        links = self.config.links
        taken = {route.slot for link in links.values() for route in link.routes}
        routes = [one for one in self.config.routes if (one.dst, one.table or MAIN_TABLE, one.metric or 0) not in taken]
        if routes:  # the kernel has one in a place, and refuses the other
            self.out.host["routes"] = [host_route_entry(route, links) for route in routes]
        return self.out

    def _nic(self, link: LinkConfig) -> dict[str, Any]:
        out: dict[str, Any] = {}
        master = self.config.over(link)
        if master is None:
            out |= self._host_keys(link)
        if link.pin_mac:
            out["mac"] = link.pin_mac
        if link.pin_path:
            out["path"] = link.pin_path
        if link.mtu is not None:
            out["mtu"] = link.mtu
        if link.wol is not None:
            out["wol"] = _one_or_many(list(link.wol or (OFF,)))
        return out | _hooks(link)

    def _bond(self, link: LinkConfig) -> dict[str, Any]:
        members = self.ports.get(link.name, [])
        out: dict[str, Any] = {"nics": ["unknown"] if link.name in self.unsure and not members else list(members)}
        options = link.options
        if isinstance(options, Bond):
            out["mode"] = options.mode
            if not options.by_kernel and options.mode not in options.alone:
                out["kind"] = options.said  # a mode that the kernel has as well
            out |= _bond_options(options)
        out |= self._host_keys(link) if link.master is None else {}
        return out | _mac_and_mtu(link)

    def _vlan(self, link: LinkConfig, options: Vlan) -> None:
        """A VLAN link of its own: the host speaks on it, or a bridge is on it under another name than usual."""
        below = self.config.below(link)
        if below is None:
            return
        out: dict[str, Any] = {"link": below.name, "id": int(options.id)}
        if options.protocol != "802.1Q":
            out["protocol"] = options.protocol
        if not self._is_stacked(link):
            self._tagged(link, options.id)
        out |= self._host_keys(link) if link.master is None else {}
        self.vlans[link.name] = out | _mac_and_mtu(link)

    def _bridge(self, link: LinkConfig) -> dict[str, Any]:
        out: dict[str, Any] = {"uplink": "unknown" if link.name in self.unsure else "none"}
        members = [self.config.links[name] for name in self.ports.get(link.name, [])]
        members = [each for each in members if isinstance(each.options, Physical | Bond | Vlan)]
        aware = isinstance(link.options, Bridge) and bool(link.options.vlan_filtering)
        members = [_in_default_vlan(each, link.options) for each in members] if aware else members
        if link.mac is not None:  # it has its uplink's, where nobody gave it one of its own
            members.sort(key=lambda each: link.mac not in {each.mac, each.pin_mac})
        if members:
            first = members[0]
            out["uplink"] = first.name
            if isinstance(first.options, Vlan) and self._is_plain(first, first.options) and not aware:
                out["uplink"], self.used_vlans = first.parent, self.used_vlans | {first.name}
                out["vlan"] = int(first.options.id)
                out |= {"mtu": first.mtu} if first.mtu is not None else {}
        if members[1:]:
            native = link.options.native if aware and isinstance(link.options, Bridge) else None
            out["ports"] = [_further(each, members[0], native) for each in members[1:]]
        out |= self._host_keys(link)
        below = members[0].options if members else None
        if isinstance(below, Vlan) and not self._is_stacked(members[0]):
            self._tagged(link, below.id)
        options = link.options
        if isinstance(options, Bridge) and not options.by_kernel:
            out = {"kind": options.said, **out, **options.site_keys()}
            out |= _carried(members[0].vlans, native=options.native) if members and options.vlan_filtering else {}
        elif isinstance(options, Bridge):
            if options.vlan_filtering:
                out["vlan_aware"] = True
                out |= _carried(members[0].vlans) if members else {}
            if options.stp_state:
                out["stp"] = True
            out |= {"snooping": True} if link.name in self.snooping and not options.mcast_querier else {}
            out |= _tree(options, members)
        return out | _mac_and_mtu(link)

    def _is_plain(self, link: LinkConfig, options: Vlan) -> bool:
        """Whether a VLAN link is the one that a bridge with `vlan` has below it, and nothing else."""
        below = self.config.below(link)
        usual = link.name == f"{link.parent}.{options.id}" and options.protocol == "802.1Q"
        return usual and below is not None and below.options.kind in {"", "bond"} and link.name not in self.parents

    def _is_stacked(self, link: LinkConfig) -> bool:
        """Whether a VLAN link is inside another VLAN."""
        below = self.config.below(link)
        return below is not None and isinstance(below.options, Vlan)

    def _host_keys(self, link: LinkConfig) -> dict[str, Any]:
        """Addresses, gateways, routes and name servers of a link on which the host speaks."""
        out: dict[str, Any] = {}
        network = self._network(link) if not isinstance(link.options, Vlan) else None
        if network and not link.is_bridge:
            out["network"] = network
            self.untagged |= {network} if isinstance(link.options, Physical) else set()
        addresses = [*link.addresses, *(["dhcp"] if link.dhcp4 else [])]
        if addresses:
            out["address"] = _one_or_many(addresses)
        out |= self._ipv6(link)
        gateways: list[str] = []
        routes: list[dict[str, Any]] = []
        metric, onlink = link.metric, False
        own = tuple(map(ip_interface, link.addresses))
        for found in link.routes:
            implied = found.onlink and bool(found.gateway) and _is_told(found.gateway, own)
            route = replace(found, onlink=False) if implied else found
            rank = route.is_ipv6, route.metric
            fits = metric == route.metric or (
                metric is None and not (link.dhcp4 and route.metric)
            )  # a lease has its own
            if link.has_address and _is_gateway(route) and rank not in self.gateways and fits:
                self.gateways.add(rank)
                gateways.append(route.gateway)
                metric, onlink = route.metric, onlink or route.onlink or _by_a_route(route.gateway, link)
            else:
                routes.append(route_entry(route))
        if gateways:
            out["gateway"] = _one_or_many(gateways)
        if metric:
            out["metric"] = metric
        out |= use_words(link.unused, [4] * link.dhcp4 + [6] * (link.ipv6 in LISTENING))
        if onlink:
            out["onlink"] = True
        if routes:
            out["routes"] = routes
        if link.dns:
            out["dns"] = _one_or_many(list(link.dns))
        if link.search:
            out["search"] = _one_or_many(list(link.search))
        return out

    def _ipv6(self, link: LinkConfig) -> dict[str, Any]:
        """The mode and the privacy, where they are not what the site file means without a word."""
        out: dict[str, Any] = {}
        usual = Ipv6.AUTO if link.addresses or link.dhcp4 else Ipv6.OFF
        if link.ipv6 is not usual and link.name in self.of_ipv6:
            out["ipv6"] = str(link.ipv6)
        if link.ipv6_privacy is not None and (out or usual is Ipv6.AUTO):
            out["ipv6_privacy"] = str(link.ipv6_privacy)
        return out

    def _tagged(self, link: LinkConfig, vid: int) -> None:
        """A VLAN that a bridge or the host itself sits on is a network of the building."""
        known = self.tagged.get(vid)
        if known is not None:
            self._reaches(known, [str(ip_interface(address).network) for address in link.addresses])
            return
        name = self._network(link)
        if name is None or name in self.untagged or "vlan" in self.out.networks[name]:
            name = f"vlan-{vid}"
        self.out.networks.setdefault(name, {})["vlan"] = vid
        self.tagged[vid] = name

    def _reaches(self, network: str, subnets: Sequence[str]) -> None:
        """Subnets that are a network's, beside those it has."""
        if subnets:
            entry = self.out.networks.setdefault(network, {})
            entry["subnet"] = _one_or_many(list(dict.fromkeys([*_many(entry.get("subnet", [])), *subnets])))
            self.subnets |= dict.fromkeys(subnets, network)

    def _network(self, link: LinkConfig) -> str | None:
        """The network of the building that the link's addresses stand in, named after the first one's subnet.

        None where they stand in several networks, or alone: a NIC with one network has all of its addresses there.
        """
        subnets = [net for text in link.addresses if not (net := ip_interface(text).network).is_link_local]
        first = next((net for net in subnets if net.version == 4), None)
        if first is None or any(net.num_addresses < 4 for net in subnets) or _nested(subnets):
            return None
        name = self.subnets.get(str(first), "net-" + str(first.network_address).replace(".", "-"))
        if any(self.subnets.get(str(net), name) != name for net in subnets):
            return None
        self._reaches(name, [str(net) for net in subnets])
        ways = [r for r in link.routes if _is_gateway(r) and not r.is_ipv6 and ip_address(r.gateway) in first]
        if ways:
            self.out.networks[name]["gateway"] = min(ways, key=lambda route: route.metric).gateway
        return name


def _in_default_vlan(port: LinkConfig, options: object) -> LinkConfig:
    """A port that only its bridge's default puts into a VLAN, with that VLAN where it is not the usual one."""
    default = options.vlan_default_pvid if type(options) is Bridge else 1
    if port.vlans or default in {0, 1}:
        return port
    return replace(port, vlans=(PortVlans(first=default, last=default, pvid=True, untagged=True),))


def _nested(subnets: Sequence[IPv4Network | IPv6Network]) -> bool:
    """Whether one is inside another, as no two of a network may be."""
    return any(overlap(one, other) for one, other in combinations(set(subnets), 2))


def _tree(options: Bridge, members: list[LinkConfig]) -> dict[str, Any]:
    """Times, ranks and multicast that differ from those of a bridge that Bascule makes."""
    usual = Bridge()
    out: dict[str, Any] = {}
    times = {"forward_delay": "forward_delay", "hello": "hello_time", "max_age": "max_age", "ageing": "ageing_time"}
    for key, field_name in times.items():
        ticks = getattr(options, field_name)
        idle = key == "forward_delay" and not options.stp_state and ticks == 0
        if ticks is not None and ticks != getattr(usual, field_name) and not idle:
            out[key] = f"{seconds(ticks)}s"
    if options.priority != usual.priority:
        out["priority"] = options.priority
    if options.mcast_querier:
        out["querier"] = True
    return out | (_rank(members[0]) if members else {})


def _bond_options(options: Bond) -> dict[str, Any]:
    """What differs from a bond that Bascule makes; without a word of it the kernel looks every 100 ms or never."""
    out: dict[str, Any] = {"miimon": options.miimon} if options.miimon not in {0, MIIMON_MS} else {}
    said = options.as_json()
    for key, field_name in BOND_KEYS.items():
        if key != "miimon" and field_name in said:
            value = said[field_name]
            out[key] = _one_or_many(list(value)) if isinstance(value, tuple) else value
    return out | ({"all_slaves_active": True} if options.all_slaves_active else {})


def _carried(vlans: Iterable[PortVlans], native: int = 1) -> dict[str, Any]:
    """The VLANs of an uplink: those with a tag, and the one of what arrives without, where it is not the usual one.

    One that carries all of them where that is the usual has said nothing.
    """
    entries = tuple(vlans)
    is_tagged = native == 0 and any(one.pvid and not one.untagged for one in entries)
    tagged = [one for one in entries if not one.untagged and not (is_tagged and one.pvid) and one.last]
    own: Any = next((one.first for one in entries if one.pvid), "none" if entries else native)
    out: dict[str, Any] = {"pvid": own} if own != native else {}
    out |= {"native": "tagged"} if is_tagged else {}
    if tagged and not (own == native == 0 and sum(one.last - one.first + 1 for one in tagged) >= ALL_TAGGED):
        spans = [(max(one.first, 1), one.last) for one in tagged]  # 0 is what bears a tag without a VLAN
        out["vlans"] = [first if first == last else f"{first}-{last}" for first, last in spans]
    return out


def _further(port: LinkConfig, uplink: LinkConfig, native: int | None) -> Any:
    """A port beside the uplink: its name, with its VLANs where they are others, and its rank in the spanning tree.

    ``native`` is the VLAN of what bears no tag, None where the bridge looks at no tags.
    """
    out: dict[str, Any] = {}
    if native is not None and (own := _carried(port.vlans, native)) != _carried(uplink.vlans, native):
        out |= own or {"pvid": native}
    out |= _rank(port)
    return {"link": port.name} | out if out else port.name


def _rank(link: LinkConfig) -> dict[str, Any]:
    """What a port costs in the spanning tree, its rank there, and its flags, where they are said."""
    port = link.port or BridgePort()
    out: dict[str, Any] = {"path_cost": port.cost} if port.cost is not None else {}
    out |= {"port_priority": port.priority} if port.priority != BridgePort().priority else {}
    flags = {name: value for name, value in port.as_json().items() if isinstance(value, bool)}
    return out | ({"port_flags": flags} if flags else {})


def _mac_and_mtu(link: LinkConfig) -> dict[str, Any]:
    given = {"mac": link.mac, "mtu": link.mtu}
    return {key: value for key, value in given.items() if value is not None} | _hooks(link)


def _hooks(link: LinkConfig) -> dict[str, Any]:
    """Commands that its files run and no key says."""
    return {"as_found": {"ifupdown": list(link.hooks)}} if link.hooks else {}


def _is_told(gateway: str, own: Sequence[IpInterface]) -> bool:
    """Whether it follows from the link's own addresses how a gateway is reached, so that on-link says nothing."""
    address = ip_address(gateway)
    return is_onlink(address, own) or any(address in each.network for each in own)


def _by_a_route(gateway: str, link: LinkConfig) -> bool:
    """Whether a route to the link itself leads to a gateway, and no address of the link does: hosters give such."""
    near = [ip_network(route.dst) for route in link.routes if not route.gateway]
    own = tuple(map(ip_interface, link.addresses))
    return any(ip_address(gateway) in each for each in near) and not _is_told(gateway, own)


def _is_gateway(route: StaticRoute) -> bool:
    """A default route of the main table with a router, whatever its rank."""
    return replace(route, metric=0, onlink=False).is_plain_default


def _many(value: Any) -> list[str]:
    return [value] if isinstance(value, str) else list(value)


def _one_or_many(values: list[str]) -> Any:
    return values[0] if len(values) == 1 else values
