"""A question's way on the picture: what the topology proves of it, or where a rehearsal saw the frame."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise

from msgspec import Struct

from bascule.draw.scene.elements import (
    Kind,
    Path,
    Scene,
    exit_id,
    guest_id,
    link_id,
    machine_id,
    network_id,
    self_id,
    virtual_id,
)
from bascule.errors import UsageFault
from bascule.model.site import Site
from bascule.model.state import HostState
from bascule.model.values import Service
from bascule.site.findings import suggest
from bascule.topology.elements import Element
from bascule.topology.live import trace_as_it_is

OF_HOST = {"host": self_id, "link": link_id, "virtual": virtual_id, "exit": exit_id}


class Highlight(Struct, frozen=True, kw_only=True):
    """A question whose way is to be shown.

    ``hops`` are the places where the frame was seen, in order: each the name of an endpoint, host or network, and
    the link there. ``reached`` is what was observed (of a way without ``hops``: what the model of the host's rules
    says), None if nobody asked; ``sentence`` tells it, and ``stopped_at`` the links and endpoints at which the model
    loses it. ``service`` None stands for any.
    """

    source: str
    target: str
    service: Service | None = None
    hops: tuple[tuple[str, str], ...] = ()
    reached: bool | None = None
    sentence: str = ""
    stopped_at: tuple[str, ...] = ()


def proven_path(scene: Scene, site: Site, observed: Mapping[str, HostState], highlight: Highlight) -> Path:
    """The way from one endpoint to another, as far as the file, or the hosts as they are, prove it.

    Raises UsageFault where an endpoint is not in the scene.
    """
    _known(scene, highlight.source)
    _known(scene, highlight.target)
    found = trace_as_it_is(site, observed, highlight.source, highlight.target, highlight.service)
    nodes = [key for element in found.elements if (key := _node(scene, element)) is not None]
    if highlight.reached is False and found.reached is not False:
        hosts = {element[1] for element in found.elements if element[0] in OF_HOST}
        ends = {_place(scene, host, name) for host in hosts for name in highlight.stopped_at}
        ends |= {_place(scene, name, "") for name in highlight.stopped_at}
        last = next((place for place, key in enumerate(nodes) if key in ends), len(nodes))
        return _path(scene, highlight, nodes[: last + 1], reached=False, end=highlight.sentence)
    return _path(scene, highlight, nodes, reached=found.reached, end=found.end)


def witnessed_path(scene: Scene, highlight: Highlight) -> Path:
    """The way through the places where the frame was seen; between two of them the shortest wires are drawn.

    Raises UsageFault where an endpoint is not in the scene.
    """
    starts, goals = _known(scene, highlight.source), _known(scene, highlight.target)
    seen = [key for hop in highlight.hops if (key := _place(scene, *hop)) is not None] or starts[:1]
    nodes = _wired(scene, starts, [seen[0]]) or seen[:1]
    for key in seen:
        if nodes[-1] != key:
            nodes += _wired(scene, nodes[-1:], [key])[1:] or [key]
    reached = highlight.reached if highlight.reached is not None else nodes[-1] in goals
    if reached and nodes[-1] not in goals:
        nodes += _wired(scene, nodes[-1:], goals)[1:]
    last = scene.nodes[nodes[-1]].label
    end = f"{highlight.source} reaches {highlight.target}" if reached else f"last seen at {last}, and no further"
    return _path(scene, highlight, nodes, reached=reached, end=highlight.sentence or end)


def _known(scene: Scene, name: str) -> list[str]:
    """The elements that carry an endpoint's name: one guest or machine, or the host's addresses."""
    nodes = scene.nodes.values()
    guests = [n.id for n in nodes if n.kind is Kind.GUEST and (n.id == guest_id(name) or name in n.members)]
    machines = [key for key in (machine_id(name),) if key in scene.nodes]
    if found := guests or machines or [n.id for n in nodes if n.kind is Kind.HOST and n.host == name]:
        return found
    known = [n.id.removeprefix("guest/") for n in nodes if n.kind is Kind.GUEST]
    known += [n.label for n in nodes if n.kind is Kind.MACHINE] + list(scene.hosts)
    if name in scene.hosts:
        raise UsageFault.of("ENDPOINT", f"host '{name}' has no address of its own in the picture")
    kind = "guest, machine or host with an address"
    hint = suggest(name, known, kind=kind)
    raise UsageFault.of("ENDPOINT", f"'{name}' is not a {kind}", hint=hint)


def _node(scene: Scene, element: Element) -> str | None:
    """The id of an element of the topology that stands in the picture."""
    kind, *names = element
    alone = {"guest": guest_id, "machine": machine_id, "network": network_id}
    key = alone[kind](names[0]) if kind in alone else OF_HOST[kind](*names[:2])
    key = scene.aliases.get(key, key)
    if key in scene.nodes:
        return key
    return next((n.id for n in scene.nodes.values() if kind == "guest" and names[0] in n.members), None)


def _place(scene: Scene, node: str, link: str) -> str | None:
    """The id of the place where a rehearsal saw a frame."""
    known = (link_id(node, link), network_id(node), guest_id(node), machine_id(node))
    for key in (scene.aliases.get(key, key) for key in known):
        if key in scene.nodes:
            return key
    return next((n.id for n in scene.nodes.values() if node in n.members), None)


def _wired(scene: Scene, starts: Sequence[str], goals: Sequence[str]) -> list[str]:
    """The shortest chain of wires between elements of the picture, through no endpoint but a machine."""
    beside: dict[str, list[str]] = {key: [] for key in scene.nodes}
    for edge in scene.edges:
        beside[edge.upper].append(edge.lower)
        beside[edge.lower].append(edge.upper)
    came: dict[str, str | None] = dict.fromkeys(starts)
    queue = deque(starts)
    while queue:
        here = queue.popleft()
        if here in goals:
            return list(_back(came, here))[::-1]
        if scene.nodes[here].kind in {Kind.GUEST, Kind.HOST} and here not in starts:
            continue
        for there in beside[here]:
            if there not in came:
                came[there] = here
                queue.append(there)
    return []


def _back(came: Mapping[str, str | None], here: str | None) -> Iterator[str]:
    while here is not None:
        yield here
        here = came[here]


def _path(scene: Scene, highlight: Highlight, nodes: Sequence[str], *, reached: bool | None, end: str) -> Path:
    """The way with its wires."""
    wires = {frozenset((e.upper, e.lower)): e.id for e in reversed(scene.edges)}
    nodes = [key for place, key in enumerate(nodes) if not place or nodes[place - 1] != key]
    edges = tuple(wires[pair] for one in pairwise(nodes) if (pair := frozenset(one)) in wires)
    return Path(
        source=highlight.source, target=highlight.target, nodes=tuple(nodes), edges=edges, reached=reached, end=end
    )
