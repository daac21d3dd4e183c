"""The way between two endpoints on hosts as they are, and what is in its way there. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise

from bascule.model.site import Site
from bascule.model.state import HostState
from bascule.model.values import IfName, Service
from bascule.topology.elements import Element, Trace, label
from bascule.topology.graph import Topology
from bascule.topology.trace.declared_way import trace


def trace_as_it_is(
    site: Site, observed: Mapping[str, HostState], source: str, target: str, service: Service | None = None
) -> Trace:
    """The way as the hosts that were observed have it; where it ends there, what of the file's way is missing.

    Raises KeyError where an endpoint is not in the site.
    """
    declared = Topology.of(site)
    if not observed:
        return trace(declared, source, target, service)
    seen = Topology.of(site, observed)
    now = trace(seen, source, target, service)
    if now.reached:
        return now
    wish = trace(declared, source, target, service)
    for place, (one, other) in enumerate(pairwise(wish.elements)):
        if why := _broken(seen, one, other):
            end = f"ends at {label(one)}: {why}"
            return Trace(elements=wish.elements[: place + 1], reached=False, end=end)
    return now if wish.reached else wish


def _broken(seen: Topology, one: Element, other: Element) -> str:
    """Why nothing passes from an element to the next on a host that was observed, or nothing."""
    links = [x for x in (one, other) if x[0] == "link" and x[1] in seen.observed]
    for _, host, name in links:
        if IfName(name) not in seen.states[host].links:
            return f"{name} is not there"
    for _, host, name in links:
        state = seen.states[host]
        link = state.links[IfName(name)]
        beside = other if one == ("link", host, name) else one
        if beside[0] == "link" and beside[1] == host and link.master != beside[2]:
            under = state.links.get(IfName(beside[2]))
            if under is not None and under.is_bridge and not link.is_bridge:
                return f"{name} is not wired to {beside[2]}"
        cut = seen.stopped(host, name)
        if cut and (beside[0] != "link" or cut == "is down" or link.options.kind == "tun"):
            return f"{name} {cut}" + (
                "; its guest does not run" if link.options.kind == "tun" and "carrier" in cut else ""
            )
        if beside[0] in {"link", "virtual"} and link.master is not None and (held := seen.held(host, name)):
            return f"{name} {held}"
    return ""
