"""Rules that do not do what they say: the kernel's order, VLAN tags, masquerading on a bridge, links made again."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from bascule.model.kernel_parameters import VLAN_TAGGED, dotted
from bascule.model.ruleset.owners import BASCULE, owner
from bascule.model.values import count
from bascule.topology.trace.any_frame.passages import WORDS, RuleVerdict, bridged_frames, drops_vlan_0, passed_by
from bascule.topology.trace.any_frame.translated import other_destinations, other_senders
from bascule.topology.trace.any_frame.ways import FAMILIES, VERSION_OF
from bascule.topology.trace.network import HostNetwork
from bascule.topology.trace.rules.lines import RuleChain
from bascule.topology.trace.rules.shadowed import is_harmless, lost_links, unmet
from bascule.topology.trace.rules.words import chain_words, tool_of
from bascule.verify.doctor.finding import DoctorFacts, Finding, Severity

SAYS = 6  # lines of evidence of a kind


def look(facts: DoctorFacts) -> Iterator[Finding]:
    """Each trap that this host's rules stand in."""
    network = facts.network
    if network is None:
        return
    if calling := _calling(facts, network):
        yield from _skipped(network, calling)
        yield from _tagged(network, calling)
        yield from _translated(facts, network, calling)
    yield from _beside_tables(network)
    yield from _lost_links(network)
    yield from _two_firewalls(network)
    yield from _unmet(network)


def translated(facts: DoctorFacts) -> Iterator[Finding]:
    """Those of them that lead guests' frames astray: verbs that speak of bridges say it as well."""
    if facts.network is not None:
        yield from _translated(facts, facts.network, _calling(facts, facts.network))


def _calling(facts: DoctorFacts, network: HostNetwork) -> list[str]:
    """The bridges of which br_netfilter hands frames to the IP chains."""
    return [one for one in facts.own_bridges if any(network.filters_bridged(one, version) for version in (4, 6))]


def _skipped(network: HostNetwork, bridges: list[str]) -> Iterator[Finding]:
    """A bridge chain at priority 0, which br_netfilter passes over where it was there before the first bridge."""
    chains = [one for one in network.rules.at("bridge", "forward") if one.base is not None and one.base.priority == 0]
    chains = [one for one in chains if network.skipped(one) is not False and not is_harmless(network.rules, one)]
    if not chains:
        return
    first = chains[0]
    may = "are" if all(map(network.skipped, chains)) else "may be"
    yield Finding(
        id="bridge-chain-order",
        severity=Severity.WARNING,
        subject=", ".join(bridges),
        text=f"rules of the bridge family at priority 0 {may} skipped silently: br_netfilter is on, and it passes over "
        "a chain of its own priority that was there before the first bridge",
        evidence=tuple(f"{chain_words(one)}: hook forward, priority 0" for one in chains),
        fix=f"give chain {first.name} of table bridge {first.table} 'priority filter' (-200) where it is written",
        bridges=tuple(bridges),
    )


def _tagged(network: HostNetwork, bridges: list[str]) -> Iterator[Finding]:
    """Frames with a VLAN tag go past the IP chains: those of a trunk's VLANs, and what a sender tags with VLAN 0."""
    if network.meets_ip_chains(tagged=True):
        return
    zero: list[tuple[str, RuleVerdict]] = []
    key = dotted(VLAN_TAGGED)
    for name in bridges:
        pairs, passed = passed_by(network, name)
        passages = [one for one in bridged_frames(network, name) if one.family in FAMILIES]
        passages = [one for one in passages if not drops_vlan_0(network, name, one.family)]
        stops = [stop for one in passages for stop in (*one.stops, *one.may_stop) if stop.base.family != "bridge"]
        if pairs:
            yield Finding(
                id="vlan-tagged",
                severity=Severity.WARNING,
                subject=name,
                text="the IP rules do not filter its VLANs: frames that come in or leave with a VLAN tag bypass them, "
                f"though they would drop it; so do frames from {'; '.join(pairs[:SAYS])}",
                evidence=(f"{key} = 0", *map(str, passed[:SAYS])),
                fix=f"sysctl -w {key}=1, or write rules of the bridge family",
                bridges=(name,),
            )
        elif stops:
            zero.append((name, stops[0]))
    if zero:
        yield Finding(
            id="vlan-0",
            severity=Severity.WARNING,
            subject=", ".join(name for name, _ in zero),
            text="what the IP chains drop between its ports passes with a priority tag (VLAN 0): they do not see such "
            "frames, and the receiver treats them as untagged",
            evidence=(f"{key} = 0", *dict.fromkeys(str(stop) for _, stop in zero)),
            fix=f"sysctl -w {key}=1",
            bridges=tuple(name for name, _ in zero),
        )


