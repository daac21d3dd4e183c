"""The chains that frames of a kind meet on their way, each with what is known of the frame there."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from ipaddress import ip_interface, ip_network
from typing import Any

from msgspec import Struct

from bascule.model.state import HostState
from bascule.model.values import IfName, IpNetwork, overlap
from bascule.topology.management import below
from bascule.topology.trace.network import HostNetwork
from bascule.topology.trace.packet import ARP, INVALID, IPV4, IPV6, NEW, TAGGED
from bascule.topology.trace.rules.lines import RuleChain, Rules, SetField
from bascule.topology.trace.rules.naming import fits, links_with_chains, names_of_links
from bascule.topology.trace.rules.tests import MISSING

FAMILY_OF = {4: "ip", 6: "ip6"}  # by the version of IP
FAMILIES = ("ip", "ip6")
VERSION_OF = {"ip": 4, "ip6": 6}
CONNTRACK = -200  # NF_IP_PRI_CONNTRACK in linux/netfilter_ipv4.h: before it everything is of state invalid

HookFields = Mapping[str, Any]  # as :func:`packet.request` makes them; None: it may be whatever
Station = tuple[RuleChain, HookFields]


class FramePath(Struct, frozen=True):
    """The chains from one link to another in their order; a name is None where it may be any link."""

    came: str | None
    left: str | None
    stations: tuple[Station, ...]


def bridged(network: HostNetwork, bridge: str, family: str, within: IpNetwork | None = None) -> list[FramePath]:
    """Between the ports of a bridge, both ways; ``within`` narrows it to frames from and to a subnet."""
    calls = family in FAMILIES and network.filters_bridged(bridge, VERSION_OF[family])
    known = plain(network, family) | {"meta physbridged": 1}
    if family in FAMILIES:
        own = None if within is None else "unicast"
        known |= fib(network, family, bridge, daddr="unicast", saddr=own, within=within)
    if within is not None:
        known |= dict.fromkeys((f"{family} saddr", f"{family} daddr"), (int(within[0]), int(within[-1])))
    return [
        FramePath(iif, oif, tuple(_across(network, bridge, family, known, iif, oif, tags, calls=calls)))
        for iif, oif in pairs(ports_of(network, bridge))
        for tags in crossings(network, bridge, iif, oif)
    ]


def tagged_0(network: HostNetwork, bridge: str, family: str) -> list[FramePath]:
    """The same of frames with a tag of VLAN 0, which meet the IP chains nowhere."""
    known = plain(network, family) | {"meta physbridged": 1, "vlan id": 0}
    return [
        FramePath(iif, oif, tuple(_across(network, bridge, family, known, iif, oif, (True, True), calls=False)))
        for iif, oif in pairs(ports_of(network, bridge))
    ]


def crossings(network: HostNetwork, bridge: str, iif: str | None, oif: str | None) -> list[tuple[bool, bool]]:
    """Whether frames from a port to another bear a VLAN tag as they come in, and as they leave: each way that they may.

    None where the two ports have no VLAN in common. A tag of VLAN 0, which any sender may set, is left out.
    """
    came, left = network.link(iif or ""), network.link(oif or "")
    if not network.is_vlan_aware(bridge) or came is None or left is None or not came.vlans or not left.vlans:
        return [(False, False)]
    found = dict.fromkeys(
        (not one.pvid, not other.untagged)
        for one in came.vlans
        for other in left.vlans
        if max(one.first, other.first) <= min(one.last, other.last)
    )
    return list(found)


def _across(
    network: HostNetwork,
    bridge: str,
    family: str,
    known: HookFields,
    iif: str | None,
    oif: str | None,
    tags: tuple[bool, bool],
    *,
    calls: bool,
) -> Iterator[Station]:
    inside = {**known, "meta physin": iif, "meta physout": oif}
    came, left = (_tagged(known) if tag else known for tag in tags)
    before = calls and network.meets_ip_chains(tagged=tags[0])
    after = before and network.meets_ip_chains(tagged=tags[1])
    yield from _devices_hook(network, "ingress", iif, came)
    for hook, names, facts, shown in (
        ("prerouting", {"iif": iif}, came, before),
        ("forward", {"iif": iif, "oif": oif}, left, after),
        ("postrouting", {"oif": oif}, left, after),
    ):
        own = list(bridge_hook(network, hook, facts, bridge=bridge, **names))
        if shown and hook == "forward":
            own = [one for one in own if not (one[0].is_of_br_netfilter and network.skipped(one[0]))]
        yield from own
        if shown:
            yield from ip_hook(network, family, hook, inside, **dict.fromkeys(names, bridge))
    yield from _devices_hook(network, "egress", oif, left)


def _tagged(known: HookFields) -> HookFields:
    """A frame of these with a VLAN tag: nft sees the tag's type, and what of IP it matches is left open."""
    headers = (name for name in known if name.partition(" ")[0] in {"ip", "ip6", "arp", "th", "tcp", "udp"})
    own = {"ether type": TAGGED, "vlan id": known.get("vlan id"), "vlan type": known["ether type"]}
    return {**known, **dict.fromkeys(headers), **own}


