"""Which links of a host carry which: what the administrator's own line runs over, what is below a link. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from bascule.model.links import Tap
from bascule.model.state import HostState
from bascule.model.values import IfName


def management_path(state: HostState, device: IfName) -> frozenset[str]:
    """The links below a device that frames of the host pass: its uplinks and what those sit on, and its master."""
    found: set[str] = set()
    waiting = [device]
    while waiting:
        name = waiting.pop()
        link = state.links.get(name)
        if link is None or name in found:
            continue
        found.add(name)
        waiting += [port.name for port in state.ports(name) if not isinstance(port.options, Tap)]
        if link.stands_on is not None:
            waiting.append(link.stands_on)
        if link.master is not None and not link.is_bridge:
            waiting.append(link.master)
    return frozenset(found)


def host_path(state: HostState, device: IfName) -> frozenset[str]:
    """The same for a device that the host speaks on, with what is behind it where it is one end of a virtual cable."""
    found = set(management_path(state, device))
    for name in tuple(found):
        link = state.links[IfName(name)]
        far = state.parent_of(link) if link.options.kind == "veth" else None
        if far is not None and far.master is not None:
            found |= management_path(state, far.master)
    return frozenset(found)


def below(state: HostState, name: IfName | None) -> Iterator[IfName]:
    """A link with what carries it: what a VLAN sits on, the members of a bond."""
    link = state.links.get(name) if name is not None else None
    if link is None:
        return
    yield link.name
    if link.options.kind == "bond":
        for port in state.ports(link.name):
            yield from below(state, port.name)
    elif link.options.kind == "vlan":
        yield from below(state, link.parent)