def _translated(facts: DoctorFacts, network: HostNetwork, bridges: list[str]) -> Iterator[Finding]:
    """Rules without a device catch frames that only cross the bridge: they get another sender, or go elsewhere."""
    for name in bridges:
        for family in FAMILIES:
            if not network.filters_bridged(name, VERSION_OF[family]):
                continue
            beyond = facts.leads_out(name)
            subnets = facts.subnets(name, VERSION_OF[family])
            inside = [one for subnet in subnets for one in other_senders(network, name, subnet)]
            senders = [one for subnet in subnets for one in other_senders(network, name, subnet, beyond=beyond)]
            if senders:
                which = "between its ports" if inside else "that leave its subnet by a port"
                who, whom = ("guests", "one another") if inside else ("others", "the guests")
                whose = "the host's own" if all(one.verdict == "masquerade" for one in senders) else "another"
                yield Finding(
                    id="bridged-masquerade",
                    severity=Severity.PROBLEM,
                    subject=name,
                    text=f"{WORDS[family]} frames {which} are given {whose} address as their source: {who} do not see "
                    f"{whom} as they are, and answers are lost",
                    evidence=_some(senders),
                    fix=f'exclude {name} in that rule: oifname != "{name}" (iptables: ! -o {name})',
                    bridges=(name,),
                )
            sent = [one for subnet in subnets for one in other_destinations(network, name, subnet, beyond=beyond)]
            if sent:
                yield Finding(
                    id="bridged-redirect",
                    severity=Severity.WARNING,
                    subject=name,
                    text=f"some {WORDS[family]} frames between its ports are given another destination, and do not "
                    "reach whom they were sent to",
                    evidence=_some(sent),
                    fix=f'where that is not meant, exclude {name} in that rule: iifname != "{name}" '
                    f"(iptables: ! -i {name})",
                    bridges=(name,),
                )


def _some(rules: Sequence[RuleVerdict]) -> tuple[str, ...]:
    words = list(dict.fromkeys(map(str, rules)))
    more = (f"and {len(words) - SAYS} more rules",) if len(words) > SAYS else ()
    return (*words[:SAYS], *more)


def _beside_tables(network: HostNetwork) -> Iterator[Finding]:
    """What netfilter calls that no table shows, as a program of BPF: it may drop whatever rules let through."""
    called = [f"{name}: {family} {hook}" for (family, hook), names in network.called.items() for name in names]
    if called:
        yield Finding(
            id="hooks-beside-rules",
            severity=Severity.NOTE,
            subject="firewall",
            text="netfilter calls a hook that no table of rules shows; what it does to packets is not known, and "
            "'why' says perhaps of those that meet it",
            evidence=tuple(called[:SAYS]),
            fix="'nft list hooks' shows its place; 'bpftool link' and 'lsmod' show who added it",
        )


def _lost_links(network: HostNetwork) -> Iterator[Finding]:
    """``iif`` keeps the number of a link: of one that was made again nothing matches any more."""
    lines = [(chain, line) for chain in network.rules.chains.values() for line in lost_links(chain)]
    if not lines:
        return
    libvirt = any(owner(chain.table, chain.name) == "libvirt" for chain, _ in lines)
    again = "restart the virtual network (virsh net-destroy NET; virsh net-start NET)" if libvirt else "load them again"
    yield Finding(
        id="rules-of-a-lost-link",
        severity=Severity.WARNING,
        subject="firewall",
        text=f"{count(len(lines), 'rule')} with the index of a link that is gone: it was deleted or created again, and "
        "no packet matches that index any more ('!=' matches every packet)",
        evidence=tuple(f"'{line.text}' in {chain_words(chain)}" for chain, line in lines[:SAYS]),
        fix=f"{again}; iifname and oifname in place of iif and oif avoid that",
    )


def _two_firewalls(network: HostNetwork) -> Iterator[Finding]:
    """Rules of iptables-legacy, which ``nft list ruleset`` does not show, beside those of nft: both apply."""
    chains = network.rules.chains.values()
    legacy = [one for one in chains if one.is_legacy and _says_something(one)]
    others = [one for one in chains if not one.is_legacy and _says_something(one)]
    others = [one for one in others if owner(one.table, one.name) != BASCULE]  # whose guards are meant to stand beside
    if legacy and others:
        lines = sum(len(one.lines) for one in legacy)
        tables = ", ".join(dict.fromkeys(f"{one.family} {one.table}" for one in legacy))
        tool = tool_of(legacy[0])
        yield Finding(
            id="two-firewalls",
            severity=Severity.WARNING,
            subject="firewall",
            text=f"rules of {tool} stand beside those of nft: a packet has to pass both, and 'nft list "
            "ruleset' and 'iptables' do not show the old ones",
            evidence=(
                f"{count(lines, 'rule')} and the policies in {tables} of {tool}",
                *map(chain_words, others[:2]),
            ),
            fix=f"{tool}-save shows them; load them by {tool.replace('legacy', 'nft')}-restore, then "
            f"{tool} -P FORWARD ACCEPT, {tool} -F; one 'iptables' for all programs: "
            "update-alternatives --config iptables",
        )


def _says_something(chain: RuleChain) -> bool:
    return bool(chain.lines) or (chain.base is not None and chain.base.policy != "accept")


def _unmet(network: HostNetwork) -> Iterator[Finding]:
    """Rules of the administrator's own that an earlier one leaves nothing for; programs' rules are made as they are."""
    for chain in network.rules.chains.values():
        if owner(chain.table, chain.name):
            continue
        found = list(unmet(chain))
        if found:
            yield Finding(
                id="rule-never-matches",
                severity=Severity.NOTE,
                subject=chain_words(chain),
                text=f"{len(found)} of its {len(chain.lines)} rules can never match, for an earlier one takes all that "
                "they ask for",
                evidence=tuple(f"'{one.line.text}' after '{one.by.text}'" for one in found[:SAYS]),
                fix="put the narrower rule first, or remove it",
            )
