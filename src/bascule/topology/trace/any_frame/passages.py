"""Whether rules let frames pass of which only some things are known: between a bridge's ports, into the host, routed.

Where a walk follows one packet from one sender, this asks for all of a kind: whoever sends them, by whatever service.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from enum import StrEnum
from ipaddress import ip_interface
from itertools import product
from typing import Any

from msgspec import Struct
from msgspec.structs import replace

from bascule.model.kernel_parameters import VLAN_TAGGED
from bascule.model.values import IpAddress, IpNetwork, listed
from bascule.topology.trace.any_frame.ways import (
    FAMILIES,
    VERSION_OF,
    FramePath,
    HookFields,
    bridged,
    fib,
    inward,
    ip_hook,
    outward,
    plain,
    ports_by_kind,
    tagged_0,
)
from bascule.topology.trace.network import HostNetwork
from bascule.topology.trace.packet import INVALID, NEW, TCP, UDP, UNTRACKED, neighbour_frame
from bascule.topology.trace.rules.evaluate import ChainEnd, MatchedLine, every_end, plain_end
from bascule.topology.trace.rules.lines import NoTrack, RuleChain, Rules
from bascule.topology.trace.rules.words import chain_words

WORDS = {"ip": "IPv4", "ip6": "IPv6", "arp": "ARP"}
LOSES = {"drop", "reject"}
UNTRACKS = "notrack"
BROADCASTS = {("udp", 67): 0xFFFFFFFF, ("udp", 547): 0xFF02000000000000_0000000000010002}  # who has no address asks so
LINK_LOCAL = (0xFE80 << 112, (0xFEC0 << 112) - 1)
ASKS_FROM: Mapping[tuple[str, int], int | tuple[int, int]] = {("udp", 67): 0, ("udp", 547): LINK_LOCAL}
CLIENTS = {("udp", 67): 68, ("udp", 547): 546}  # RFC 2131, 4.1; RFC 8415, 7.2
NAMED = 4  # links that are named, of those that are ports_by_kind


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
        then = " (then no state of a connection lets it pass)" if self.verdict == UNTRACKS else ""
        return f"{said} in {chain_words(self.chain)}{then}"


class FrameLoss(Struct, frozen=True, kw_only=True):
    """Some frames that are lost for certain, where others are not: ``which`` says which, ``stops`` what loses them.

    ``whole``: nothing else comes from a port, or to it, or of a subnet at all.
    """

    which: str
    stops: tuple[RuleVerdict, ...]
    whole: bool


class FramePassage(Struct, frozen=True, kw_only=True):
    """What becomes of new frames of a family.

    ``stops`` are the verdicts that a frame meets which no rule speaks of, so that it is lost; ``cuts`` the same of
    those from or to some ports, or of a subnet. ``may_stop`` are rules that lose some frames or whose test is not
    understood, ``lets`` rules that let some through, ``gaps`` what could not be read. ``chains`` says how many they
    pass; ``passing`` are subnets from and to whose addresses all pass for certain.
    """

    family: str
    result: Possibility
    stops: tuple[RuleVerdict, ...] = ()
    cuts: tuple[FrameLoss, ...] = ()
    may_stop: tuple[RuleVerdict, ...] = ()
    lets: tuple[RuleVerdict, ...] = ()
    chains: int = 0
    gaps: tuple[str, ...] = ()
    passing: tuple[IpNetwork, ...] = ()

    @property
    def words(self) -> str:
        """The family as people say it."""
        return WORDS[self.family]

    @property
    def losing(self) -> tuple[RuleVerdict, ...]:
        """What has to be mended, the most certain first."""
        return self.stops or once(stop for cut in self.cuts for stop in cut.stops) or self.may_stop


def drops_vlan_0(network: HostNetwork, bridge: str, family: str) -> bool:
    """Whether the chains of bridges and links stop every frame of a family that bears a tag of VLAN 0."""
    return all(_outcome(network.rules, way).stops for way in tagged_0(network, bridge, family))


def bridged_frames(network: HostNetwork, bridge: str, subnets: Collection[IpNetwork] = ()) -> tuple[FramePassage, ...]:
    """What becomes of frames between the ports of a bridge, for IPv4, IPv6 and ARP; ``subnets`` are those of guests.

    They pass the chains at each port, those of family bridge, and those of ip, ip6 and inet where br_netfilter calls
    them: there they come in and go out by the bridge itself.
    """
    found, ports = [], ports_by_kind(network, bridge)
    for family in (*FAMILIES, "arp"):
        told = _told(network.rules, bridged(network, bridge, family))
        passage = _passage(network, family, [one for _, one in told])
        cuts = list(_cuts(told, ports))
        passing = list[IpNetwork]()
        for subnet in subnets if family in FAMILIES and passage.may_stop else ():
            if subnet.version == VERSION_OF[family]:
                inside = _told(network.rules, bridged(network, bridge, family, subnet))
                known = [*passage.stops, *(stop for cut in cuts for stop in cut.stops)]
                cuts += _cuts(inside, ports, within=f" from and to {subnet}", known=known)
                if _passage(network, family, [one for _, one in inside]).result is Possibility.YES:
                    passing.append(subnet)
        if passage.result is Possibility.PERHAPS:
            passage = replace(passage, cuts=tuple(cuts), passing=tuple(passing))
        found.append(passage)
    return tuple(found)


def between(network: HostNetwork, bridge: str, family: str, came: str, left: str) -> FramePassage:
    """What becomes of frames of a family from one port of a bridge to another; of all where either is no port."""
    kinds = ports_by_kind(network, bridge)
    like = [next(({*kind, None} for kind in kinds if name in kind), None) for name in (came, left)]
    told = _told(network.rules, bridged(network, bridge, family))
    first, last = like
    if first is not None and last is not None:
        told = [(way, one) for way, one in told if way.came in first and way.left in last] or told
    return _passage(network, family, [one for _, one in told])


def passed_by(network: HostNetwork, bridge: str) -> tuple[tuple[str, ...], tuple[RuleVerdict, ...]]:
    """Where frames cross a bridge with a VLAN tag, and what IP chains would stop of them if they were asked.

    The first are ports in words; both are empty where br_netfilter is off, or asks them of tagged frames as well.
    """
    ports = ports_by_kind(network, bridge)
    pairs, stops = list[str](), list[RuleVerdict]()
    closed = replace(network, sysctls={**network.sysctls, VLAN_TAGGED: "1"})
    for family in FAMILIES:
        if network.meets_ip_chains(tagged=True) or not network.filters_bridged(bridge, VERSION_OF[family]):
            continue
        ways = (bridged(one, bridge, family) for one in (network, closed))
        for way, other in zip(*ways, strict=True):
            met = [chain.key for chain, _ in way.stations]
            further = tuple(one for one in other.stations if one[0].key not in met)
            passage = _outcome(network.rules, FramePath(way.came, way.left, further))
            if passage.losing:
                names = (_names([name], ports) if name else "any" for name in (way.came, way.left))
                pairs.append(" to ".join(names))
                stops += [*passage.stops, *passage.may_stop]
    return tuple(dict.fromkeys(pairs)), once(stops)


def into_host(network: HostNetwork, link: str, family: str, protocol: str, port: int) -> FramePassage:
    """What becomes of a guest's question to a port of the host itself, coming in by a link."""
    known = _of_protocol(network, family, protocol) | dict.fromkeys(("th dport", f"{protocol} dport"), port)
    group = BROADCASTS.get((protocol, port))
    kind = "local" if group is None else "broadcast" if family == "ip" else "multicast"
    known |= fib(network, family, link, daddr=kind)
    if group is not None:
        known |= {f"{family} daddr": group, "meta pkttype": 1 if family == "ip" else 2}
        known |= {f"{family} saddr": ASKS_FROM[protocol, port]}
        known |= dict.fromkeys(("th sport", f"{protocol} sport"), CLIENTS[protocol, port])
        known |= {name: link for name in known if name.startswith("fib ") and "saddr" in name}  # it has no address yet
    ways = inward(network, link, family, known)
    up = tuple(ip_hook(network, family, "input", known, iif=link))
    return of_all(network, family, [replace(way, stations=way.stations + up) for way in ways])