def inward(network: HostNetwork, link: str, family: str, known: HookFields) -> list[FramePath]:
    """From a link up to where the host routes; of a bridge from each kind of its ports."""
    found = []
    for entry in ports_of(network, link) if is_bridge(network, link) else [""]:
        way = list(_devices_hook(network, "ingress", entry or link, known))
        if entry:
            way += bridge_hook(network, "prerouting", known, iif=entry, bridge=link)
        way += ip_hook(network, family, "prerouting", known, iif=link)
        if entry:  # br_netfilter has the packet meet the chains of prerouting but once
            way += bridge_hook(network, "input", known, iif=entry, bridge=link)
            way += _device_hook(network, "ingress", link, known)
        found.append(FramePath(entry or link, None, tuple(way)))
    return found


def outward(network: HostNetwork, link: str, family: str, known: HookFields) -> list[FramePath]:
    """From where the host has routed a packet out by a link; of a bridge to each kind of its ports."""
    found = []
    for out in ports_of(network, link) if is_bridge(network, link) else [""]:
        way = list(ip_hook(network, family, "postrouting", known, oif=link))
        if out:
            way += _device_hook(network, "egress", link, known)
            way += bridge_hook(network, "output", known, oif=out, bridge=link)
            way += bridge_hook(network, "postrouting", known, oif=out, bridge=link)
        way += _devices_hook(network, "egress", out or link, known)
        found.append(FramePath(None, out or link, tuple(way)))
    return found


def bridge_hook(
    network: HostNetwork, hook: str, known: HookFields, *, bridge: str, iif: str | None = "", oif: str | None = ""
) -> Iterator[Station]:
    """The chains of family bridge at a hook."""
    devices = {**devices_of(iif, oif), "meta ibrname": bridge if iif != "" else "", "meta nfproto": 7}
    devices |= {"meta obrname": bridge if oif != "" else "", "ct state": None, "ct status": None}
    for chain in network.rules.at("bridge", hook):
        yield chain, {**known, **devices}


def ip_hook(
    network: HostNetwork, family: str, hook: str, known: HookFields, *, iif: str = "", oif: str = ""
) -> Iterator[Station]:
    """The chains of ip or ip6 and of inet at a hook, but for those that translate."""
    open_side = None if hook == "forward" else ""
    devices = devices_of(iif or open_side, oif or open_side)
    for chain in network.rules.at(family, hook):
        if chain.base is not None and chain.base.type != "nat":
            early = hook in {"prerouting", "output"} and chain.base.priority <= CONNTRACK
            yield chain, {**known, **devices, **({"ct state": INVALID} if early else {})}


def _devices_hook(network: HostNetwork, hook: str, link: str | None, known: HookFields) -> Iterator[Station]:
    """The chains at a link and at those below it, in the order in which a frame comes by them."""
    if not link or not links_with_chains(network.rules):
        return
    tagged = dict.fromkeys(known)  # what carries a link has frames of others as well, and with their tags
    order = [(str(one), known if one == link else tagged) for one in below(network.state, IfName(link))]
    for device, facts in order if hook == "egress" else reversed(order):
        yield from _device_hook(network, hook, device, facts)


def _device_hook(network: HostNetwork, hook: str, device: str, known: HookFields) -> Iterator[Station]:
    names = devices_of(device, "") if hook == "ingress" else devices_of("", device)
    for chain in network.rules.at("netdev", hook, device):
        yield chain, {**known, **names, "meta nfproto": 5, "ct state": None, "ct status": None}


def devices_of(iif: str | None, oif: str | None) -> dict[str, Any]:
    """The links that a packet came in and goes out by, as rules ask for them."""
    return {"meta iifname": iif, "meta iif": iif, "meta oifname": oif, "meta oif": oif}


def plain(network: HostNetwork, family: str) -> dict[str, Any]:
    """What is known of any first frame of a family: None stands for whatever it may be."""
    kind = {"ip": IPV4, "ip6": IPV6, "arp": ARP}[family]
    found: dict[str, Any] = {"ether type": kind, "meta protocol": kind, "meta nftrace": 0}
    found |= dict.fromkeys(("ether saddr", "ether daddr", "meta length", "meta pkttype"), None)
    if family == "arp":
        fields = ("operation", "htype", "ptype", "hlen", "plen", "saddr ether", "saddr ip", "daddr ether", "daddr ip")
        found |= dict.fromkeys((f"arp {field}" for field in fields), None)
        return found | {"arp ptype": IPV4, "meta l4proto": MISSING, "meta mark": 0}
    four = family == "ip"
    ports = [f"{name} {end}port" for name in ("th", "tcp", "udp") for end in "sd"]
    icmp = "icmp" if four else "icmpv6"
    keys = [*ports, "tcp flags", f"{icmp} type", f"{icmp} code", *(f"{family} {header}" for header in HEADERS)]
    found |= dict.fromkeys((*keys, "meta l4proto", "ct direction"), None)
    marked = _marks(network.rules)
    found |= {"meta nfproto": 2 if four else 10, "ct state": NEW, "ct status": 0, "meta physbridged": 0}
    found |= {"meta physin": "", "meta physout": "", **{key: None if key in marked else 0 for key in MARKS}}
    return found


