"""Which rules have connections tracked: then the kernel joins the fragments of all packets of that version first.

A rule asks for it by being there, in a chain that is called or not; an empty chain of type nat does not (measured on
Linux 6.18: fragments cross a bridge with br_netfilter as they are).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from bascule.topology.trace.rules.lines import Decision, RuleLine, Rules, Translate, keys_of
from bascule.topology.trace.rules.tests import Field, Test, UncertainTest

VERSIONS = {"inet": frozenset({"ip", "ip6"}), "ip": frozenset({"ip"}), "ip6": frozenset({"ip6"})}
NONE: frozenset[str] = frozenset()
PROTOCOLS = {0x0800: "ip", 0x86DD: "ip6"}
OBJECTS = {"ct helper", "ct timeout", "ct expectation"}
STATEMENTS = {"masquerade", "snat", "dnat", "redirect", "synproxy", "tproxy"}
BY_IPTABLES = re.compile(
    r"-m (?:conntrack|state|connmark|connbytes|connlimit|connlabel|helper|cluster|socket)\b"
    r"|-j (?:MASQUERADE|SNAT|DNAT|REDIRECT|NETMAP|CONNMARK|CONNSECMARK|SYNPROXY|TPROXY|CLUSTERIP|CT(?! --notrack))\b"
)


def tracked_versions(rules: Rules) -> frozenset[str]:
    """``ip``, ``ip6``, both or none; found once for a host's rules."""
    known: frozenset[str] | None = rules.__dict__.get("_tracked")
    if known is None:
        known = rules.__dict__["_tracked"] = _found(rules)
    return known


def _found(rules: Rules) -> frozenset[str]:
    found = NONE.union(*(VERSIONS.get(family, NONE) for family in rules.tracking))
    for chain in rules.chains.values():
        wanted = VERSIONS.get(chain.family, NONE)
        asks = _by_iptables if "iptables" in chain.backend else _by_nft
        for line in chain.lines:
            if wanted <= found:
                break
            found |= asks(line, wanted)
    return found


def families_of_objects(objects: Iterable[Mapping[str, Any]]) -> frozenset[str]:
    """Families of nft's tables in which an object of connection tracking stands."""
    return frozenset(str(told.get("family")) for entry in objects for kind, told in entry.items() if kind in OBJECTS)


def _by_iptables(line: RuleLine, wanted: frozenset[str]) -> frozenset[str]:
    return wanted if BY_IPTABLES.search(line.text) else NONE


def _by_nft(line: RuleLine, wanted: frozenset[str]) -> frozenset[str]:
    if any(key.startswith("ct ") for key in keys_of(line)):
        return wanted
    only = wanted
    for part in line.parts:
        if isinstance(part, Test) and part.keys == (Field("meta protocol"),) and not part.negated:
            only = frozenset(PROTOCOLS[value] for (value,) in part.exact if value in PROTOCOLS) & wanted or only
        elif isinstance(part, Translate) or (isinstance(part, Decision) and part.target in STATEMENTS):
            return only
        elif isinstance(part, UncertainTest) and part.reason.startswith("ct "):
            return wanted
    return NONE
