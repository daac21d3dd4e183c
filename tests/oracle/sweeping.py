"""The sweep beside the walk: what bitsets say of all pairs is what a walk says of each."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from random import Random

from bascule.topology.sweep.sweep import Sweep, exchange_of
from bascule.topology.trace.network import HostNetwork, WireEnd
from bascule.topology.trace.packet import Traffic
from bascule.topology.trace.walk import Walks
from tests.oracle.compare import words

TRAFFICS = (
    Traffic(protocol="icmp"),
    *(Traffic(protocol="udp", port=port) for port in (53, 80, 443)),
    *(Traffic(protocol="tcp", port=port) for port in (22, 80)),
)
Question = tuple[WireEnd | None, WireEnd | None, int, int, Traffic]


def questions(network: HostNetwork, ends: Sequence[WireEnd]) -> list[Question]:
    """All pairs, the host among them, at all addresses by all services."""
    own = [(version, number) for (version, number), links in network.own_addresses.items() if links != ("lo",)]
    pairs: list[tuple[WireEnd | None, WireEnd | None, int, int]] = [
        (one, other, version, number)
        for one in (None, *ends)
        for other in ends
        if one is not other
        for number, version, _ in other.addresses
    ]
    pairs += [(one, None, *address) for one in ends for address in own]
    return [(*pair, traffic) for pair in pairs for traffic in TRAFFICS]


def unequal(network: HostNetwork, ends: Sequence[WireEnd], random: Random, some: int) -> Iterator[str]:
    """Where sweep and walk differ, among ``some`` of all questions; 0 asks all."""
    sweep, walks = Sweep(network, ends, TRAFFICS), Walks(network, ends)
    asked = questions(network, ends)
    for source, target, version, address, traffic in random.sample(asked, some) if some else asked:
        walked = walks.ask(source, target, address, version, traffic)
        swept = sweep.answer(source, target, version, address, traffic)
        if swept != exchange_of(walked):
            names = f"{source.name if source else 'host'} → {target.name if target else 'host'} IPv{version} {traffic}"
            yield f"sweep and walk differ, {names}\n  sweep: {swept}\n  walk:  {exchange_of(walked)} {words(walked)}"
