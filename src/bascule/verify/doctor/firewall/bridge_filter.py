"""Others' rules that frames between a bridge's ports have to pass: Docker's classic, and its kind."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from ipaddress import IPv6Network

from bascule.model.kernel_parameters import dotted
from bascule.observe.firewall import SWITCHES
from bascule.topology.trace.any_frame.passages import FramePassage, Possibility, RuleVerdict, bridged_frames
from bascule.topology.trace.any_frame.ways import FAMILIES, VERSION_OF
from bascule.topology.trace.network import HostNetwork
from bascule.topology.trace.rules.lines import keys_of
from bascule.verify.doctor.finding import DoctorFacts, Finding, Severity
from bascule.verify.doctor.firewall.fixes import bridge_fix, whose_rules

ID = "bridge-filter"
# a host without another address has a way back to senders of its link alone
BEYOND_LINK = (IPv6Network("2000::/3"),)
KINDS = (LOST, CUT, UNPROVEN, PASSING) = ("lost", "cut", "unproven", "passing")


def look(facts: DoctorFacts) -> Iterator[Finding]:
    """Each bridge of the file (of the host, where there is no file), with what becomes of its frames."""
    network = facts.network
    if network is None:
        return
    told: dict[tuple[object, ...], tuple[list[str], list[FramePassage]]] = {}
    for bridge in facts.own_bridges:
        subnets = [*facts.subnets(bridge, 4), *facts.subnets(bridge, 6)]
        if any("saddr" in key and key.endswith(" oif") for key in network.rules.fib_keys):
            subnets += BEYOND_LINK if all(one.is_link_local for one in subnets if one.version == 6) else ()
        passages = [one for one in bridged_frames(network, bridge, subnets) if _counts(network, bridge, one)]
        for kind in sorted({_kind(one) for one in passages}, key=_place):
            some = [one for one in passages if _kind(one) == kind]
            verdicts = (str(one) for passage in some for one in (*passage.losing, *passage.may_stop))
            key = (*kind, *((one.family, one.chains) for one in some), *verdicts)
            told.setdefault(key, ([], some))[0].append(bridge)
    for (kind_name, *_), (bridges, passages) in told.items():
        if kind_name == LOST:
            yield _lost_finding(facts, network, bridges, passages)
        elif kind_name == CUT:
            yield _cut_finding(facts, network, bridges, passages)
        else:
            make = _passing_finding if kind_name == PASSING else _unproven_finding
            yield make(network, bridges, passages)


def _counts(network: HostNetwork, bridge: str, passage: FramePassage) -> bool:
    """Whether any chain is passed at all, as far as it is known."""
    unread = passage.gaps and passage.family in FAMILIES and network.filters_bridged(bridge, VERSION_OF[passage.family])
    return bool(passage.chains or unread)


def _kind(passage: FramePassage) -> tuple[str, ...]:
    """What becomes of a family's frames, in a word; with which ones, where only some are lost for certain."""
    if passage.stops or passage.result is Possibility.NO:
        return (LOST,)
    if passage.cuts:
        return (CUT, *(cut.which for cut in passage.cuts))
    return (UNPROVEN,) if passage.result is Possibility.PERHAPS else (PASSING,)


def _place(kind: tuple[str, ...]) -> int:
    return KINDS.index(kind[0])


def _cut_finding(
    facts: DoctorFacts, network: HostNetwork, bridges: Sequence[str], passages: Sequence[FramePassage]
) -> Finding:
    """Some are lost for certain: all that comes from a port, or goes to one, or is of a subnet."""
    cuts = passages[0].cuts  # the same of each
    stops = [stop for one in passages for stop in one.losing]
    by = f" by {whose}" if (whose := whose_rules(network, stops)) else ""
    is_bad = any(cut.whole for cut in cuts) and _is_of_the_site(facts, bridges, passages)
    severity = Severity.PROBLEM if is_bad else Severity.WARNING
    text = f"{_families(passages)} frames {'; '.join(cut.which for cut in cuts)} are dropped{by}"
    return _dropping(facts, network, bridges, passages, stops, severity, text)


def _lost_finding(
    facts: DoctorFacts, network: HostNetwork, bridges: Sequence[str], passages: Sequence[FramePassage]
) -> Finding:
    """All between its ports are lost, except what a rule lets through."""
    stops = [stop for one in passages for stop in one.stops or one.may_stop]
    by = f" by {whose}" if (whose := whose_rules(network, stops)) else ""
    some = any(one.result is not Possibility.NO for one in passages)
    but = ", except what a rule lets through" if some else ""
    severity = Severity.PROBLEM if _is_of_the_site(facts, bridges, passages) else Severity.NOTE
    text = (
        f"{_families(passages)} frames between its ports are dropped{by}{but}: guests cannot be reached from outside, "
        "nor by one another"
    )
    return _dropping(facts, network, bridges, passages, stops, severity, text)


