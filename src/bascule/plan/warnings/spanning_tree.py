"""What the spanning tree protocol costs: how long a port passes no frame, and what a switch may do about it. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from bascule.model.host_links import Bridge as DeclaredBridge
from bascule.model.links import Bridge
from bascule.model.state import HostState, Link
from bascule.plan.change import Note


def time_to_forwarding_s(bridge: Link | None) -> float:
    """How long a port that comes up on a bridge passes no frame."""
    return bridge.options.time_to_forwarding_s if bridge is not None and isinstance(bridge.options, Bridge) else 0.0


def settling_s(before: HostState, after: HostState) -> float:
    """How long the slowest bridge needs from one state to another until its new ports forward."""
    found = (
        time_to_forwarding_s(link) for link in after.links.values() if link.is_bridge and _begins(link, before, after)
    )
    return max(found, default=0.0)


def _begins(bridge: Link, before: HostState, after: HostState) -> bool:
    """Whether the spanning tree begins on the bridge, or a port joins it."""
    old = before.links.get(bridge.name)
    if old is None or not isinstance(old.options, Bridge) or not old.options.stp_state:
        return True
    return _is_joined(bridge, before, after)


def _is_joined(bridge: Link, before: HostState, after: HostState) -> bool:
    """Whether a port comes up on it, which the kernel begins to listen on."""
    return bool({port.name for port in after.ports(bridge.name)} - {port.name for port in before.ports(bridge.name)})


def bridges_with_delayed_ports(before: HostState, after: HostState) -> Iterator[tuple[str, str]]:
    """The bridges on which a port passes no frame for a while after a change, and what that means."""
    for link in after.links.values():
        wait_s = time_to_forwarding_s(link) if link.is_bridge and _is_joined(link, before, after) else 0.0
        if wait_s:
            text = f"runs the spanning tree protocol: a port that joins it passes no frame for {wait_s:g} s"
            yield link.name, text + ("; during that time the host does not answer on it" if link.addresses else "")


def hidden_times(before: HostState, after: HostState) -> Iterator[tuple[str, str]]:
    """The bridges on which the spanning tree begins again, with times that nobody knows."""
    for link in after.links.values():
        options, seen = link.options, before.links.get(link.name)
        runs = seen is not None and isinstance(seen.options, Bridge) and seen.options.stp_state
        if isinstance(options, Bridge) and options.stp_state and options.forward_delay is None and not runs:
            text = "its own times of the spanning tree do not come back: the kernel showed those of the root, another"
            yield link.name, f"{text} bridge; set forward_delay, hello_time and max_age by hand where they matter"


def spanning_tree_notes(bridges: Iterable[DeclaredBridge], before: HostState, after: HostState) -> Iterator[Note]:
    """What somebody should know before the spanning tree begins on a bridge, or a port joins one that speaks it."""
    for bridge in bridges:
        link = after.links.get(bridge.name)
        wait_s = time_to_forwarding_s(link)
        speaks = link is not None and isinstance(link.options, Bridge) and link.options.stp_state
        if link is None or not speaks or not _begins(link, before, after):
            continue
        text = f"runs the spanning tree protocol: each port that comes up passes no frame for {wait_s:g} s, "
        text += "a guest's at every start"
        if link.addresses or bridge.has_address:
            text += "; during that time the host does not answer on it either"
        if wait_s:
            yield Note(kind="warning", subject=bridge.name, text=text)
        for port in bridge.every_port:
            text = f"sends BPDUs of {bridge.name}: where its switch has BPDU guard, the switch shuts the port down at "
            text += "the first of them, until somebody enables it again; ask who runs the switch, or leave stp off"
            yield Note(kind="warning", subject=port.link, text=text)
