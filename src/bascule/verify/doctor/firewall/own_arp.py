"""The host takes no answer of a neighbour, or sends none: chains of family arp, and of IPv6 for its own search."""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import ip_address, ip_interface

from bascule.model.state import Link
from bascule.model.values import IpAddress
from bascule.topology.trace.any_frame.passages import Possibility, RuleVerdict, own_search
from bascule.topology.trace.network import HostNetwork
from bascule.topology.trace.rules.words import insert_words
from bascule.verify.doctor.finding import DoctorFacts, Finding, Severity

HOOKS = {"input": "from", "output": "to"}
FAMILIES = {4: ("arp", "ARP"), 6: ("ip6", "neighbour discovery (IPv6)")}
TYPES = ("nd-neighbor-solicit", "nd-neighbor-advert")


def look(facts: DoctorFacts) -> Iterator[Finding]:
    """Each link of the host with the gateways and guests of the file there whom its rules keep from finding it."""
    if facts.network is None or facts.state is None or facts.declared is None:
        return
    for link in facts.state.links.values():
        for version, (family, words) in FAMILIES.items():
            if any(facts.network.rules.at(family, hook) for hook in HOOKS):
                yield from _of_link(facts, facts.network, link, version, words)


def _of_link(facts: DoctorFacts, network: HostNetwork, link: Link, version: int, words: str) -> Iterator[Finding]:
    lost: dict[RuleVerdict, dict[str, None]] = {}
    for other in dict.fromkeys(_neighbours(facts, link, version)):
        for hook, way in HOOKS.items():
            for passage in own_search(network, link.name, hook, other):
                if passage.stops or passage.result is Possibility.NO:
                    for stop in passage.losing:
                        lost.setdefault(stop, {})[f"{way} {other}"] = None
    if lost:
        whom = dict.fromkeys(words for some in lost.values() for words in some)
        fixes = dict.fromkeys(fix for stop, some in lost.items() for words in some for fix in _fixes(stop, link, words))
        yield Finding(
            id="own-arp" if version == 4 else "own-nd",
            severity=Severity.PROBLEM,
            subject=link.name,
            text=f"the host's own firewall drops {words} {', '.join(whom)}: the two do not find each other",
            evidence=tuple(map(str, lost)),
            fix="; ".join(fixes),
            bridges=(link.name,),
        )


def _neighbours(facts: DoctorFacts, link: Link, version: int) -> Iterator[IpAddress]:
    """The gateways of the host on a link, and the file's guests whose addresses are near there."""
    near = [ip_interface(address.ip).network for address in link.addresses if address.is_ipv6 == (version == 6)]
    routes = facts.state.routes if facts.state is not None else ()
    found = [ip_address(route.gateway) for route in routes if route.gateway and route.dev == link.name]
    found += [address.ip for nic in facts.declared_nics for address in nic.addresses]
    yield from (one for one in found if one.version == version and any(one in net for net in near))


def _fixes(stop: RuleVerdict, link: Link, words: str) -> Iterator[str]:
    way, _, other = words.partition(" ")
    name, end, side = ("iifname", "saddr", "-i") if way == "from" else ("oifname", "daddr", "-o")
    head = insert_words(stop.base)
    if stop.base.family == "arp":
        yield f"{head} {name} {link.name} arp {end} ip {other} accept"
    elif stop.base.backend == "nft":
        yield f"{head} '{name} \"{link.name}\" icmpv6 type {{ {', '.join(TYPES)} }} accept'"
    else:
        yield from (f"{head} {side} {link.name} -p ipv6-icmp --icmpv6-type {kind} -j ACCEPT" for kind in (135, 136))
