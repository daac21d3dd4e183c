"""Who hangs on a host's bridges as a guest, whether a file names him or not, and who loses his wire by a change. Pure.

A port of a bridge is a wire where it is hardware, a bond, a VLAN, a link that the file calls a NIC, or the one whose
MAC a bridge of ours wears; every other one, a tap or a veth, is a guest's.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

from msgspec.structs import replace

from bascule.errors import BasculeError, Place, Problem
from bascule.model.links import Other, Veth
from bascule.model.state import HostState, Link, stood_on
from bascule.model.values import IfName
from bascule.plan.change import Plan, Risk
from bascule.topology.layer2 import patched
from bascule.topology.management import management_path


def _is_wire(port: Link, bridge: Link, nics: Collection[str]) -> bool:
    """Whether a port of a bridge leads out of the host. In a namespace the NICs are veths, as guests' ports may be."""
    leads_out = port.options.kind in {"", "bond", "vlan"} or (isinstance(port.options, Veth) and port.is_ours)
    return leads_out or port.name in nics or (bridge.is_ours and port.mac == bridge.mac)


def guest_ports(state: HostState, nics: Collection[str]) -> Mapping[IfName, IfName]:
    """The bridge of every port that is a guest's."""
    return {
        name: bridge.name
        for name, link in state.links.items()
        if (bridge := state.bridge_of(name)) is not None and not _is_wire(link, bridge, nics)
    }


def wires_of(state: HostState, bridge: IfName, nics: Collection[str]) -> frozenset[str]:
    """The links that a bridge's frames leave the host by, down to the hardware."""
    joined = _joined(state, bridge)
    ports = {port.name: each for each in joined for port in state.ports(each.name)}
    wires = {name for name, each in ports.items() if _is_wire(state.links[name], each, nics)}
    # the path of a wire leads into its own bridge as well
    inside = {each.name for each in joined} | (ports.keys() - wires)
    return frozenset(name for wire in wires for name in management_path(state, wire)) - inside


def is_between(state: HostState, name: IfName) -> bool:
    """Whether a link is one end of a cable between two bridges of the host: behind it are others, it is no guest's."""
    return _far_bridge(state, name) is not None


def _far_bridge(state: HostState, name: IfName) -> Link | None:
    """The other bridge to which a port is the cable."""
    far = patched(state.links[name], state) if state.bridge_of(name) is not None else None
    return state.bridge_of(far.name) if far is not None else None


def _joined(state: HostState, bridge: IfName) -> list[Link]:
    """A bridge with those that cables connect it with."""
    found: dict[IfName, Link] = {}
    waiting = [state.links.get(bridge)]
    while waiting:
        if (each := waiting.pop()) is not None and each.name not in found:
            found[each.name] = each
            waiting += [_far_bridge(state, port.name) for port in state.ports(each.name)]
    return list(found.values())


def refuse_stranded(before: HostState, after: HostState, nics: Collection[str], place: Place | None) -> None:
    """Raise BasculeError with every guest's port that would be left without a bridge, because its own one goes."""
    left: dict[IfName, list[IfName]] = {}
    for name, bridge in guest_ports(before, nics).items():
        if name in after.links and after.bridge_of(name) is None:
            left.setdefault(bridge, []).append(name)
    problems = [
        Problem(
            code="PORT-LEFT",
            message=f"{_named(before, ports)} would be left without a bridge: {bridge} is removed, and no guest of the "
            f"file has {'that tap' if len(ports) == 1 else 'those taps'}",
            place=place,
            hint=f"keep {bridge} in the file, name the guest with 'tap: {ports[0]}', or unplug it first",
        )
        for bridge, ports in left.items()
    ]
    problems += [
        Problem(
            code="PORT-LEFT",
            message=f"{name} would be deleted with {below}, on which it is built; the file does not ask for that",
            place=place,
            hint=f"keep {below} in the file, or remove {name} first (ip link del {name})",
        )
        for name, below in _deleted_with(before, after)
    ]
    if problems:
        raise BasculeError(*problems)


def _deleted_with(before: HostState, after: HostState) -> Iterator[tuple[IfName, IfName]]:
    """The links of others that the kernel deletes with a bridge, on which they are built, each with that."""
    bridges = {name for name, link in before.links.items() if name not in after.links and link.is_bridge}
    stands = stood_on(bridges, before.links)
    return ((name, below) for name, below in stands.items() if not before.links[name].is_ours)


