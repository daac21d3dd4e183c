"""Whether rules let frames pass of which only some things are known: between a bridge's ports, into the host, routed.

Where a walk follows one packet from one sender, this asks for all of a kind: whoever sends them, by whatever service.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from enum import StrEnum
from typing import Any

from msgspec import Struct

from bascule.model.links import Bridge
from bascule.model.state import HostState
from bascule.model.values import IpNetwork
from bascule.topology.trace.network import HostNetwork
from bascule.topology.trace.packet import ARP, INVALID, IPV4, IPV6, NEW, TCP, UDP
from bascule.topology.trace.rules.evaluate import MatchedLine, every_end, plain_end
from bascule.topology.trace.rules.lines import RuleChain, Rules, SetField
from bascule.topology.trace.rules.naming import fits, names_of_links
from bascule.topology.trace.rules.tests import MISSING
from bascule.topology.trace.rules.words import chain_words

FAMILIES = ("ip", "ip6")
WORDS = {"ip": "IPv4", "ip6": "IPv6", "arp": "ARP"}
FAMILY_OF = {4: "ip", 6: "ip6"}  # by the version of IP
VERSION_OF = {"ip": 4, "ip6": 6}
DEFAULT_ROUTES = {"0.0.0.0/0", "::/0"}
CONNTRACK = -200  # NF_IP_PRI_CONNTRACK in linux/netfilter_ipv4.h: before it everything is of state invalid
BR_NETFILTER = 0  # NF_BR_PRI_BRNF in linux/netfilter_bridge.h
LOSES = {"drop", "reject"}
BROADCASTS = {("udp", 67): 0xFFFFFFFF, ("udp", 547): 0xFF02000000000000_0000000000010002}  # who has no address asks so

Facts = Mapping[str, Any]  # as :func:`packet.request` makes them; None: it may be whatever
Way = list[tuple[RuleChain, Facts]]


class Possibility(StrEnum):
    """Whether frames pass: yes, no, or some of them (or nothing is known for certain)."""

    YES = "yes"
    NO = "no"
    PERHAPS = "perhaps"


class RuleVerdict(Struct, frozen=True, kw_only=True):
    """A verdict, the base chain that it was met in, and the line that says so: None where it is the chain's policy."""

    verdict: str
    base: RuleChain
    by: MatchedLine | None = None

    @property
    def loses(self) -> bool:
        """Whether the frame ends here."""
        return self.verdict in LOSES

    @property
    def chain(self) -> RuleChain:
        """The chain that the line stands in."""
        return self.base if self.by is None else self.by.chain

    def __str__(self) -> str:
        said = f"policy {self.verdict.upper()}" if self.by is None else f"'{self.by.line.text}'"
        return f"{said} in {chain_words(self.chain)}"


class FramePassage(Struct, frozen=True, kw_only=True):
    """What becomes of new frames of a family.

    ``stops`` are the verdicts that a frame meets which no rule speaks of, so that it is lost; ``may_stop`` are rules
    that lose some frames or whose test is not understood, ``lets`` rules that let some through, ``gaps`` what could
    not be read. ``chains`` says how many chains they pass.
    """

    family: str
    result: Possibility
    stops: tuple[RuleVerdict, ...] = ()
    may_stop: tuple[RuleVerdict, ...] = ()
    lets: tuple[RuleVerdict, ...] = ()
    chains: int = 0
    gaps: tuple[str, ...] = ()

    @property
    def words(self) -> str:
        """The family as people say it."""
        return WORDS[self.family]


def bridged_frames(network: HostNetwork, bridge: str) -> tuple[FramePassage, ...]:
    """What becomes of frames between the ports of a bridge, for IPv4, IPv6 and ARP.

    They pass the chains of family bridge, and those of ip, ip6 and inet where br_netfilter calls them: there they come
    in and go out by the bridge itself.
    """
    return tuple(_passage(network, family, _bridged(network, bridge, family)) for family in (*FAMILIES, "arp"))


def into_host(network: HostNetwork, link: str, family: str, protocol: str, port: int) -> FramePassage:
    """What becomes of a guest's question to a port of the host itself, coming in by a link."""
    ip = family
    known = _plain(network, family) | {
        f"{ip} daddr": None,
        "meta l4proto": {"tcp": TCP, "udp": UDP}[protocol],
        **dict.fromkeys(("th dport", f"{protocol} dport"), port),
        **dict.fromkeys(("th sport", f"{protocol} sport"), None),
    }
    for other in ("tcp", "udp", "icmp", "icmpv6"):
        if other != protocol:
            known = {key: value for key, value in known.items() if not key.startswith(f"{other} ")}
    group = BROADCASTS.get((protocol, port))
    kind = "local" if group is None else "broadcast" if family == "ip" else "multicast"
    known |= _fib(network, family, link, daddr=kind)
    if group is not None:
        known |= {f"{ip} daddr": group, "meta pkttype": 1 if family == "ip" else 2}
        known |= {name: link for name in known if name.startswith("fib ") and "saddr" in name}  # it has no address yet
    ways: list[Way] = []
    for entry in _ports(network, link) if _is_bridge(network, link) else ("",):
        way = list(_bridge_hook(network, "prerouting", known, iif=entry, bridge=link)) if entry else []
        way += _ip_hook(network, family, "prerouting", known, iif=link)
        way += _bridge_hook(network, "input", known, iif=entry, bridge=link) if entry else ()
        way += _ip_hook(network, family, "input", known, iif=link)
        ways.append(way)
    return _passage(network, family, ways)


