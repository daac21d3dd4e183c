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
from bascule.model.state import HostState
from bascule.model.values import IfName, series
from bascule.topology.layer2 import CableEnd, carried, hardware, patched, runs_stp, tag_words
from bascule.topology.wires import Wire, join


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
    if before is not None and before.links == wanted.links:
        return ()
    known = tuple(wires)
    old = {loop.nics | loop.bridges for loop in find_loops(before, known)} if before is not None else set()
    return tuple(
        Problem(
            code="LOOP",
            message=f"{series(sorted(loop.nics))} {'may be' if loop.presumed else 'are'} on one wire ({loop.why}); "
            f"{series(sorted(loop.bridges))} would close a loop:\n    {loop.drawn}",
            hint=("see whether it is one wire with 'bascule survey --active'; " if loop.presumed else "")
            + "use one NIC per wire, bundle the NICs in a bond, or set 'stp: true' on the bridge "
            "(a switch port with BPDU guard then shuts down)",
        )
        for loop in find_loops(wanted, known)
        if loop.nics | loop.bridges not in old
    )


def _edges(state: HostState, wires: tuple[Wire, ...]) -> Iterator[tuple[str, str, str]]:
    """Node, node, and the link between them."""
    tags = {end.tags for wire in wires for domain in wire.domains for end in domain} | {()}
    domain_of = {end: name for name, domain in _domains(wires) for end in domain}
    for switch in (link for link in state.links.values() if link.is_bridge):
        for port in state.ports(switch.name):
            joined = {(within, domain_of[end]) for within, end in carried(port, state, tags) if end in domain_of}
            for within, domain in sorted(joined):
                yield f"{switch.name}|{within}", domain, port.name
            peer = patched(port, state)
            if peer is not None and port.name < peer.name:  # each pair once
                for tag in tags:
                    yield f"{switch.name}|{tag}", f"{peer.master}|{tag}", f"{port.name}={peer.name}"


def _domains(wires: tuple[Wire, ...]) -> Iterator[tuple[str, frozenset[CableEnd]]]:
    """Broadcast domains by a name; two wires may share a cable end, then they are one."""
    for ends in join(domain for wire in wires for domain in wire.domains):
        words = sorted({tag_words(end.tags) for end in ends})
        yield f"wire {'+'.join(sorted({end.nic for end in ends}))} ({', '.join(words)})", ends


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
    if any(runs_stp(state.links[IfName(name)]) for name in bridges):
        return None
    outside = {hardware(state.links[IfName(name)], state).name for name in nics if "=" not in name}
    shared = [wire for wire in wires if len(outside & set(wire.nics)) > 1]
    reasons = [reason for wire in shared for reason in wire.reasons]
    return Loop(
        path=tuple(path),
        nics=frozenset(name for name in outside),
        bridges=frozenset(bridges),
        why=reasons[0] if reasons else "the bridges are cabled together",
        presumed=any(wire.presumed for wire in shared),
    )
