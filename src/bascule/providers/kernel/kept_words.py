"""What somebody else made of a link or a rule, in words, where a way back leaves it or overwrites it."""

from __future__ import annotations

from collections.abc import Collection, Iterator

from bascule.model.kernel_parameters import conf
from bascule.model.links import BridgePort
from bascule.model.state import HostState, LinkFacts, PortVlans, Route, RoutingRule
from bascule.providers.kernel.diff.vlans import vlan_words
from bascule.providers.protocol import ThreeWay

FACETS = {
    "arp": "ARP",
    "mac": "MAC",
    "mtu": "MTU",
    "master": "bridge",
    "vlans": "VLANs",
    "addrgenmode": "IPv6 addresses",
}


def facet_words(facet: str) -> str:
    """What people call a facet of a link."""
    return FACETS.get(facet, facet.replace("_", " "))


def value_words(value: object, instead_of: object = None) -> str:
    """A value as iproute2 writes it; of a port's options those that differ from what it is ``instead_of``."""
    match value:
        case None | () | "":
            return "none"
        case bool():
            return "on" if value else "off"
        case BridgePort():
            other = instead_of if isinstance(instead_of, BridgePort) else None
            return " ".join(value.arguments(other)) or "the kernel's own"
        case PortVlans():
            return vlan_words(value)
        case RoutingRule():
            return f"{value.name} {' '.join(value.words)}"
        case tuple():
            return ", ".join(map(value_words, value))
    return str(value)


def left_beside(change: ThreeWay, goal: HostState) -> Iterator[str]:
    """What others have done since to what no way back touches."""
    after = change.applied if change.applied is not None else change.wanted
    yield from _neighbours(change, after, goal.links)
    for name in change.before.links:
        if name not in change.now.links or name not in goal.links:
            continue
        had = any(one.is_ipv6 for one in change.before.links[name].addresses)
        if had and goal.sysctls.get(conf(6, name, "disable_ipv6")) == "1":
            yield f"{name}: IPv6 is off there by now, and its IPv6 addresses with it"
        if change.applied is None:
            continue  # what a change that was ended half-way has done there, nobody knows
        was, seen = (state.links[name].facts if name in state.links else LinkFacts() for state in (after, change.now))
        if was.queue != seen.queue:
            yield f"{name}: its queue is now {seen.queue}" if seen.queue else f"{name}: its queue {was.queue} is gone"
        if was.xdp != seen.xdp:
            words = f"{', '.join(seen.xdp)} sees its frames first now" if seen.xdp else "nobody sees its frames first"
            yield f"{name}: {words} (XDP)"


def _neighbours(change: ThreeWay, after: HostState, links: Collection[str]) -> Iterator[str]:
    known = {*change.before.neighbours, *change.wanted.neighbours}
    for one in change.now.neighbours:
        if one not in known and "extern_learn" not in one.flags:  # a program keeps those
            goes = "" if one.dev in links else f", and is removed with {one.dev}"
            yield f"the neighbour {one.ip} on {one.dev} is new{goes}"
    for one in change.before.neighbours:
        if one in after.neighbours and one not in change.now.neighbours and one.dev in change.now.links:
            yield f"the neighbour {one.ip} on {one.dev} is gone"


def replaced_words(route: Route) -> str:
    """That one of before comes back in the place of another; one by several links is of the kernel's making."""
    by = route.dev or " and ".join(dev for _, dev in route.hops)
    return f"the route {route.dst}{f' by {by}' if by else ''} is replaced by the one before"
