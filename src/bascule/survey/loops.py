"""Would bridges close a loop? Two NICs of one wire under connected bridges send every broadcast round for ever. Pure.

The graph has two kinds of nodes: a bridge with one VLAN inside it, and a broadcast domain outside. NICs (through their
VLAN links and bonds) and veth pairs are the edges. A second way between two nodes is a loop, unless a bridge on it
runs the spanning tree.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Mapping

from msgspec import Struct

from bascule.errors import Problem
from bascule.model.links import Bond as BondLink
from bascule.model.links import Bridge as BridgeLink
from bascule.model.links import Veth, Vlan
from bascule.model.site import Host, Site
from bascule.model.state import HostState, Link
from bascule.model.values import IfName
from bascule.survey.frame import Tags
from bascule.survey.wire import Foot, Wire, join
from bascule.survey.words import tag_words


class Loop(Struct, frozen=True, kw_only=True):
    """A closed way: bridges and links alternate with the wires, as the frames go round."""

    path: tuple[str, ...]
    nics: frozenset[str]
    bridges: frozenset[str]
    why: str
    presumed: bool = False

    @property
    def drawn(self) -> str:
        """The loop in one line."""
        return " ── ".join((*self.path, self.path[0])) + "  (and round again)"


def declared_wires(site: Site, host: Host) -> tuple[Wire, ...]:
    """The wires that the file itself knows of: NICs that are declared for one network, bonds apart."""
    by_network: dict[tuple[str, Tags], list[str]] = {}
    for nic in host.nics.values():
        if nic.network is not None:
            vlan = site.networks[nic.network].vlan
            by_network.setdefault((nic.network, (vlan,) if vlan else ()), []).append(nic.name)
    for bridge in host.bridges.values():
        if bridge.vlan is not None and not bridge.vlan_aware:
            network = site.network_of_vlan(bridge.vlan)
            on = by_network.setdefault((network.name if network else f"VLAN {bridge.vlan}", (bridge.vlan,)), [])
            on += [nic.name for nic in host.uplink_nics(bridge) if nic.name not in on]
    return tuple(
        Wire(
            nics=tuple(nics),
            kind="trunk" if tags else "plain",
            domains=(feet := frozenset(Foot(nic, tags) for nic in nics),),
            proven=(feet,),
            reasons=(f"the file puts both on {name}",),
        )
        for (name, tags), nics in by_network.items()
        if len(nics) > 1
    )


def find_loops(state: HostState, wires: Iterable[Wire]) -> tuple[Loop, ...]:
    """The loops that a host's bridges close, or would close if ``state`` is the wanted one."""
    edges = list(_edges(state, tuple(wires)))
    graph: dict[str, list[tuple[str, str]]] = {}
    found: dict[frozenset[str], Loop] = {}
    for start, end, label in edges:
        way = _way(graph, start, end)
        if way is not None:
            loop = _loop([*way, (label, start)], state, tuple(wires))
            if loop is not None:
                found.setdefault(loop.nics | loop.bridges, loop)
                continue
        graph.setdefault(start, []).append((label, end))
        graph.setdefault(end, []).append((label, start))
    return tuple(found.values())


def loop_problems(wanted: HostState, wires: Iterable[Wire], before: HostState | None = None) -> tuple[Problem, ...]:
    """What ``plan`` and ``apply`` refuse: each loop that the wanted state closes and the present one does not."""
    known = tuple(wires)
    old = {loop.nics | loop.bridges for loop in find_loops(before, known)} if before is not None else set()
    return tuple(
        Problem(
            code="LOOP",
            message=f"{_and(sorted(loop.nics))} {'may be' if loop.presumed else 'are'} on one wire ({loop.why}); "
            f"{_and(sorted(loop.bridges))} would close a loop:\n    {loop.drawn}",
            hint=("see whether it is one wire with 'bascule survey --active'; " if loop.presumed else "")
            + "use one NIC per wire, bundle the NICs in a bond, or set 'stp: true' on the bridge "
            "(a switch port with BPDU guard then shuts down)",
        )
        for loop in find_loops(wanted, known)
        if loop.nics | loop.bridges not in old
    )


def _and(words: list[str]) -> str:
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"


def _edges(state: HostState, wires: tuple[Wire, ...]) -> Iterator[tuple[str, str, str]]:
    """Node, node, and the link between them."""
    tags = {foot.tags for wire in wires for domain in wire.domains for foot in domain} | {()}
    domain_of = {foot: name for name, domain in _domains(wires) for foot in domain}
    for bridge in (link for link in state.links.values() if link.is_bridge):
        for port in state.ports(bridge.name):
            joined = {(inside, domain_of[foot]) for inside, foot in _carries(port, state, tags) if foot in domain_of}
            for inside, domain in sorted(joined):
                yield f"{bridge.name}|{inside}", domain, port.name
            yield from _cables(bridge, port, state, tags)


