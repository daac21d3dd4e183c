"""Which NICs hang on one wire: they hear the same senders, the same spanning tree and VLAN, or each other. Pure."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from itertools import combinations, product
from typing import NamedTuple, TypeVar

from msgspec import Struct

from bascule.frames.envelope import Tags
from bascule.frames.findings import Lacp, Sender
from bascule.model.values import count, listed, overlap
from bascule.survey.evidence import NicTraffic
from bascule.survey.facts import BELIEVED, WireSegment, clusters, native_vlan
from bascule.survey.judge import SegmentVerdict
from bascule.survey.neighbours import Port, bpdus, is_guest_mac, same_switch
from bascule.topology.layer2 import CableEnd
from bascule.topology.wires import Wire, WireKind, join

K = TypeVar("K")

MANY = 50  # subnets on one segment that are compared with another's, the most populated first
FEW = 8  # VLANs in which one sender or one network may be and still say something


class ActiveProof(Struct, frozen=True):
    """A frame that left one NIC and came in at another (``--active``)."""

    sent: CableEnd
    heard: CableEnd


class SharedSegmentReason(NamedTuple):
    """Why two ends are in one broadcast domain, and whether that is proven or only presumed."""

    reason: str
    proven: bool = True


class NicEvidence(Struct, frozen=True, kw_only=True):
    """All that is known of one NIC before the wires are compared."""

    heard: NicTraffic
    port: Port | None
    verdicts: Mapping[Tags, SegmentVerdict]
    segments: Mapping[Tags, WireSegment]
    senders: Mapping[Tags, frozenset[tuple[str, str]]]  # MAC and address
    sources: Mapping[Tags, frozenset[str]]  # MACs
    roots: Mapping[Tags, frozenset[str]]

    @classmethod
    def of(
        cls,
        heard: NicTraffic,
        port: Port | None,
        verdicts: Mapping[Tags, SegmentVerdict],
        segments: Mapping[Tags, WireSegment],
    ) -> NicEvidence:
        """With the sets that are compared for every pair of NICs, made once."""
        ends = tuple(sorted({(), *heard.segments}))
        everywhere: set[str] = set()  # the one spanning tree of STP, RSTP and MSTP holds for all VLANs of a wire
        own: dict[Tags, set[str]] = defaultdict(set)
        for tree, _, _, at in bpdus(heard):
            (everywhere if tree.vlan is None else own[at]).add(tree.root)
        return cls(
            heard=heard,
            port=port,
            verdicts=verdicts,
            segments=segments,
            senders={
                tags: frozenset(
                    (src, said.ip) for said, src, _ in heard.of(Sender, tags) if not said.ip.startswith("fe80:")
                )
                for tags in ends
            },
            sources={tags: frozenset(fact.src for fact in heard.facts.get(tags, ())) for tags in ends},
            roots={tags: frozenset(everywhere | own.get(tags, set())) for tags in ends},
        )


def shared_segments(nics_evidence: Mapping[str, NicEvidence], proofs: Iterable[ActiveProof] = ()) -> tuple[Wire, ...]:
    """The wires on which more than one NIC hangs."""
    ties: dict[frozenset[CableEnd], SharedSegmentReason] = {}
    for proof in proofs:
        if proof.sent.nic != proof.heard.nic:
            ties[frozenset((proof.sent, proof.heard))] = SharedSegmentReason(
                f"a frame sent on {proof.sent} came in on {proof.heard}"
            )
    for one, two in combinations(sorted(nics_evidence), 2):
        for pair, tie in _compare(nics_evidence[one], nics_evidence[two]):
            ties.setdefault(pair, tie)
    lags = _lags(nics_evidence)
    by_nics: dict[tuple[str, ...], list[frozenset[CableEnd]]] = defaultdict(list)
    wire_of: dict[CableEnd, tuple[str, ...]] = {}
    for domain in join(ties):
        nics = tuple(sorted({end.nic for end in domain}))
        by_nics[nics].append(domain)
        wire_of.update(dict.fromkeys(domain, nics))
    reasons: dict[tuple[str, ...], list[str]] = defaultdict(list)
    for pair, tie in ties.items():
        reasons[wire_of[min(pair)]].append(tie.reason)
    proven: dict[tuple[str, ...], list[frozenset[CableEnd]]] = defaultdict(list)
    for domain in join(pair for pair, tie in ties.items() if tie.proven):
        proven[wire_of[min(domain)]].append(domain)
    for nics, words in lags.items():
        by_nics.setdefault(nics, [frozenset(CableEnd(nic, ()) for nic in nics)])
        reasons[nics].append(words)
    return tuple(
        Wire(
            nics=nics,
            kind=_kind(nics, shared, lags),
            domains=tuple(shared),
            reasons=tuple(dict.fromkeys(reasons[nics])),
            proven=tuple(proven[nics]),
        )
        for nics, shared in sorted(by_nics.items())
        if len(nics) > 1
    )


def _kind(nics: tuple[str, ...], shared: list[frozenset[CableEnd]], lags: Mapping[tuple[str, ...], str]) -> WireKind:
    if any(set(nics) <= set(lag) for lag in lags):
        return "LAG"
    return "trunk" if any(end.tags for domain in shared for end in domain) else "plain"


def _lags(nics_evidence: Mapping[str, NicEvidence]) -> dict[tuple[str, ...], str]:
    """NICs whose switch ports belong to one aggregated link."""
    ends: dict[tuple[str, object], set[str]] = defaultdict(set)
    for nic, evidence in nics_evidence.items():
        for said, src, _ in evidence.heard.of(Lacp):
            if not is_guest_mac(src):
                ends[f"LACP system {said.system[5:]} key {said.key}", said.key].add(nic)
        if evidence.port is not None and evidence.port.lag:
            ends[
                f"{evidence.port.via} of {evidence.port.name} says aggregated port {evidence.port.lag}",
                evidence.port.chassis,
            ].add(nic)
    return {tuple(sorted(nics)): words for (words, _), nics in sorted(ends.items(), key=str) if len(nics) > 1}


def _compare(one: NicEvidence, two: NicEvidence) -> Iterable[tuple[frozenset[CableEnd], SharedSegmentReason]]:
    for tags, other in _candidates(one, two):
        ends = frozenset((CableEnd(one.heard.nic, tags), CableEnd(two.heard.nic, other)))
        tie = _tie(one, tags, two, other)
        if tie is not None:
            yield ends, tie


def _candidates(one: NicEvidence, two: NicEvidence) -> list[tuple[Tags, Tags]]:
    """The ends that may be one: of the same tag, untagged and any, or with the same senders or the same network.

    All pairs would be millions on two trunks with every VLAN. Who is in many VLANs tells none of them.
    """
    pairs = {(tags, tags) for tags in one.senders if tags in two.senders}
    pairs |= {((), tags) for tags in two.senders} | {(tags, ()) for tags in one.senders}
    pairs.update(_meetings(one.senders, two.senders))
    pairs.update(_meetings(_networks(one), _networks(two)))
    return sorted(pairs)


def _meetings(one: Mapping[Tags, frozenset[K]], two: Mapping[Tags, frozenset[K]]) -> Iterator[tuple[Tags, Tags]]:
    """The pairs of ends on which the same is heard."""
    here, there = _index(one), _index(two)
    for key in here.keys() & there.keys():
        if len(here[key]) <= FEW and len(there[key]) <= FEW:
            yield from product(here[key], there[key])


def _index(sets: Mapping[Tags, frozenset[K]]) -> dict[K, list[Tags]]:
    """Where each member stands."""
    found: dict[K, list[Tags]] = defaultdict(list)
    for tags, members in sets.items():
        for member in members:
            found[member].append(tags)
    return found


def _networks(evidence: NicEvidence) -> dict[Tags, frozenset[str]]:
    return {tags: frozenset({found.network}) for tags, found in evidence.verdicts.items() if found.network is not None}


def _tie(one: NicEvidence, tags: Tags, two: NicEvidence, other: Tags) -> SharedSegmentReason | None:
    """Why two ends are in one broadcast domain; None where they are not, or nobody knows."""
    heard = _hears_itself(one, tags, two, other) or _hears_itself(two, other, one, tags)
    if heard:
        return SharedSegmentReason(heard)
    shared = one.senders[tags] & two.senders[other]
    fewest = min(len(one.senders[tags]), len(two.senders[other]))
    if (len(shared) >= 2 and len(shared) >= 0.3 * fewest) or (len(shared) == 1 and fewest <= 3):
        which = listed((ip for _, ip in sorted(shared)), most=3)
        return SharedSegmentReason(f"both hear {count(len(shared), 'sender')} alike: {which}")
    vid, other_vid = _vid(one, tags), _vid(two, other)
    tree = one.roots[tags] & two.roots[other]
    if vid is not None and vid == other_vid and (tree or _same_switch(one, two)):
        if _are_apart(one, tags, two, other):
            return None
        if tree:
            return SharedSegmentReason(
                f"both hear the spanning tree of root {sorted(tree)[0][5:]} and are in VLAN {vid}"
            )
        return SharedSegmentReason(f"both are in VLAN {vid} of {one.port.name if one.port else ''}")
    here, there = one.verdicts.get(tags), two.verdicts.get(other)
    if here and there and here.network and here.network == there.network:
        return SharedSegmentReason(f"both carry {here.network}")
    if tags or other or not tree or (vid is not None and other_vid is not None) or _disagree(one, two):
        return None
    words = f"both hear the spanning tree of root {sorted(tree)[0][5:]}, and nothing speaks against one VLAN"
    return SharedSegmentReason(words, proven=False)


def _hears_itself(one: NicEvidence, tags: Tags, two: NicEvidence, other: Tags) -> str:
    """``one`` hears a frame that the host sent on ``two``."""
    if other not in (tags, ()) or (other == () and tags and tags in two.heard.facts):
        return ""
    mine = two.heard.own_macs - one.heard.own_macs
    if mine & one.sources[tags]:
        return f"{one.heard.nic} hears the host's own frames from {two.heard.nic}"
    return ""


def _vid(evidence: NicEvidence, tags: Tags) -> int | None:
    if tags:
        return tags[0] if len(tags) == 1 else None
    return native_vlan(evidence.segments[()]) if () in evidence.segments else None


def _same_switch(one: NicEvidence, two: NicEvidence) -> bool:
    return one.port is not None and two.port is not None and same_switch(one.port, two.port)


def _are_apart(one: NicEvidence, tags: Tags, two: NicEvidence, other: Tags) -> bool:
    """Whether each end has subnets that are stated or have some senders, and none of them meets one of the other's.

    Whatever a switch says, that is not one wire.
    """
    mine, theirs = (
        [net for net, number, stated in clusters(end.segments[at])[:MANY] if stated or number >= BELIEVED]
        if at in end.segments
        else []
        for end, at in ((one, tags), (two, other))
    )
    pairs = [(ours, others) for ours in mine for others in theirs if ours.version == others.version]
    return bool(pairs) and not any(overlap(ours, others) for ours, others in pairs)


def _disagree(one: NicEvidence, two: NicEvidence) -> bool:
    """Different networks, or different subnets, on the untagged frames of two NICs."""
    here, there = one.verdicts.get(()), two.verdicts.get(())
    if here and there and here.network and there.network:
        return here.network != there.network
    mine, theirs = one.segments.get(()), two.segments.get(())
    if mine is None or theirs is None:
        return False
    ours = {net for net, _, _ in clusters(mine)[:MANY]}
    others = {net for net, _, _ in clusters(theirs)[:MANY]}
    return bool(ours and others) and not any(overlap(a, b) for a in ours for b in others)