def routed(network: HostNetwork, family: str, *, into: str = "", out: str = "", state: int = NEW) -> FramePassage:
    """What becomes of packets that the host forwards from a link, or to one; the other side is any other link.

    ``state`` is what connection tracking says of them: NEW, or ESTABLISHED for the answers.
    """
    known = _plain(network, family) | {"ct state": state}
    known |= {"ct status": 0 if state == NEW else None}
    return _passage(network, family, [list(_ip_hook(network, family, "forward", known, iif=into, oif=out))])


def translations(network: HostNetwork, bridge: str, subnet: IpNetwork) -> tuple[RuleVerdict, ...]:
    """The rules that give another source to frames of a subnet which only cross a bridge, where br_netfilter calls."""
    family = FAMILY_OF[subnet.version]
    bounds = (int(subnet[0]), int(subnet[-1]))
    known = _plain(network, family) | {"meta physbridged": 1, f"{family} saddr": bounds, f"{family} daddr": bounds}
    known |= {**_fib(network, family, bridge, daddr="unicast"), **_devices("", bridge), "meta physin": None}
    chains = (one for one in network.rules.at(family, "postrouting") if one.base is not None and one.base.type == "nat")
    ends = ((chain, end) for chain in chains for end in every_end(network.rules, chain, known))
    found = (RuleVerdict(verdict=end.nat.kind, base=chain, by=end.by) for chain, end in ends if end.nat is not None)
    return _once(found)


# ---- the chains on a way, with what is known of the frame at each


def _bridged(network: HostNetwork, bridge: str, family: str) -> list[Way]:
    calls = family in FAMILIES and network.filters_bridged(bridge, VERSION_OF[family])
    known = _plain(network, family) | {"meta physbridged": 1}
    if family in FAMILIES:
        known |= _fib(network, family, bridge, daddr="unicast")
    ways = []
    for iif, oif in _pairs(_ports(network, bridge)):
        way: Way = []
        inside = {**known, "meta physin": iif, "meta physout": oif}
        for hook, names in (
            ("prerouting", {"iif": iif}),
            ("forward", {"iif": iif, "oif": oif}),
            ("postrouting", {"oif": oif}),
        ):
            own = list(_bridge_hook(network, hook, known, bridge=bridge, **names))
            if calls and hook == "forward" and network.bridge_first:
                own = [one for one in own if one[0].base is None or one[0].base.priority != BR_NETFILTER]
            way += own
            if calls:
                way += _ip_hook(network, family, hook, inside, **dict.fromkeys(names, bridge))
        ways.append(way)
    return ways


def _bridge_hook(
    network: HostNetwork, hook: str, known: Facts, *, bridge: str, iif: str | None = "", oif: str | None = ""
) -> Iterator[tuple[RuleChain, Facts]]:
    devices = {**_devices(iif, oif), "meta ibrname": bridge if iif != "" else "", "meta nfproto": 7}
    devices |= {"meta obrname": bridge if oif != "" else "", "ct state": None, "ct status": None}
    for chain in network.rules.at("bridge", hook):
        yield chain, {**known, **devices}


def _ip_hook(
    network: HostNetwork, family: str, hook: str, known: Facts, *, iif: str = "", oif: str = ""
) -> Iterator[tuple[RuleChain, Facts]]:
    open_side = None if hook == "forward" else ""
    devices = _devices(iif or open_side, oif or open_side)
    for chain in network.rules.at(family, hook):
        if chain.base is not None and chain.base.type != "nat":
            early = hook in {"prerouting", "output"} and chain.base.priority <= CONNTRACK
            yield chain, {**known, **devices, **({"ct state": INVALID} if early else {})}


def _devices(iif: str | None, oif: str | None) -> dict[str, Any]:
    return {"meta iifname": iif, "meta iif": iif, "meta oifname": oif, "meta oif": oif}


def _plain(network: HostNetwork, family: str) -> dict[str, Any]:
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
    lines = (line for chain in rules.chains.values() for line in chain.lines)
    return frozenset(part.key for line in lines for part in line.parts if isinstance(part, SetField))