def _domains(wires: tuple[Wire, ...]) -> Iterator[tuple[str, frozenset[Foot]]]:
    """Broadcast domains by a name; two wires may share a foot, then they are one."""
    for feet in join(domain for wire in wires for domain in wire.domains):
        words = sorted({tag_words(foot.tags) for foot in feet})
        yield f"wire {'+'.join(sorted({foot.nic for foot in feet}))} ({', '.join(words)})", feet


def _carries(port: Link, state: HostState, tags: set[Tags]) -> Iterator[tuple[Tags, Foot]]:
    """What a port joins: the tag inside the bridge with a foot outside; a bond has a foot for each member."""
    outer: Tags = ()
    base = port
    while isinstance(base.options, Vlan) and base.parent is not None and base.parent in state.links:
        outer = (base.options.id, *outer)
        base = state.links[base.parent]
    bond = isinstance(base.options, BondLink)
    nics = [link.name for link in state.links.values() if link.master == base.name] if bond else [base.name]
    for tag in tags:
        inside = tag[len(outer) :]
        if tag[: len(outer)] == outer and _passes(port, inside):
            yield from ((_inside(port, inside), Foot(nic, tag)) for nic in nics)


def _passes(port: Link, tag: Tags) -> bool:
    """Whether a VLAN-aware bridge lets the tag in at this port; a port without VLAN entries lets all pass."""
    if not port.vlans:
        return True
    if not tag:
        return any(entry.pvid for entry in port.vlans)
    return any(entry.first <= tag[0] <= entry.last for entry in port.vlans)


def _inside(port: Link, tag: Tags) -> Tags:
    pvid = next((entry.first for entry in port.vlans if entry.pvid), None)
    return (pvid,) if not tag and pvid is not None else tag


def _cables(bridge: Link, port: Link, state: HostState, tags: set[Tags]) -> Iterator[tuple[str, str, str]]:
    """A veth pair whose other end is a port, too, joins two bridges."""
    if not isinstance(port.options, Veth) or port.parent is None or port.parent not in state.links:
        return
    if port.parent < port.name:
        return  # each cable once
    peer = state.links[port.parent]
    if peer.master is None or peer.master not in state.links or not state.links[peer.master].is_bridge:
        return
    for tag in tags:
        yield f"{bridge.name}|{tag}", f"{peer.master}|{tag}", f"{port.name}={peer.name}"


def _way(graph: Mapping[str, list[tuple[str, str]]], start: str, end: str) -> list[tuple[str, str]] | None:
    """The shortest way from start to end, as (link, node) steps; the first step has no link."""
    before: dict[str, tuple[str, str]] = {}
    queue = deque([start])
    seen = {start}
    while queue:
        node = queue.popleft()
        if node == end:
            way: list[tuple[str, str]] = []
            while node != start:
                label, previous = before[node]
                way.append((label, node))
                node = previous
            return [("", start), *reversed(way)]
        for label, other in graph.get(node, ()):
            if other not in seen:
                seen.add(other)
                before[other] = (label, node)
                queue.append(other)
    return None


def _loop(steps: list[tuple[str, str]], state: HostState, wires: tuple[Wire, ...]) -> Loop | None:
    path: list[str] = []
    nics: set[str] = set()
    bridges: set[str] = set()
    for label, node in steps:
        if label:
            path.append(label)
            nics.add(label)
        name = node.split("|")[0]
        if node.startswith("wire "):
            path.append("(the wire)")
        else:
            path.append(name)
            bridges.add(name)
    path.pop()  # the start comes round again
    if any(_runs_stp(state.links[IfName(name)]) for name in bridges):
        return None
    outside = {_nic(name, state) for name in nics if "=" not in name}
    shared = [wire for wire in wires if len(outside & set(wire.nics)) > 1]
    reasons = [reason for wire in shared for reason in wire.reasons]
    return Loop(
        path=tuple(path),
        nics=frozenset(name for name in outside),
        bridges=frozenset(bridges),
        why=reasons[0] if reasons else "the bridges are cabled together",
        presumed=any(wire.presumed for wire in shared),
    )


def _nic(port: str, state: HostState) -> str:
    link = state.links[IfName(port)]
    while isinstance(link.options, Vlan) and link.parent is not None and link.parent in state.links:
        link = state.links[link.parent]
    return link.name


def _runs_stp(link: Link) -> bool:
    return isinstance(link.options, BridgeLink) and link.options.stp_state != 0
