"""What becomes of a packet between the host itself and a neighbour of whom the address is known: its own chains."""

from __future__ import annotations

from typing import Any

from msgspec.structs import replace

from bascule.model.values import IpAddress
from bascule.topology.trace.any_frame.passages import FramePassage, of_all
from bascule.topology.trace.any_frame.ways import FAMILY_OF, fib, inward, ip_hook, outward, plain
from bascule.topology.trace.network import HostNetwork
from bascule.topology.trace.packet import ESTABLISHED, ICMP, ICMP6, NEW, TCP, UDP

ECHO = {4: (8, 0), 6: (128, 129)}  # question and answer: RFC 792, RFC 4443
NUMBERS = {"tcp": TCP, "udp": UDP}


def own_packet(
    network: HostNetwork, link: str, source: IpAddress, target: IpAddress, protocol: str, *, into: bool, answer: bool
) -> FramePassage:
    """Of one that comes in by a link for the host (``into``), or that it sends there: a question or the answer."""
    version = source.version
    family, number = FAMILY_OF[version], NUMBERS.get(protocol, {4: ICMP, 6: ICMP6}[version])
    known: dict[str, Any] = plain(network, family) | {"meta l4proto": number, "ct status": None}
    known |= {"ip protocol" if version == 4 else "ip6 nexthdr": number}
    known |= {
        f"{family} saddr": int(source),
        f"{family} daddr": int(target),
        "ct state": ESTABLISHED if answer else NEW,
    }
    own = (f"{protocol} ", "th ") if protocol in NUMBERS else ("icmp ", "icmpv6 ")
    others = tuple(one for one in ("tcp ", "udp ", "th ", "icmp ", "icmpv6 ") if one not in own)
    known = {key: value for key, value in known.items() if not key.startswith(others)}
    if protocol not in NUMBERS:
        known["icmp type" if version == 4 else "icmpv6 type"] = ECHO[version][answer]
    known |= fib(network, family, link, daddr="local" if into else "unicast")
    if into:
        ways = inward(network, link, family, known)
        up = tuple(ip_hook(network, family, "input", known, iif=link))
        return of_all(network, family, [replace(way, stations=way.stations + up) for way in ways])
    ways = outward(network, link, family, known)
    down = tuple(ip_hook(network, family, "output", known, oif=link))
    return of_all(network, family, [replace(way, stations=down + way.stations) for way in ways])