def from_host(network: HostNetwork, link: str, family: str, protocol: str, port: int) -> FramePassage:
    """What becomes of the answer that a port of the host itself sends to a guest by a link."""
    known = _of_protocol(network, family, protocol) | dict.fromkeys(("th sport", f"{protocol} sport"), port)
    known |= fib(network, family, link, daddr="unicast")
    known |= {"ct state": None, "ct status": None}  # an answer, but for those to who has no address yet
    known |= dict.fromkeys(("th dport", f"{protocol} dport"), CLIENTS.get((protocol, port)))
    down = tuple(ip_hook(network, family, "output", known, oif=link))
    ways = outward(network, link, family, known)
    return of_all(network, family, [replace(way, stations=down + way.stations) for way in ways])


def own_arp(network: HostNetwork, link: str, hook: str, other: int) -> FramePassage:
    """What becomes of the ARP frames that the host takes (``input``) from another machine on a link, or sends to it."""
    takes = hook == "input"
    known = plain(network, "arp") | {"arp htype": 1, "arp hlen": 6, "arp plen": 4}
    known |= {f"arp {'saddr' if takes else 'daddr'} ip": other}
    stations = tuple(ip_hook(network, "arp", hook, known, **{"iif" if takes else "oif": link}))
    return of_all(network, "arp", [FramePath(link, None, stations)])


