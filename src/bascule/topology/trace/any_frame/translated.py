"""Rules that give frames which only cross a bridge another sender or another destination, where br_netfilter calls.

They were written for what the host routes: masquerading without a device, a port that is forwarded whoever is asked,
a transparent proxy. What is sent to an address of the host itself crosses no bridge, and rules for such alone are left
out.
"""

from __future__ import annotations

from collections.abc import Iterator

from bascule.model.values import IpNetwork
from bascule.topology.trace.any_frame.passages import FAMILY_OF, RuleVerdict, once
from bascule.topology.trace.any_frame.ways import HookFields, devices_of, fib, plain
from bascule.topology.trace.network import HostNetwork
from bascule.topology.trace.rules.evaluate import ChainEnd, every_end
from bascule.topology.trace.rules.values import address


def other_senders(
    network: HostNetwork, bridge: str, subnet: IpNetwork, *, beyond: bool = False
) -> tuple[RuleVerdict, ...]:
    """The rules that give another sender to frames of a subnet; ``beyond``: to those that leave it as well."""
    family, bounds = FAMILY_OF[subnet.version], (int(subnet[0]), int(subnet[-1]))
    known = _known(network, bridge, family) | {f"{family} saddr": bounds, f"{family} daddr": None if beyond else bounds}
    return once(_translating(network, family, "postrouting", {**known, **devices_of("", bridge)}))


def other_destinations(
    network: HostNetwork, bridge: str, subnet: IpNetwork, *, beyond: bool = False
) -> tuple[RuleVerdict, ...]:
    """The rules that send frames elsewhere which are from or to a subnet; ``beyond``: out of it and into it as well."""
    family, bounds = FAMILY_OF[subnet.version], (int(subnet[0]), int(subnet[-1]))
    ends = [(bounds, None), (None, bounds)] if beyond else [(bounds, bounds)]
    found: list[RuleVerdict] = []
    for source, target in ends:
        known = _known(network, bridge, family) | {f"{family} saddr": source, f"{family} daddr": target}
        found += _translating(network, family, "prerouting", {**known, **devices_of(bridge, "")})
    return once(found)


def _known(network: HostNetwork, bridge: str, family: str) -> dict[str, object]:
    known = plain(network, family) | {"meta physbridged": 1, "meta physin": None}
    return {**known, **fib(network, family, bridge, daddr="unicast", saddr="unicast")}


def _translating(network: HostNetwork, family: str, hook: str, known: HookFields) -> Iterator[RuleVerdict]:
    chains = (one for one in network.rules.at(family, hook) if one.base is not None and one.base.type == "nat")
    for chain in chains:
        for end in every_end(network.rules, chain, known):
            if end.nat is not None and not _is_for_the_host(network, family, end):
                yield RuleVerdict(verdict=end.nat.kind, base=chain, by=end.by)


def _is_for_the_host(network: HostNetwork, family: str, end: ChainEnd) -> bool:
    """Whether one of the rules that led there is about addresses of the host alone."""
    for hit in end.hits:
        for key, exact, low, high, negated in hit.line.guards:
            asked = {*exact, *([low] if low == high else [])}
            if key == f"{family} daddr" and not negated and low >= high and asked and asked <= _own(network):
                return True
    return False


def _own(network: HostNetwork) -> frozenset[int]:
    addresses = (one.ip.partition("/")[0] for link in network.state.links.values() for one in link.addresses)
    return frozenset(map(address, addresses))
