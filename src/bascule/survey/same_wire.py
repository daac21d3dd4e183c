"""Which NICs hang on one wire: they hear the same senders, the same spanning tree and VLAN, or each other. Pure."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import combinations

from bascule.survey.evidence import Heard
from bascule.survey.facts import Segment, clusters, native_vlan
from bascule.survey.findings import Lacp, Sender
from bascule.survey.frame import Tags
from bascule.survey.judge import Verdict
from bascule.survey.neighbours import Port, bpdus, is_guest_mac, plain_name
from bascule.survey.wire import Foot, Kind, Wire
from bascule.survey.words import listed, several


@dataclass(frozen=True, slots=True)
class Proof:
    """A frame that left one NIC and came in at another (``--active``)."""

    sent: Foot
    heard: Foot


@dataclass(frozen=True, slots=True, kw_only=True)
class Ear:
    """All that is known of one NIC before the wires are compared."""

    heard: Heard
    port: Port | None
    verdicts: Mapping[Tags, Verdict]
    segments: Mapping[Tags, Segment]
    senders: Mapping[Tags, frozenset[tuple[str, str]]]  # MAC and address
    sources: Mapping[Tags, frozenset[str]]  # MACs
    roots: Mapping[Tags, frozenset[str]]

    @classmethod
    def of(
        cls, heard: Heard, port: Port | None, verdicts: Mapping[Tags, Verdict], segments: Mapping[Tags, Segment]
    ) -> Ear:
        """With the sets that are compared for every pair of NICs, made once."""
        feet = tuple(sorted({(), *heard.segments}))
        trees = bpdus(heard)
        return cls(
            heard=heard,
            port=port,
            verdicts=verdicts,
            segments=segments,
            senders={
                tags: frozenset(
                    (src, said.ip) for said, src, _ in heard.of(Sender, tags) if not said.ip.startswith("fe80:")
                )
                for tags in feet
            },
            sources={tags: frozenset(fact.src for fact in heard.facts.get(tags, ())) for tags in feet},
            # the one spanning tree of STP, RSTP and MSTP holds for all VLANs of a wire
            roots={tags: frozenset(t.root for t, _, _, at in trees if at == tags or t.vlan is None) for tags in feet},
        )


def same_wires(ears: Mapping[str, Ear], proofs: Iterable[Proof] = ()) -> tuple[Wire, ...]:
    """The wires on which more than one NIC hangs."""
    links: dict[frozenset[Foot], str] = {}
    for proof in proofs:
        if proof.sent.nic != proof.heard.nic:
            links[frozenset((proof.sent, proof.heard))] = f"a frame sent on {proof.sent} came in on {proof.heard}"
    for one, two in combinations(sorted(ears), 2):
        for pair, reason in _compare(ears[one], ears[two]):
            links.setdefault(pair, reason)
    domains = _join(links)
    lags = _lags(ears)
    by_nics: dict[tuple[str, ...], list[frozenset[Foot]]] = defaultdict(list)
    for domain in domains:
        by_nics[tuple(sorted({foot.nic for foot in domain}))].append(domain)
    for nics in lags:
        by_nics.setdefault(nics, [frozenset(Foot(nic, ()) for nic in nics)])
    return tuple(
        Wire(
            nics=nics,
            kind=_kind(nics, shared, lags),
            domains=tuple(shared),
            reasons=tuple(
                dict.fromkeys(
                    [reason for pair, reason in links.items() if any(pair <= domain for domain in shared)]
                    + ([lags[nics]] if nics in lags else [])
                )
            ),
        )
        for nics, shared in sorted(by_nics.items())
        if len(nics) > 1
    )


def _kind(nics: tuple[str, ...], shared: list[frozenset[Foot]], lags: Mapping[tuple[str, ...], str]) -> Kind:
    if any(set(nics) <= set(lag) for lag in lags):
        return "LAG"
    return "trunk" if any(foot.tags for domain in shared for foot in domain) else "plain"


def _join(links: Mapping[frozenset[Foot], str]) -> list[frozenset[Foot]]:
    domains: list[set[Foot]] = []
    for pair in links:
        touching = [domain for domain in domains if domain & pair]
        domains = [domain for domain in domains if not domain & pair]
        domains.append(set(pair).union(*touching))
    return [frozenset(domain) for domain in domains]


def _lags(ears: Mapping[str, Ear]) -> dict[tuple[str, ...], str]:
    """NICs whose switch ports belong to one aggregated link."""
    ends: dict[tuple[str, object], set[str]] = defaultdict(set)
    for nic, ear in ears.items():
        for said, src, _ in ear.heard.of(Lacp):
            if not is_guest_mac(src):
                ends[f"LACP system {said.system[5:]} key {said.key}", said.key].add(nic)
        if ear.port is not None and ear.port.lag:
            ends[f"{ear.port.via} of {ear.port.name} says aggregated port {ear.port.lag}", 0].add(nic)
    return {tuple(sorted(nics)): words for (words, _), nics in sorted(ends.items(), key=str) if len(nics) > 1}


def _compare(one: Ear, two: Ear) -> Iterable[tuple[frozenset[Foot], str]]:
    for tags, other in ((a, b) for a in _feet(one) for b in _feet(two)):
        feet = frozenset((Foot(one.heard.nic, tags), Foot(two.heard.nic, other)))
        reason = _reason(one, tags, two, other)
        if reason:
            yield feet, reason


def _feet(ear: Ear) -> tuple[Tags, ...]:
    return tuple(ear.senders)


def _reason(one: Ear, tags: Tags, two: Ear, other: Tags) -> str:
    """Why two feet are in one broadcast domain; empty where they are not, or nobody knows."""
    heard = _hears_itself(one, tags, two, other) or _hears_itself(two, other, one, tags)
    if heard:
        return heard
    shared = one.senders[tags] & two.senders[other]
    fewest = min(len(one.senders[tags]), len(two.senders[other]))
    if (len(shared) >= 2 and len(shared) >= 0.3 * fewest) or (len(shared) == 1 and fewest <= 3):
        return f"both hear {several(len(shared), 'sender')} alike: {listed((ip for _, ip in sorted(shared)), most=3)}"
    vid, other_vid = _vid(one, tags), _vid(two, other)
    tree = one.roots[tags] & two.roots[other]
    if vid is not None and vid == other_vid:
        if tree:
            return f"both hear the spanning tree of root {sorted(tree)[0][5:]} and are in VLAN {vid}"
        if _same_switch(one, two):
            return f"both are in VLAN {vid} of {one.port.name if one.port else ''}"
    here, there = one.verdicts.get(tags), two.verdicts.get(other)
    if here and there and here.network and here.network == there.network:
        return f"both carry {here.network}"
    if tags or other or not tree or (vid is not None and other_vid is not None):
        return ""
    if _disagree(one, two):
        return ""
    return f"both hear the spanning tree of root {sorted(tree)[0][5:]}, and nothing speaks against one VLAN"


def _hears_itself(one: Ear, tags: Tags, two: Ear, other: Tags) -> str:
    """``one`` hears a frame that the host sent on ``two``."""
    if other not in (tags, ()) or (other == () and tags and tags in two.heard.facts):
        return ""
    mine = two.heard.own_macs - one.heard.own_macs
    if mine & one.sources[tags]:
        return f"{one.heard.nic} hears the host's own frames from {two.heard.nic}"
    return ""


def _vid(ear: Ear, tags: Tags) -> int | None:
    if tags:
        return tags[0] if len(tags) == 1 else None
    return native_vlan(ear.segments[()]) if () in ear.segments else None


def _same_switch(one: Ear, two: Ear) -> bool:
    if one.port is None or two.port is None or not one.port.name or not two.port.name:
        return False
    return plain_name(one.port.name) == plain_name(two.port.name)


def _disagree(one: Ear, two: Ear) -> bool:
    """Different networks, or different subnets, on the untagged frames of two NICs."""
    here, there = one.verdicts.get(()), two.verdicts.get(())
    if here and there and here.network and there.network:
        return here.network != there.network
    mine, theirs = one.segments.get(()), two.segments.get(())
    if mine is None or theirs is None:
        return False
    ours = {net for net, _, _ in clusters(mine)}
    others = {net for net, _, _ in clusters(theirs)}
    return bool(ours and others) and not any(a.version == b.version and a.overlaps(b) for a in ours for b in others)