def own_search(
    network: HostNetwork, link: str, hook: str, other: IpAddress, operations: Sequence[int] = (1, 2)
) -> Iterator[FramePassage]:
    """What becomes of ARP frames or neighbour discovery that the host takes from another machine on a link, or sends.

    ``operations`` are the question (1) and the answer (2); of ARP both are meant.
    """
    if other.version == 4:
        yield own_arp(network, link, hook, int(other))
        return
    found = network.link(link)
    near = [ip_interface(one.ip) for one in found.addresses if one.is_ipv6] if found is not None else []
    takes = hook == "input"
    for own, operation in product((one.ip for one in near if other in one.network), operations):
        sender, target = (other, own) if takes else (own, other)
        known = plain(network, "ip6") | neighbour_frame(6, operation, 0, int(sender), 0, int(target))
        known |= {"ether saddr": None, "ether daddr": None, "nd option mac": None, "ct state": UNTRACKED}
        known |= {"meta pkttype": (2 if operation == 1 else 0) if takes else None}
        to = "multicast" if operation == 1 else "local" if takes else "unicast"
        known |= fib(network, "ip6", link, daddr=to)
        stations = tuple(ip_hook(network, "ip6", hook, known, **{"iif" if takes else "oif": link}))
        yield of_all(network, "ip6", [FramePath(link, None, stations)])


def _of_protocol(network: HostNetwork, family: str, protocol: str) -> dict[str, Any]:
    number = {"tcp": TCP, "udp": UDP}[protocol]
    known = plain(network, family) | {
        "meta l4proto": number,
        {"ip": "ip protocol", "ip6": "ip6 nexthdr"}[family]: number,
    }
    others = tuple(f"{other} " for other in ("tcp", "udp", "icmp", "icmpv6") if other != protocol)
    return {key: value for key, value in known.items() if not key.startswith(others)}


def routed(network: HostNetwork, family: str, *, into: str = "", out: str = "", state: int = NEW) -> FramePassage:
    """What becomes of packets that the host forwards from a link, or to one; the other side is any other link.

    ``state`` is what connection tracking says of them: NEW, or ESTABLISHED for the answers.
    """
    known = plain(network, family) | {"ct state": state}
    known |= {"ct status": 0 if state == NEW else None}
    asked = fib(network, family, into, daddr="unicast")
    across = tuple(ip_hook(network, family, "forward", known, iif=into, oif=out))
    if into:
        ways = inward(network, into, family, known | asked)
        return of_all(network, family, [replace(way, stations=way.stations + across) for way in ways])
    ways = outward(network, out, family, known)
    return of_all(network, family, [replace(way, stations=across + way.stations) for way in ways])


# ---- what comes of it


Told = list[tuple[FramePath, FramePassage]]


def _told(rules: Rules, ways: Iterable[FramePath]) -> Told:
    return [(way, _outcome(rules, way)) for way in ways]


def of_all(network: HostNetwork, family: str, ways: Iterable[FramePath]) -> FramePassage:
    """What becomes of frames that go one of these ways."""
    return _passage(network, family, [one for _, one in _told(network.rules, ways)])