HEADERS = ("saddr", "daddr", "protocol", "length", "ttl", "frag-off", "dscp", "id", "hdrlength", "nexthdr", "hoplimit")
MARKS = ("meta mark", "ct mark")


def _marks(rules: Rules) -> frozenset[str]:
    """The marks that any rule sets."""
    return frozenset(part.key for line in rules.lines for part in line.parts if isinstance(part, SetField))


def fib(
    network: HostNetwork,
    family: str,
    link: str,
    *,
    daddr: str,
    saddr: str | None = None,
    within: IpNetwork | None = None,
) -> dict[str, Any]:
    """What rules ask of routes, where that is the same for every sender behind a link, or ``within`` a subnet there."""
    found: dict[str, Any] = {}
    for name in network.rules.fib_keys:
        _, flags, result = name.split(" ")
        words = flags.split(",")
        found[name] = None
        if result == "type" and "daddr" in words:
            found[name] = daddr
        elif result == "type" and "saddr" in words:  # of a guest's own address; the host's has no guest
            found[name] = saddr
        elif result == "oif" and "saddr" in words:
            near = link if "iif" in words else ""
            back = routes_over(network.state, family, near) if within is None else _back(network.state, within, near)
            found[name] = {"all": near or "any", "none": "", "some": None}[back]
    return found


# ---- ports


def is_bridge(network: HostNetwork, name: str) -> bool:
    """Whether a link is a bridge of this host."""
    link = network.link(name)
    return link is not None and link.is_bridge


def ports_of(network: HostNetwork, bridge: str) -> list[str | None]:
    """One port for each kind that rules tell apart, two of a kind that has several; None: it may be any."""
    return [name for names in ports_by_kind(network, bridge) for name in names[:2]] or [None]


def ports_by_kind(network: HostNetwork, bridge: str) -> list[list[str]]:
    """The ports of a bridge, those together that no rule and no VLAN tells apart."""
    asked, hung = names_of_links(network.rules), links_with_chains(network.rules)
    aware = network.is_vlan_aware(bridge)
    kinds: dict[frozenset[str], list[str]] = {}
    for link in network.state.ports(bridge):
        name = str(link.name)
        own = {f"at {one}" for one in below(network.state, link.name) if one in hung} if hung else set()
        own |= {f"in {link.vlans}"} if aware else set()
        kinds.setdefault(frozenset(one for one in asked if fits(one, name)) | own, []).append(name)
    return list(kinds.values())


def pairs(ports: Sequence[str | None]) -> list[tuple[str | None, str | None]]:
    """The ways between ports; of one port those to and from any other."""
    found = [(one, other) for one in ports for other in ports if one != other]
    return found or [(ports[0], None), (None, ports[0])]


def routes_over(state: HostState, family: str, link: str = "") -> str:
    """Whether the host has a default route (``all``), another one (``some``), or ``none``; over a link, if named."""
    is_ipv6 = family == "ip6"
    mine = [one for one in state.routes if one.is_ipv6 == is_ipv6 and (not link or one.dev == link)]
    links = [one for one in state.links.values() if not link or one.name == link]
    if any(route.is_default for route in mine):
        return "all"
    return "some" if mine or any(a.is_ipv6 == is_ipv6 for one in links for a in one.addresses) else "none"


def _back(state: HostState, subnet: IpNetwork, link: str) -> str:
    """The same of the addresses of a subnet: whether each is sent back over a link, some may be, or none is."""
    routes = [(ip_network(one.dst), hop) for one in state.routes for _, hop in one.hops or (("", ""),)]
    routes += [
        (ip_interface(one.ip).network, str(near.name)) for near in state.links.values() for one in near.addresses
    ]
    met = [(to, hop) for to, hop in routes if overlap(to, subnet)]
    if not any(hop and (not link or hop == link) for _, hop in met):
        return "none"
    longest = max(to.prefixlen for to, _ in met)
    nearest = [hop for to, hop in met if to.prefixlen == longest]
    is_plain = longest <= subnet.prefixlen and not state.rules and all(one.table == "main" for one in state.routes)
    return "all" if is_plain and all(hop and (not link or hop == link) for hop in nearest) else "some"
