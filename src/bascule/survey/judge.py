"""From evidence to a verdict: which declared network is on which wire, how sure, and why. Pure.

Every network of the site gets points on every segment of a NIC (untagged, or one tag) for what was heard there. The
confidence of the best is ``(1 - 2 ** (-points / HALF)) * points / (points + rival)``: it grows with the evidence and
falls when a second network, declared or not, fits as well. Below SURE_ENOUGH the answer is "cannot tell".
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from msgspec import Struct

from bascule.model.site import Network, Site
from bascule.model.values import IpAddress, IpNetwork, count, grouped, is_within, listed, overlap
from bascule.survey.facts import BELIEVED, NAMELESS, Prefixes, WireSegment, clusters

HALF = 1.5  # points that give a confidence of one half when nothing speaks against it
SURE_ENOUGH = 0.6
VERY_LIKELY = 0.85
RIVAL = 0.5  # a second network with this share of the best one's points fits as well

STATED = 3.5  # a DHCP server, an RA or an OSPF hello states the declared subnet
GATEWAY_VIRTUAL = 4.0  # HSRP, VRRP or GLBP keeps up the declared gateway
GATEWAY_STATED = 2.5  # DHCP hands out the declared gateway
GATEWAY_SPEAKS = 2.5  # it sends ARP itself
GATEWAY_ASKED = 1.0  # three or more ask for it
VLAN_SAID = 3.5  # PVST, LLDP or CDP give the declared VLAN's number for the untagged frames
VLAN_TAG = 2.5  # frames carry the declared tag
SAME_WIRE = 2.5  # another NIC of the same wire was recognised
ELSEWHERE = 1.0  # points that a network loses when the tag is another than the declared one


class Indication(Struct, frozen=True, order=True):
    """One reason: what it weighs, its kind (a decoder's or a field's word), the sentence, and the frames behind it."""

    weight: float
    kind: str
    detail: str
    frames: int


class Candidate(Struct, frozen=True, kw_only=True):
    """A declared network on one segment."""

    network: str
    points: tuple[Indication, ...]

    @property
    def score(self) -> float:
        """The sum of its points."""
        return max(0.0, sum(point.weight for point in self.points))


class SegmentVerdict(Struct, frozen=True, kw_only=True):
    """What is on one segment. ``network`` is None where it cannot be told; ``why`` then says why not."""

    segment: WireSegment
    network: str | None = None
    confidence: float = 0.0
    best: Candidate | None = None
    foreign: tuple[tuple[IpNetwork, int, bool], ...] = ()
    why: str = ""

    @property
    def words(self) -> str:
        """The confidence in words."""
        return confidence_words(self.confidence) if self.network else "cannot tell"


def confidence_words(confidence: float) -> str:
    """Certain, very likely, likely, or that it cannot be told."""
    for least, words in ((0.95, "certain"), (VERY_LIKELY, "very likely"), (SURE_ENOUGH, "likely")):
        if confidence >= least:
            return words
    return "cannot tell"


def senders_weight(number: int) -> float:
    """What senders in a subnet weigh: one is next to nothing, three are worth believing, more add little."""
    return (0.0, 0.8, 1.5)[number] if number < BELIEVED else min(2.2 + 0.1 * (number - BELIEVED), 3.0)


def judge_segment(seg: WireSegment, site: Site, extra: Iterable[Candidate] = ()) -> SegmentVerdict:
    """Which network of the site one segment is. ``extra`` are points that other NICs give."""
    more = {candidate.network: candidate.points for candidate in extra}
    homes = members(seg, site)
    candidates = []
    for network in site.networks.values():
        points = [
            *_points(seg, network, homes[network.name]),
            *more.get(network.name, ()),
        ]
        points += _vlan_points(seg, network, has_points=bool(points))
        candidates.append(Candidate(network=network.name, points=tuple(sorted(points, reverse=True))))
    candidates.sort(key=lambda candidate: (-candidate.score, candidate.network))
    foreign = _foreign(seg, site, homes[None])
    best = candidates[0] if candidates and candidates[0].score > 0 else None
    if best is None:
        return SegmentVerdict(segment=seg, foreign=foreign, why=_why_nothing(seg, foreign))
    alien = _alien(foreign, site.networks[best.network])
    rivals = tuple(c for c in candidates[1:] if c.score >= RIVAL * best.score)
    second = max(alien, candidates[1].score if len(candidates) > 1 else 0.0)
    confidence = min(round((1 - 2 ** (-best.score / HALF)) * best.score / (best.score + second), 2), 0.99)
    if rivals:
        fitting = [f"{one.network} ({one.points[0].detail})" for one in (best, *rivals)]
        why = f"{'two' if len(fitting) == 2 else 'several'} networks fit: {listed(fitting, most=4)}"
    elif alien > best.score:
        why = _why_nothing(seg, foreign)
    elif confidence < SURE_ENOUGH:
        why = f"the evidence is thin: {best.points[0].detail}"
    else:
        return SegmentVerdict(segment=seg, network=best.network, confidence=confidence, best=best, foreign=foreign)
    return SegmentVerdict(
        segment=seg, confidence=min(confidence, SURE_ENOUGH - 0.01), best=best, foreign=foreign, why=why
    )


def _alien(foreign: tuple[tuple[IpNetwork, int, bool], ...], network: Network) -> float:
    """What undeclared subnets weigh against a network; IPv6 beside a network that declares IPv4 alone is no rival."""
    versions = {subnet.version for subnet in network.subnets} or {4, 6}
    weights = (
        STATED if stated else senders_weight(number) for net, number, stated in foreign if net.version in versions
    )
    return max(weights, default=0.0)


def _why_nothing(seg: WireSegment, foreign: tuple[tuple[IpNetwork, int, bool], ...]) -> str:
    if foreign:
        return f"hears {foreign[0][0]}, which the file does not declare"
    return NAMELESS if seg.is_silent else "what was heard fits no declared network"


def _points(seg: WireSegment, network: Network, inside: list[IpAddress]) -> list[Indication]:
    points: list[Indication] = []
    for (net, how), number in seg.stated.items():
        if not seg.is_stated(net):
            continue
        if net in network.subnets or any(
            is_within(net, subnet) and how == "DHCPv6 address" for subnet in network.subnets
        ):
            points.append(Indication(STATED, _kind(how), f"{how} states {net}", number))
        elif any(overlap(net, subnet) for subnet in network.subnets):
            points.append(
                Indication(1.0, _kind(how), f"{how} states {net}, the file says {_list(network.subnets)}", number)
            )
    points += _gateway_points(seg, network)
    if inside:
        asked = sum(seg.senders[ip] for ip in inside)
        homes = (net for net in network.subnets if any(ip in net for ip in inside))
        number = seg.machines(inside)
        words = f"{count(number, 'sender')} in {_list(homes)}"
        points.append(Indication(senders_weight(number), seg.evidence_kind(inside), words, asked))
    return points


def _gateway_points(seg: WireSegment, network: Network) -> list[Indication]:
    points = []
    gateways = set(network.gateways)
    for (ip, how, detail), number in seg.gateways.items():
        if ip in gateways:
            virtual = how in ("HSRP", "VRRP", "GLBP") and _is_at_home(seg, network, ip, how)
            words = (
                f"{how} {detail + ' ' if detail else ''}announces {ip}, the gateway of {network.name}"
                if virtual
                else f"{how} hands out {ip}, the gateway of {network.name}"
            )
            if virtual or how in ("DHCP", "RA"):
                points.append(Indication(GATEWAY_VIRTUAL if virtual else GATEWAY_STATED, _kind(how), words, number))
    for ip in network.gateways:
        if ip in seg.senders:
            points.append(
                Indication(GATEWAY_SPEAKS, "gateway", f"{ip}, the gateway of {network.name}, speaks", seg.senders[ip])
            )
        elif seg.askers.get(ip, 0) >= BELIEVED:
            points.append(
                Indication(
                    GATEWAY_ASKED, "gateway", f"{ip}, the gateway of {network.name}, is asked for", seg.asked[ip]
                )
            )
    return points


def _is_at_home(seg: WireSegment, network: Network, gateway: IpAddress, how: str) -> bool:
    """Whether the routers that keep up an IPv4 gateway have addresses beside it.

    VRRP is often sent on a wire between two firewalls for the addresses of all their others.
    """
    routers = [ip for ip, protocols in seg.heard_by.items() if how in protocols]
    near = (ip for ip in routers if any(ip in subnet for subnet in network.subnets))
    return gateway.version == 6 or not routers or any(near)


def _vlan_points(seg: WireSegment, network: Network, *, has_points: bool) -> list[Indication]:
    points = []
    if seg.tags == () and network.vlan is not None:
        for vid in sorted({vid for vid, _ in seg.native}):
            said = sorted(how for number, how in seg.native if number == vid)  # one fact, however many say it
            words = f"{' and '.join(said)} {'say' if len(said) > 1 else 'says'} that untagged is VLAN {vid}"
            frames = sum(seg.native[vid, how] for how in said)
            if vid == network.vlan:
                points.append(Indication(VLAN_SAID, _kind(said[0]), words, frames))
            elif has_points:
                points.append(Indication(-ELSEWHERE, _kind(said[0]), f"{words}, not {network.vlan}", frames))
    elif seg.tags and network.vlan == seg.vid and len(seg.tags) == 1 and (seg.vid in seg.pvst or not seg.pvst):
        points.append(Indication(VLAN_TAG, "vlan", f"frames are tagged {seg.vid}", seg.frames))
    elif seg.tags and has_points:
        wanted = f"VLAN {network.vlan}" if network.vlan is not None else "untagged"
        words = f"frames are {seg.words}, the file says {wanted}"
        if network.vlan == seg.vid and seg.pvst:
            words = (
                f"frames are {seg.words}, but the spanning tree in them is of VLAN {listed(map(str, sorted(seg.pvst)))}"
            )
        points.append(Indication(-ELSEWHERE, "vlan", words, seg.frames))
    return points


def members(seg: WireSegment, site: Site) -> Mapping[str | None, list[IpAddress]]:
    """The senders of each declared network, by the longest prefix that holds them; under None those of no network."""
    found: dict[str | None, list[IpAddress]] = {None: [], **{name: [] for name in site.networks}}
    nets = grouped((subnet, network.name) for network in site.networks.values() for subnet in network.subnets)
    known = Prefixes(nets)
    for ip in seg.senders:
        home = known.narrowest(ip)
        for name in nets[home] if home is not None else (None,):
            found[name].append(ip)
    return found


def _foreign(seg: WireSegment, site: Site, strangers: list[IpAddress]) -> tuple[tuple[IpNetwork, int, bool], ...]:
    """Subnets on the segment that no network of the file has."""
    declared = [subnet for network in site.networks.values() for subnet in network.subnets]
    return tuple(
        (net, number, stated)
        for net, number, stated in clusters(seg, strangers)
        if ((stated and seg.is_stated(net)) or number >= BELIEVED)
        and not any(overlap(net, subnet) for subnet in declared)
    )


def other_senders(seg: WireSegment, mine: str, site: Site) -> Mapping[str, int]:
    """How many senders of each other declared network speak on a segment, where they are three or more."""
    own = site.networks[mine]
    homes = members(seg, site)
    found = {}
    for network in site.networks.values():
        if network.name == mine or set(network.subnets) & set(own.subnets):
            continue
        number = seg.machines(homes[network.name])
        if number >= BELIEVED:
            found[network.name] = number
    return found


def _kind(how: str) -> str:
    return how.split(maxsplit=1)[0].lower()


def _list(nets: Iterable[IpNetwork]) -> str:
    return ", ".join(str(net) for net in nets)