def _cuts(
    told: Told, ports: Sequence[Sequence[str]], *, within: str = "", known: Collection[RuleVerdict] = ()
) -> Iterator[FrameLoss]:
    """What is lost for certain on some of the ways only, beside what is ``known``; within a subnet, on all as well."""
    lost = {(way.came, way.left): one for way, one in told if one.stops or one.result is Possibility.NO}
    for way, one in told:  # with a tag they may pass where others do not
        if not (one.stops or one.result is Possibility.NO):
            lost.pop((way.came, way.left), None)
    fresh = [one for one in lost.values() if any(stop not in known for stop in one.stops or one.may_stop)]
    if not fresh:
        return
    if len(lost) == len({*_keys(told)}):
        if within:
            yield _cut(within.lstrip(), fresh, whole=True)
        return
    pairs = dict(lost)
    for side, words in ((0, "that come in by"), (1, "that leave by")):
        ends = dict.fromkeys((way.came, way.left)[side] for way, _ in told)
        shut = [one for one in ends if one and all(key in lost for key in _keys(told) if key[side] == one)]
        if any(key[side] in shut for key in pairs):
            some = [one for key, one in lost.items() if key[side] in shut]
            pairs = {key: one for key, one in pairs.items() if key[side] not in shut}
            yield _cut(f"{words} {_names(shut, ports)}{within}", some, whole=True)
    for (came, left), one in pairs.items():
        ends_of = (_names([name], ports) if name else "any other port" for name in (came, left))
        yield _cut(f"{' '.join(('from', next(ends_of), 'to', next(ends_of)))}{within}", [one], whole=False)


def _keys(told: Told) -> Iterator[tuple[str | None, str | None]]:
    return ((way.came, way.left) for way, _ in told)


def _cut(which: str, some: Iterable[FramePassage], *, whole: bool) -> FrameLoss:
    return FrameLoss(which=which, stops=once(stop for one in some for stop in one.stops or one.may_stop), whole=whole)


def _names(shut: Sequence[str], ports: Sequence[Sequence[str]]) -> str:
    """These ports and those that are like them."""
    return listed((name for kind in ports if set(kind) & set(shut) for name in kind), NAMED)


def _passage(network: HostNetwork, family: str, told: Sequence[FramePassage]) -> FramePassage:
    """What the ways say together: what stops a frame on some of them only may stop it."""
    if not told:  # no two ports have a VLAN in common
        return FramePassage(family=family, result=Possibility.YES)
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
        stops=once(stops),
        may_stop=once(may_stop),
        lets=once(one for each in told for one in each.lets),
        chains=max(each.chains for each in told),
        gaps=network.rules.unread,
    )


def _outcome(rules: Rules, way: FramePath) -> FramePassage:
    stops: list[RuleVerdict] = []
    may_stop: list[RuleVerdict] = []
    lets: list[RuleVerdict] = []
    surely_lost = False
    untracked: RuleVerdict | None = None
    for chain, facts in way.stations:
        ends = every_end(rules, chain, facts)
        possible = [RuleVerdict(verdict=end.verdict, base=chain, by=end.by) for end in ends]
        end = plain_end(rules, chain, facts)
        default = RuleVerdict(verdict=end.verdict, base=chain, by=end.by)
        passing = [one for one in possible if not one.loses]
        surely_lost = surely_lost or not passing
        if default.loses:
            stops.append(default)
            lets += [one for one in passing if one.by is not None]
        elif default.by is not None:
            lets.append(default)
        may_stop += [one for one in possible if one.loses and one != default]
        if untracked is not None and facts.get("ct state") == NEW:
            ends = every_end(rules, chain, {**facts, "ct state": UNTRACKED})
            fresh = [RuleVerdict(verdict=end.verdict, base=chain, by=end.by) for end in ends]
            fresh = [one for one in fresh if one.loses and one not in possible]
            may_stop += [*fresh, untracked] if fresh else []
        untracked = untracked or _untracked(chain, facts, ends)
    result = Possibility.NO if surely_lost else Possibility.PERHAPS if stops or may_stop else Possibility.YES
    return FramePassage(
        family="",
        result=result,
        stops=tuple(stops),
        may_stop=tuple(may_stop),
        lets=tuple(lets),
        chains=len(way.stations),
    )


def _untracked(chain: RuleChain, facts: HookFields, ends: Iterable[ChainEnd]) -> RuleVerdict | None:
    """The rule by which connection tracking leaves frames alone, before it sees them: then no state lets them pass."""
    if facts.get("ct state") != INVALID:
        return None
    hits = (hit for end in ends if end.fields.get("ct state") == UNTRACKED for hit in end.hits)
    by = next((hit for hit in hits if any(isinstance(part, NoTrack) for part in hit.line.parts)), None)
    return None if by is None else RuleVerdict(verdict=UNTRACKS, base=chain, by=by)


def once(verdicts: Iterable[RuleVerdict]) -> tuple[RuleVerdict, ...]:
    """The same without those that read alike."""
    return tuple({str(one): one for one in verdicts}.values())
