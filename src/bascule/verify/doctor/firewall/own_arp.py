"""Chains of family arp: the host itself takes no answer of a neighbour, or sends none, and looks for him in vain."""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import IPv4Address, ip_address, ip_interface

from bascule.model.values import IpAddress
from bascule.topology.trace.any_frame.passages import Possibility, RuleVerdict, own_arp
from bascule.topology.trace.rules.words import insert_words
from bascule.verify.doctor.finding import DoctorFacts, Finding, Severity

HOOKS = {"input": "from", "output": "to"}


def look(facts: DoctorFacts) -> Iterator[Finding]:
    """Each link of the host with the gateways and guests of the file there whose ARP frames its rules drop."""
    if facts.network is None or facts.state is None or facts.declared is None:
        return
    if not any(facts.network.rules.at("arp", hook) for hook in HOOKS):
        return
    for name, link in facts.state.links.items():
        near = [ip_interface(address.ip).network for address in link.addresses if not address.is_ipv6]
        others = dict.fromkeys(one for one in _neighbours(facts) if any(one in net for net in near))
        lost: dict[RuleVerdict, dict[str, None]] = {}
        for other in others:
            for hook, way in HOOKS.items():
                passage = own_arp(facts.network, name, hook, int(other))
                if passage.stops or passage.result is Possibility.NO:
                    for stop in passage.losing:
                        lost.setdefault(stop, {})[f"{way} {other}"] = None
        if lost:
            whom = dict.fromkeys(words for some in lost.values() for words in some)
            yield Finding(
                id="own-arp",
                severity=Severity.PROBLEM,
                subject=name,
                text=f"the host's own firewall drops ARP {', '.join(whom)}: the two do not find each other",
                evidence=tuple(map(str, lost)),
                fix="; ".join(_fix(stop, name, words) for stop, some in lost.items() for words in some),
                bridges=(name,),
            )


def _neighbours(facts: DoctorFacts) -> Iterator[IPv4Address]:
    """The gateways of the host, and the addresses of the file's guests."""
    found: list[IpAddress] = []
    if facts.state is not None:
        found += [ip_address(route.gateway) for route in facts.state.routes if route.gateway]
    found += [address.ip for nic in facts.declared_nics for address in nic.addresses]
    yield from (one for one in found if isinstance(one, IPv4Address))


def _fix(stop: RuleVerdict, link: str, words: str) -> str:
    way, _, other = words.partition(" ")
    test = f"iifname {link} arp saddr ip" if way == "from" else f"oifname {link} arp daddr ip"
    return f"{insert_words(stop.base)} {test} {other} accept"
