"""Rules that give frames which only cross a bridge another sender or another destination, where br_netfilter calls.

They were written for what the host routes: masquerading without a device, a port that is forwarded whoever is asked,
a transparent proxy. What is sent to an address of the host itself crosses no bridge, and rules for such alone are left
out.
"""

from __future__ import annotations

from collections.abc import Iterator

from bascule.model.values import IpNetwork
from bascule.topology.trace.any_frame.passages import RuleVerdict, once
from bascule.topology.trace.any_frame.ways import FAMILY_OF, MARKS, HookFields, devices_of, fib, plain
from bascule.topology.trace.network import HostNetwork
from bascule.topology.trace.rules.evaluate import ChainEnd, every_end
from bascule.topology.trace.rules.lines import SetField
from bascule.topology.trace.rules.values import address


def other_senders(
    network: HostNetwork, bridge: str, subnet: IpNetwork, *, beyond: bool = False
) -> tuple[RuleVerdict, ...]:
    """The rules that give another sender to frames of a subnet; ``beyond``: to those that leave it as well."""
    family, bounds = FAMILY_OF[subnet.version], (int(subnet[0]), int(subnet[-1]))
    known = _known(network, bridge, family) | {f"{family} saddr": bounds, f"{family} daddr": None if beyond else bounds}
    return once(_translating(network, family, bridge, "postrouting", known))


def other_destinations(
    network: HostNetwork, bridge: str, subnet: IpNetwork, *, beyond: bool = False
) -> tuple[RuleVerdict, ...]:
    """The rules that send frames elsewhere which are from or to a subnet; ``beyond``: out of it and into it as well."""
    family, bounds = FAMILY_OF[subnet.version], (int(subnet[0]), int(subnet[-1]))
    ends = [(bounds, None), (None, bounds)] if beyond else [(bounds, bounds)]
    found: list[RuleVerdict] = []
    for source, target in ends:
        known = _known(network, bridge, family) | {f"{family} saddr": source, f"{family} daddr": target}
        found += _translating(network, family, bridge, "prerouting", known)
    return once(found)


def _known(network: HostNetwork, bridge: str, family: str) -> dict[str, object]:
    known = plain(network, family) | {"meta physbridged": 1, "meta physin": None}
    return {**known, **fib(network, family, bridge, daddr="unicast", saddr="unicast")}


def _translating(network: HostNetwork, family: str, bridge: str, hook: str, known: HookFields) -> Iterator[RuleVerdict]:
    """The rules of a hook by which frames between a bridge's ports get other addresses.

    By the marks that they have there: a container's rules mark what is asked of its published ports, and masquerade
    what is marked.
    """
    cases = [known] if _is_marked_before(network) else [{**known, **dict.fromkeys(MARKS, 0)}]
    for one, devices in (("prerouting", (bridge, "")), ("forward", (bridge, bridge)), ("postrouting", ("", bridge))):
        for chain in network.rules.at(family, one):
            ends = [end for case in cases for end in every_end(network.rules, chain, {**case, **devices_of(*devices)})]
            for end in ends:
                translates = one == hook and chain.base is not None and chain.base.type == "nat" and end.nat is not None
                if translates and end.nat is not None and not _is_for_the_host(network, family, end):
                    yield RuleVerdict(verdict=end.nat.kind, base=chain, by=end.by)
            marks = {tuple(end.fields.get(mark) for mark in MARKS): None for end in ends if end.verdict == "accept"}
            cases = [{**known, **dict(zip(MARKS, some, strict=True))} for some in marks] or cases
        if one == hook:
            return


def _is_marked_before(network: HostNetwork) -> bool:
    """Whether rules of bridges or links may have marked a frame, which those of IP then find on it."""
    chains = (one for one in network.rules.chains.values() if one.family in {"bridge", "netdev"})
    return any(isinstance(part, SetField) for chain in chains for line in chain.lines for part in line.parts)


def _is_for_the_host(network: HostNetwork, family: str, end: ChainEnd) -> bool:
    """Whether one of the rules that led there is about addresses of the host alone."""
    for hit in end.hits:
        for key, exact, low, high, negated in hit.line.guards:
            asked = {*exact, *([low] if low == high else [])}
            if key == f"{family} daddr" and not negated and low >= high and asked and asked <= _own(network):
                return True
    return False


def _own(network: HostNetwork) -> frozenset[int]:
    addresses = (one.local for link in network.state.links.values() for one in link.addresses)
    return frozenset(map(address, addresses))
