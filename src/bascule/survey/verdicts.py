"""The whole judgement over all NICs at once: pure, from what was heard to what is printed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from types import MappingProxyType

from msgspec import Struct, field

from bascule.frames.envelope import Tags
from bascule.model.host_links import Nic
from bascule.model.site import Host, Site
from bascule.model.values import IfName, Vid, count
from bascule.survey.cabling import CablingCheck, check_cabling
from bascule.survey.evidence import UNTAGGED, NicTraffic
from bascule.survey.facts import BRIDGE_ID, NAMELESS, WireSegment, native_vlan, segments
from bascule.survey.hazards import cut_wires, hazards
from bascule.survey.judge import (
    SAME_WIRE,
    VERY_LIKELY,
    Candidate,
    Indication,
    SegmentVerdict,
    confidence_words,
    judge_segment,
    other_senders,
)
from bascule.survey.lines import Evidence, evidence
from bascule.survey.neighbours import Device, Port, devices, switch_port
from bascule.survey.shared_segment import ActiveProof, NicEvidence, shared_segments
from bascule.topology.layer2 import CableEnd, tag_words
from bascule.topology.wires import Wire


class NicVerdict(Struct, frozen=True, kw_only=True):
    """What is on one NIC.

    ``network`` is the declared one if it is there, else the one of the untagged frames, else the only tagged one;
    None where it cannot be told, and ``why`` says why. ``wrong`` is True where the file says another network than
    the wire does; it stays False where the evidence is thin.
    """

    nic: str
    heard: NicTraffic
    declared: str | None = None
    network: str | None = None
    confidence: float = 0.0
    why: str = ""
    wrong: bool = False
    vlans: tuple[int, ...] = ()
    native_vlan: int | None = None
    port: Port | None = None
    verdicts: Mapping[Tags, SegmentVerdict] = field(default_factory=dict)
    segments: Mapping[Tags, WireSegment] = field(default_factory=dict)
    evidence: tuple[Evidence, ...] = ()
    warnings: tuple[str, ...] = ()
    cabling: CablingCheck | None = None

    @property
    def words(self) -> str:
        """The confidence in words."""
        return confidence_words(self.confidence) if self.network else "cannot tell"

    @property
    def contradicted(self) -> bool:
        """Whether the wire, or the cabling, is another than the file says."""
        return self.wrong or (self.cabling is not None and not self.cabling.holds)

    @property
    def networks(self) -> tuple[tuple[str, Tags, float], ...]:
        """All networks that were recognised, with their tags and confidence."""
        return tuple(
            (verdict.network, tags, verdict.confidence)
            for tags, verdict in sorted(self.verdicts.items())
            if verdict.network is not None
        )


class Survey(Struct, frozen=True, kw_only=True):
    """The verdicts of all NICs and the wires that they share."""

    nics: Mapping[str, NicVerdict]
    wires: tuple[Wire, ...] = ()
    site: Site | None = None
    host: Host | None = None

    @property
    def contradictions(self) -> tuple[NicVerdict, ...]:
        """NICs whose wire is another than the file says."""
        return tuple(nic for nic in self.nics.values() if nic.contradicted)


def judge(
    heard: Mapping[str, NicTraffic],
    site: Site | None = None,
    host: Host | None = None,
    proofs: Iterable[ActiveProof] = (),
    makers: Mapping[str, str] = MappingProxyType({}),
) -> Survey:
    """Judge all NICs: each for itself, then the wires, then again with what the other NICs of a wire know.

    ``makers`` are names by the prefix of a MAC, for the reader.

    What the host and its guests send on one NIC and hear on another joins the two, and proves no network: a host that
    is on the wrong wire speaks of the right one.
    """
    ours = {mac for traffic in heard.values() for mac in traffic.own_macs}
    if site is not None and host is not None:
        ours |= {str(nic.mac) for nic in site.guest_nics(host.name)}
    others = {nic: traffic.without(ours) for nic, traffic in heard.items()}
    seen = {nic: devices(traffic) for nic, traffic in others.items()}
    ports = {nic: switch_port(traffic, seen[nic]) for nic, traffic in others.items()}
    segs = {nic: segments(traffic, seen[nic]) for nic, traffic in others.items()}
    verdicts = {nic: _verdicts(nic, own, site, {}) for nic, own in segs.items()}
    nics_evidence = {
        nic: NicEvidence.of(traffic, ports[nic][0], verdicts[nic], segs[nic]) for nic, traffic in heard.items()
    }
    wires = shared_segments(nics_evidence, proofs)
    if site is not None and (extra := _from_others(wires, verdicts, segs)):
        verdicts = {nic: _verdicts(nic, own, site, extra) for nic, own in segs.items()}
    networks = {nic: tuple(v.network for v in found.values() if v.network) for nic, found in verdicts.items()}
    heard_ports = {nic: port for nic, (port, _) in ports.items()}
    against = {nic: _contradiction(traffic, host, site, verdicts[nic]) for nic, traffic in others.items()}
    cabling = check_cabling(host, heard_ports, networks, against) if host is not None else {}
    closed = cut_wires(others, heard_ports)
    return Survey(
        nics={
            nic: _nic(
                traffic,
                site,
                host,
                seen[nic],
                (heard_ports[nic], (*ports[nic][1], *([closed[nic]] if nic in closed else []))),
                verdicts[nic],
                segs[nic],
                against[nic],
                cabling.get(nic),
                makers,
            )
            for nic, traffic in others.items()
        },
        wires=wires,
        site=site,
        host=host,
    )


def _verdicts(
    nic: str,
    segs: Mapping[Tags, WireSegment],
    site: Site | None,
    extra: Mapping[CableEnd, Candidate],
) -> dict[Tags, SegmentVerdict]:
    if site is None:
        return {}
    return {
        tags: judge_segment(seg, site, [extra[end]] if (end := CableEnd(nic, tags)) in extra else [])
        for tags, seg in segs.items()
    }


def _from_others(
    wires: Iterable[Wire],
    verdicts: Mapping[str, Mapping[Tags, SegmentVerdict]],
    segments: Mapping[str, Mapping[Tags, WireSegment]],
) -> dict[CableEnd, Candidate]:
    """What the sure ends of a broadcast domain tell its unsure ones, where it is proven that it is one."""
    told: dict[CableEnd, Candidate] = {}
    for domain in (domain for wire in wires for domain in wire.proven):
        sure = {
            end: verdict.network for end in domain if (verdict := verdicts[end.nic].get(end.tags)) and verdict.network
        }
        if len(set(sure.values())) != 1:
            continue
        source, network = min(sure.items())
        for end in domain - set(sure):
            words = f"on one wire with {source}, which is {network}"
            frames = segments[source.nic][source.tags].frames
            told[end] = Candidate(network=str(network), points=(Indication(SAME_WIRE, "wire", words, frames),))
    return told


def _nic(
    heard: NicTraffic,
    site: Site | None,
    host: Host | None,
    seen: tuple[Device, ...],
    found: tuple[Port | None, tuple[str, ...]],
    verdicts: Mapping[Tags, SegmentVerdict],
    segments: Mapping[Tags, WireSegment],
    contradiction: str,
    cabling: CablingCheck | None,
    makers: Mapping[str, str],
) -> NicVerdict:
    port, warnings = found
    nic = host.nics.get(IfName(heard.nic)) if host is not None else None
    chosen = _choose(verdicts, nic, site)
    said = [*warnings, *hazards(heard, port, segments)]
    if contradiction:
        said.insert(0, contradiction)
    if cabling is not None and not cabling.holds:
        said.append(f"cabling {cabling.text}")
    if site is not None:
        said += _mixed(verdicts, site, nic)
    declared = [subnet for network in site.networks.values() for subnet in network.subnets] if site is not None else []
    points = [
        Evidence(point.kind, point.detail + (f" ({tag_words(tags)})" if tags else ""), point.frames)
        for tags, verdict in sorted(verdicts.items())
        if verdict.network is not None and verdict.best is not None
        for point in verdict.best.points
        if point.kind in ("wire", "gateway", "vlan")
    ]
    return NicVerdict(
        nic=heard.nic,
        heard=heard,
        declared=nic.network if nic is not None else None,
        network=chosen.network if chosen is not None else None,
        confidence=chosen.confidence if chosen is not None else 0.0,
        why=_why(heard, chosen, segments),
        wrong=bool(contradiction),
        vlans=tuple(sorted({tags[0] for tags in heard.segments if tags})),
        native_vlan=native_vlan(segments[UNTAGGED]),
        port=port,
        verdicts=verdicts,
        segments=segments,
        evidence=(*points, *evidence(heard, seen, segments.values(), declared, makers)),
        warnings=tuple(dict.fromkeys(said)),
        cabling=cabling,
    )


def _choose(verdicts: Mapping[Tags, SegmentVerdict], nic: Nic | None, site: Site | None) -> SegmentVerdict | None:
    """The verdict that stands for the NIC."""
    sure = [verdict for _, verdict in sorted(verdicts.items()) if verdict.network is not None]
    if nic is not None and nic.network is not None:
        for verdict in sure:
            if verdict.network == nic.network:
                return verdict
        expected = site.networks[nic.network].vlan if site is not None else None
        if expected is not None and (expected,) in verdicts:
            return verdicts[expected,]
    untagged = verdicts.get(UNTAGGED)
    if not sure or (untagged is not None and untagged.network is not None):
        return untagged
    if len(sure) == 1:
        return sure[0]
    every = ", ".join(f"{verdict.network} {verdict.segment.words}" for verdict in sure)
    return SegmentVerdict(segment=sure[0].segment, why=f"a trunk: {every}")


def _contradiction(
    heard: NicTraffic,
    host: Host | None,
    site: Site | None,
    verdicts: Mapping[Tags, SegmentVerdict],
) -> str:
    """One sentence where the file's word and the wire's differ; empty where they agree or the wire says too little."""
    nic = host.nics.get(IfName(heard.nic)) if host is not None else None
    if nic is None or nic.network is None or site is None:
        return ""
    declared = site.networks[nic.network]
    if any(verdict.network == nic.network for verdict in verdicts.values()):
        return ""
    where = (declared.vlan,) if declared.vlan is not None else UNTAGGED
    expected = verdicts.get(where)
    if expected is not None and expected.best is not None and expected.best.network == nic.network:
        return ""  # it leans to the right one, only too thin
    untagged = verdicts[UNTAGGED]
    if where == UNTAGGED or where in heard.facts:
        natives: list[tuple[str, int]] = []
        clear = [expected] if expected is not None and expected.network else []
        alien = expected
    else:
        # a trunk's tag may be silent for a while; PVST is not, and a wire without any tag is hardly a trunk
        told = [(how, vid) for vid, how in sorted(untagged.segment.native) if how in ("PVST", BRIDGE_ID)]
        natives = [(how, vid) for how, vid in told if vid != declared.vlan]
        if not natives and any(heard.segments):
            return ""
        clear = [untagged] if untagged.network and (natives or untagged.confidence >= VERY_LIKELY) else []
        alien = untagged
    # IPv6 that the file does not speak of says nothing against an IPv4 network, and the other way round
    versions = {subnet.version for subnet in declared.subnets} or {4, 6}
    foreign = [item for item in alien.foreign if item[0].version in versions] if alien is not None and not clear else []
    if not clear and not foreign and not natives:
        return ""
    hears = [f"{how} {vid}" for how, vid in natives]
    for verdict in clear:
        hears += [f"{verdict.network} ({point.detail})" for point in (verdict.best.points[:1] if verdict.best else ())]
    hears += [f"{'' if stated else 'ARP of '}{net}" for net, _, stated in foreign[:2]]
    return f"declared {nic.network}, but hears {' and '.join(dict.fromkeys(hears))}"


def _mixed(verdicts: Mapping[Tags, SegmentVerdict], site: Site, nic: Nic | None) -> list[str]:
    said = []
    for tags, verdict in sorted(verdicts.items()):
        if verdict.network is None:
            continue
        for other, number in other_senders(verdict.segment, verdict.network, site).items():
            heard = f"{count(number, 'sender')} of {other} on {verdict.network} ({tag_words(tags)})"
            said.append(f"{heard}: two networks on one wire")
        vlan = site.networks[verdict.network].vlan
        native = native_vlan(verdict.segment)
        given = site.network_of_vlan(Vid(native)) if native is not None else None
        if given is not None and given.name != verdict.network:
            said.append(f"untagged is VLAN {native} here, which the file gives to {given.name}")
        if nic is not None and nic.network == verdict.network and (vlan,) != tags and not (vlan is None and tags == ()):
            expected = f"tagged {vlan}" if vlan is not None else "untagged"
            said.append(f"{verdict.network} arrives {verdict.segment.words}, the file says {expected}")
    return said


def _why(heard: NicTraffic, chosen: SegmentVerdict | None, segments: Mapping[Tags, WireSegment]) -> str:
    if chosen is not None and chosen.network is not None:
        return ""
    if heard.frames + heard.ignored == 0:
        if heard.carrier is False:
            return "no cable: the NIC has no carrier"
        return f"nothing was heard in {round(heard.seconds, 1):g} s" if heard.seconds else "nothing was heard"
    if chosen is not None:
        return chosen.why
    return "" if any(not seg.is_silent for seg in segments.values()) else NAMELESS