def _fib(network: HostNetwork, family: str, link: str, *, daddr: str) -> dict[str, Any]:
    """What rules ask of routes, where that is the same for every sender behind a link."""
    found: dict[str, Any] = {}
    for name in network.rules.fib_keys:
        _, flags, result = name.split(" ")
        words = flags.split(",")
        found[name] = None
        if result == "type" and "daddr" in words:
            found[name] = daddr
        elif result == "oif" and "saddr" in words:
            near = link if "iif" in words else ""
            found[name] = {"all": near or "any", "none": "", "some": None}[routes_over(network.state, family, near)]
    return found


# ---- ports


def _is_bridge(network: HostNetwork, name: str) -> bool:
    link = network.link(name)
    return link is not None and link.is_bridge


def _ports(network: HostNetwork, bridge: str) -> list[str | None]:
    """One port for each kind that rules tell apart, two of a kind that has several; None: it may be any."""
    asked = names_of_links(network.rules)
    kinds: dict[frozenset[str], list[str | None]] = {}
    for link in network.state.ports(bridge):
        name = str(link.name)
        kinds.setdefault(frozenset(one for one in asked if fits(one, name)), []).append(name)
    return [name for names in kinds.values() for name in names[:2]] or [None]


def _pairs(ports: Sequence[str | None]) -> list[tuple[str | None, str | None]]:
    found = [(one, other) for one in ports for other in ports if one != other]
    return found or [(ports[0], None), (None, ports[0])]


# ---- what comes of it


def _passage(network: HostNetwork, family: str, ways: Sequence[Way]) -> FramePassage:
    """What the ways say together: what stops a frame on some of them only may stop it."""
    told = [_outcome(network.rules, way) for way in ways]
    always = [one for one in told[0].stops if all(one in other.stops for other in told)]
    stops = always or (list(told[0].stops) if len(told) == 1 else [])
    may_stop = [one for each in told for one in (*each.may_stop, *each.stops) if one not in stops]
    lost = [each.result is Possibility.NO for each in told]
    result = Possibility.NO if all(lost) else Possibility.YES
    if result is Possibility.YES and (stops or may_stop or network.rules.unread):
        result = Possibility.PERHAPS
    return FramePassage(
        family=family,
        result=result,
        stops=_once(stops),
        may_stop=_once(may_stop),
        lets=_once(one for each in told for one in each.lets),
        chains=max(each.chains for each in told),
        gaps=network.rules.unread,
    )


def _outcome(rules: Rules, way: Way) -> FramePassage:
    stops: list[RuleVerdict] = []
    may_stop: list[RuleVerdict] = []
    lets: list[RuleVerdict] = []
    surely_lost = False
    for chain, facts in way:
        ends = every_end(rules, chain, facts)
        possible = [RuleVerdict(verdict=end.verdict, base=chain, by=end.by) for end in ends]
        plain = plain_end(rules, chain, facts)
        default = RuleVerdict(verdict=plain.verdict, base=chain, by=plain.by)
        passing = [one for one in possible if not one.loses]
        surely_lost = surely_lost or not passing
        if default.loses:
            stops.append(default)
            lets += [one for one in passing if one.by is not None]
        elif default.by is not None:
            lets.append(default)
        may_stop += [one for one in possible if one.loses and one != default]
    result = Possibility.NO if surely_lost else Possibility.PERHAPS if stops or may_stop else Possibility.YES
    return FramePassage(
        family="", result=result, stops=tuple(stops), may_stop=tuple(may_stop), lets=tuple(lets), chains=len(way)
    )


def _once(verdicts: Iterable[RuleVerdict]) -> tuple[RuleVerdict, ...]:
    return tuple({str(one): one for one in verdicts}.values())


def routes_over(state: HostState, family: str, link: str = "") -> str:
    """Whether the host has a default route (``all``), another one (``some``), or ``none``; over a link, if named."""
    is_ipv6 = family == "ip6"
    mine = [one for one in state.routes if one.is_ipv6 == is_ipv6 and (not link or one.dev == link)]
    links = [one for one in state.links.values() if not link or one.name == link]
    if any(route.dst in DEFAULT_ROUTES for route in mine):
        return "all"
    return "some" if mine or any((":" in a.ip) == is_ipv6 for one in links for a in one.addresses) else "none"


def own_bridges(state: HostState) -> Iterator[str]:
    """The bridges of a host that are no container program's nor libvirt's: what an administrator put guests on."""
    for link in state.links.values():
        name = str(link.name)
        taken = name.startswith(("docker", "virbr", "lxcbr", "lxdbr", "incusbr", "cni", "podman")) or (
            name.startswith("br-") and len(name) == 15 and all(c in "0123456789abcdef" for c in name[3:])
        )
        if isinstance(link.options, Bridge) and not taken:
            yield name