def lost_wires(before: HostState, after: HostState, nics: Collection[str]) -> Mapping[IfName, frozenset[str]]:
    """The guests' ports that reach a wire before a change and none after it, with what they had: bridge and wires."""
    was, there = guest_ports(before, nics), guest_ports(after, nics)
    had, has = _wires_of_each(before, was.values(), nics), _wires_of_each(after, there.values(), nics)
    found = {}
    for name, bridge in was.items():
        left = has[there[name]] if name in there else NO_WIRES
        # a tunnel that is left leads elsewhere than the cable that is gone
        stays = left.cable if had[bridge].cable else bool(left.links)
        if had[bridge].links and not stays and name in after.links and not is_between(before, name):
            found[name] = had[bridge].links | {bridge}
    return found


class _Wires(NamedTuple):
    """The links that a bridge's frames leave the host by, and whether one of them is no tunnel."""

    links: frozenset[str]
    cable: bool


NO_WIRES = _Wires(frozenset(), cable=False)


def _wires_of_each(state: HostState, bridges: Iterable[IfName], nics: Collection[str]) -> Mapping[IfName, _Wires]:
    """Asked once for each bridge: a thousand guests may hang on it."""
    return {each: _Wires(wires_of(state, each, nics), _has_cable(state, each, nics)) for each in set(bridges)}


def _behind(state: HostState, name: IfName) -> list[IfName]:
    """The guests' ports of a bridge to which a port is the cable: Proxmox has a bridge for each tap."""
    far = _far_bridge(state, name)
    return [] if far is None else [port.name for port in state.ports(far.name) if port.name != state.links[name].parent]


def _named(state: HostState, ports: Sequence[IfName]) -> str:
    behind = [(name, ", ".join(_behind(state, name))) for name in ports]
    return ", ".join(f"{name} (with {more} behind it)" if more else name for name, more in behind)


def _has_cable(state: HostState, bridge: IfName, nics: Collection[str]) -> bool:
    return any(
        _is_wire(port, each, nics) and not isinstance(port.options, Other)
        for each in _joined(state, bridge)
        for port in state.ports(each.name)
    )


def losses(before: HostState, after: HostState) -> tuple[tuple[str, str], ...]:
    """What each guest's port loses that is left without its bridge or without a wire, for people.

    A link that is a wire in one of the states is one in the other: only a bridge of ours tells it from a guest's.
    """
    nics = {
        port.name
        for state in (before, after)
        for name, bridge in state.links.items()
        if bridge.is_bridge
        for port in state.ports(name)
        if _is_wire(port, bridge, ())
    }
    wires, guests = lost_wires(before, after, nics), guest_ports(before, nics)
    found = []
    for name, bridge in guests.items():
        if name not in after.links:
            continue
        if (now := after.bridge_of(name)) is None:
            words = f"loses its bridge {bridge}" + ("" if bridge in after.links else ", which is removed")
            behind = ", ".join(port for port in _behind(before, name) if port not in wires)
            found.append((name, words + (f"; {behind} behind it as well" if behind else "")))
        elif name in wires:
            gone = ", ".join(sorted(wires[name] - guests.keys() - {bridge}))
            there = f"{now.name} does not have {gone} any more"
            moved = f"it moves from {bridge}, which has {gone}, to {now.name}, which has none"
            found.append((name, f"loses the wire: {there if now.name == bridge else moved}"))
    found += [(n, f"is deleted with {below}, on which it is built") for n, below in _deleted_with(before, after)]
    return tuple(found)


def _wired(state: HostState, nics: Collection[str]) -> set[IfName]:
    """The guests' ports that reach a wire."""
    ports = guest_ports(state, nics)
    wires = _wires_of_each(state, ports.values(), nics)
    return {port for port, bridge in ports.items() if wires[bridge].links}


def with_losses(
    plan: Plan, before: HostState, after: HostState, nics: Collection[str], names: Mapping[IfName, str]
) -> Plan:
    """The plan whose changes say which guests lose their connection permanently; ``names`` are the guests of taps.

    It is said of the changes that take the wire from the bridge, or the bridge from the port.
    """
    lost = lost_wires(before, after, nics) if plan.changes else {}
    if not lost:
        return plan
    wired, later = (_wired(state, nics) for state in (before, after))
    gain = {names.get(port, port) for port in later - wired}  # guests whose NICs change places
    lost = {port: had for port, had in lost.items() if names.get(port, port) not in gain}
    changes = []
    for change in plan.changes:
        cut = tuple(names.get(port, port) for port, had in lost.items() if change.subject in {port, *had})
        if cut and change.about in {"master", "existence"} and change.risk >= Risk.DETACHES:
            changes.append(replace(change, cuts=cut, for_good=True))
        else:
            changes.append(change)
    return replace(plan, changes=tuple(changes))