def _is_of_the_site(facts: DoctorFacts, bridges: Sequence[str], passages: Sequence[FramePassage]) -> bool:
    """Whether the site uses a family that is concerned."""
    wanted = _declared(facts, bridges)
    return any(one.family in wanted for one in passages)


def _dropping(
    facts: DoctorFacts,
    network: HostNetwork,
    bridges: Sequence[str],
    passages: Sequence[FramePassage],
    stops: Sequence[RuleVerdict],
    severity: Severity,
    text: str,
) -> Finding:
    return Finding(
        id=ID,
        severity=severity,
        subject=", ".join(bridges),
        text=f"{text}{_reverse_path(stops, bridges)}",
        evidence=(*_evidence(network, passages), *dict.fromkeys(map(str, stops)), *_lets(passages)),
        fix=bridge_fix(facts, network, bridges, passages),
        bridges=tuple(bridges),
    )


def _reverse_path(stops: Sequence[RuleVerdict], bridges: Sequence[str]) -> str:
    """Why a rule that looks for forged senders drops bridged frames: the host has no way back to them there."""
    lines = [stop.by.line for stop in stops if stop.by is not None]
    if not any(key.startswith("fib ") and "saddr" in key and key.endswith("oif") for x in lines for key in keys_of(x)):
        return ""
    return (
        f" (that rule checks the reverse path, and the host has no route back to the sender over "
        f"{' or '.join(bridges)}: it drops every sender there as spoofed)"
    )


def _unproven_finding(network: HostNetwork, bridges: Sequence[str], passages: Sequence[FramePassage]) -> Finding:
    rules = dict.fromkeys(str(one) for passage in passages for one in passage.may_stop)
    gaps = tuple(dict.fromkeys(gap for one in passages for gap in one.gaps))
    unread = f"whether others' rules let them pass is unproven: {'; '.join(gaps)}" if gaps else ""
    passing = ", ".join(str(one) for passage in passages for one in passage.passing if not one.is_link_local)
    which = f"those from and to {passing} do, and of others some" if passing else "some of them"
    may = f"{which} may be dropped, and which is not proven" if rules else ""
    words = "; ".join(filter(None, (may, unread)))
    return Finding(
        id=ID,
        severity=Severity.WARNING if rules else Severity.NOTE,
        subject=", ".join(bridges),
        text=f"{_families(passages)} frames between its ports pass the host's firewall; {words}",
        evidence=(*_evidence(network, passages), *rules),
        fix="" if rules else "run it as root",
        bridges=tuple(bridges),
    )


def _passing_finding(network: HostNetwork, bridges: Sequence[str], passages: Sequence[FramePassage]) -> Finding:
    chains = max(one.chains for one in passages)
    lets = _lets(passages)
    return Finding(
        id=ID,
        severity=Severity.NOTE,
        subject=", ".join(bridges),
        text=f"{_families(passages)} frames between its ports pass the host's firewall; no rule of its "
        f"{'chain' if chains == 1 else f'{chains} chains'} there drops them now, and what is installed later may",
        evidence=(*_evidence(network, passages), *lets),
        bridges=tuple(bridges),
    )


def _families(passages: Sequence[FramePassage]) -> str:
    return " and ".join(dict.fromkeys(one.words for one in passages))


def _evidence(network: HostNetwork, passages: Sequence[FramePassage]) -> tuple[str, ...]:
    """The switches that lead these frames to the chains of their family."""
    families = [one.family for one in passages if one.family in FAMILIES and network.number(SWITCHES[one.family])]
    return tuple(f"{dotted(SWITCHES[family])} = 1" for family in families)


def _lets(passages: Sequence[FramePassage]) -> tuple[str, ...]:
    found = dict.fromkeys(str(one) for passage in passages for one in passage.lets)
    return tuple(f"let through: {words}" for words in list(found)[:4]) + (
        (f"and {len(found) - 4} more rules that let some through",) if len(found) > 4 else ()
    )


def _declared(facts: DoctorFacts, bridges: Sequence[str]) -> frozenset[str]:
    """The families that the file's networks behind some bridges have; all where it does not say."""
    everything = frozenset({*FAMILIES, "arp"})
    host = facts.declared
    if facts.site is None or host is None:
        return everything
    versions: set[int] = set()
    for name in bridges:
        bridge = host.bridges.get(name)  # type: ignore[call-overload]  # an IfName or not, it is a name
        network = facts.site.network_of_link(host, bridge.name) if bridge else None
        subnets = {subnet.version for subnet in network.subnets} if network else set()
        if not subnets:
            return everything
        versions |= subnets
    return frozenset({"arp", *(family for version, family in ((4, "ip"), (6, "ip6")) if version in versions)})
