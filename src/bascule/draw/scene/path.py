"""The way of a frame through the scene, and where it ends.

With a rehearsal's witness the way is the one that the frame took. Without one it is what the file promises: bridges
and networks pass a frame on, a machine passes on only what it masquerades, a NAT network lets out and lets in only
what it forwards, and neither guests nor the host pass on anything.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from difflib import get_close_matches
from itertools import pairwise

from msgspec import Struct

from bascule.draw.scene.elements import (
    Edge,
    Kind,
    Layer,
    LinkState,
    Node,
    Path,
    Presence,
    Scene,
    guest_id,
    link_id,
    machine_id,
    network_id,
    wire_state,
)
from bascule.errors import Problem, UsageFault
from bascule.model.site import Forward, Service


class Highlight(Struct, frozen=True, kw_only=True):
    """A question whose way is to be shown.

    ``hops`` are the places where the frame was seen, in order: each the name of an endpoint, host or network, and
    the link there. ``reached`` is what was observed, None if nobody asked; ``sentence`` tells it. ``service`` None
    stands for any.
    """

    source: str
    target: str
    service: Service | None = None
    hops: tuple[tuple[str, str], ...] = ()
    reached: bool | None = None
    sentence: str = ""


class _Step(Struct, frozen=True):
    node: str
    network: str | None


def find_path(scene: Scene, highlight: Highlight) -> Path:
    """The way from one endpoint to another.

    Raises UsageFault where an endpoint is not in the scene.
    """
    starts = _endpoint(scene, highlight.source)
    goals = _endpoint(scene, highlight.target)
    walker = _Walker(scene, highlight, goals)
    if highlight.hops:
        return walker.witnessed(highlight, starts)
    nodes = walker.search(starts, strict=True)
    if nodes:
        end = f"{highlight.source} reaches {highlight.target}{walker.through(nodes)}"
        return walker.path(nodes, reached=True, end=end)
    nodes = walker.search(starts, strict=False)
    if not nodes:
        start = starts[:1]
        return walker.path(start, reached=False, end=f"no wire leads from {highlight.source} to {highlight.target}")
    cut, why = walker.first_refusal(nodes)
    return walker.path(nodes[: cut + 1], reached=False, end=f"ends at {scene.nodes[nodes[cut]].label}: {why}")


def _endpoint(scene: Scene, name: str) -> list[str]:
    """The elements that carry an endpoint's name: one guest or machine, or the host's addresses."""
    guests = [
        n.id for n in scene.nodes.values() if n.kind is Kind.GUEST and (n.id == guest_id(name) or name in n.members)
    ]
    machines = [key for key in (machine_id(name),) if key in scene.nodes]
    own = [n.id for n in scene.nodes.values() if n.kind is Kind.HOST and n.host == name]
    if found := guests or machines or own:
        return found
    known = [n.id.removeprefix("guest/") for n in scene.nodes.values() if n.kind is Kind.GUEST]
    known += [n.label for n in scene.nodes.values() if n.kind is Kind.MACHINE] + list(scene.hosts)
    near = get_close_matches(name, known, n=1)
    hint = f"did you mean '{near[0]}'?" if near else f"known are {', '.join(known)}" if known else None
    message = f"'{name}' is no guest, machine or host with an address"
    raise UsageFault(Problem(code="ENDPOINT", message=message, hint=hint))


class _Walker:
    def __init__(self, scene: Scene, highlight: Highlight, goals: Sequence[str]) -> None:
        self.scene = scene
        self.source = highlight.source
        self.target = highlight.target
        self.service = highlight.service
        self.goals = set(goals)
        self.beside: dict[str, list[tuple[str, Edge]]] = {key: [] for key in scene.nodes}
        for edge in scene.edges:
            self.beside[edge.upper].append((edge.lower, edge))
            self.beside[edge.lower].append((edge.upper, edge))
        self.wires = {frozenset((e.upper, e.lower)): e for e in reversed(scene.edges)}

    def search(self, starts: Sequence[str], *, strict: bool, goals: set[str] | None = None) -> list[str]:
        """The shortest way to a goal.

        ``strict`` obeys who passes on what and takes the wires as they are; otherwise they are as the file wants them.
        """
        goals = goals or self.goals
        other = Presence.WANTED if strict else Presence.DRIFTED
        queue = deque(_Step(start, None) for start in starts)
        came: dict[_Step, _Step | None] = dict.fromkeys(queue)
        while queue:
            step = queue.popleft()
            if step.node in goals:
                return self._back(step, came)
            before = came[step]
            for node, edge in self.beside[step.node]:
                if edge.presence is other or (before is not None and node == before.node):
                    continue
                if strict and self._cut(edge):
                    continue
                if before is not None and self._refusal(before.node, step.node, node, strict=strict):
                    continue
                if (network := self._carry(step, edge, node)) is _STOP:
                    continue
                following = _Step(node, network if isinstance(network, str) else None)
                if following not in came:
                    came[following] = step
                    queue.append(following)
        return []

    def _carry(self, step: _Step, edge: Edge, node: str) -> str | object | None:
        """The network that the frame is in after a wire; machines and translations put it into another one."""
        kind = self.scene.nodes[step.node].kind
        if kind in {Kind.MACHINE, Kind.GUEST, Kind.HOST, Kind.TRANSLATION, Kind.ROUTING}:
            return edge.network
        if step.network and edge.network and step.network != edge.network:
            return _STOP
        if self.scene.nodes[node].kind in {Kind.TRANSLATION, Kind.ROUTING}:
            return None
        return step.network or edge.network

    def _refusal(self, before: str, node: str, after: str, *, strict: bool) -> str:
        """Why an element does not pass a frame on, or nothing."""
        here = self.scene.nodes[node]
        if here.kind is Kind.GUEST:
            return "" if not strict and after in self.goals else "a guest passes nothing on"
        if here.kind is Kind.HOST:
            return "the host passes nothing on"
        if not strict:
            return ""
        if here.kind is Kind.MACHINE:
            for arrow in self.scene.arrows:
                if arrow.machine == node and after == network_id(arrow.to) and self._may_go_out(arrow.sources, before):
                    return ""
            return f"it does not forward what comes from {self.source} to {self.scene.nodes[after].label}"
        upward = self.scene.nodes[before].layer > here.layer
        if here.kind is Kind.TRANSLATION and upward and self._door(here) is None:
            asked = f" for {self.service}" if self.service else ""
            return f"nothing gets in through masquerade, and no port is forwarded to {self.target}{asked}"
        return ""

    def _cut(self, edge: Edge) -> str:
        """Why nothing passes a wire of a host that somebody looked at, or nothing."""
        upper, lower = self.scene.nodes[edge.upper], self.scene.nodes[edge.lower]
        if edge.presence is Presence.WANTED:
            gone = [node for node in (upper, lower) if node.presence is Presence.WANTED and node.kind is not Kind.GUEST]
            return f"{gone[0].label} is not there" if gone else f"{upper.label} is not wired to {lower.label}"
        if lower.layer is Layer.TAP and lower.state is LinkState.NO_CARRIER:
            return f"{lower.label} has no carrier; its guest does not run"
        state = wire_state(self.scene, edge)
        at = lower if lower.state is state else upper
        return "" if state is LinkState.UNKNOWN else f"{at.label} {_STATES.get(state, f'is {state}')}"

    def _door(self, translation: Node) -> Forward | None:
        """The forward through which a frame to the target gets in."""
        for forward in translation.lets_in:
            if forward.guest == self.target and (self.service is None or forward.service.covers(self.service)):
                return forward
        return None

    def _may_go_out(self, sources: Sequence[str], before: str) -> bool:
        origin = self.scene.nodes[before].label
        hosts = {n.host for n in self.scene.nodes.values() if n.id == guest_id(self.source)}
        return self.source in sources or origin in sources or bool(hosts & set(sources))

    def first_refusal(self, nodes: Sequence[str]) -> tuple[int, str]:
        """Where on a way the frame is stopped, and why."""
        for place, (node, after) in enumerate(pairwise(nodes)):
            if place and (why := self._refusal(nodes[place - 1], node, after, strict=True)):
                return place, why
            if why := self._cut(self.wires[frozenset((node, after))]):
                return place, why
        return len(nodes) - 1, "the frame's VLAN does not lead there"

    def through(self, nodes: Sequence[str]) -> str:
        """Whose address the frame bears when it arrives."""
        for key in reversed(nodes[1:-1]):
            node = self.scene.nodes[key]
            if node.kind is Kind.MACHINE:
                return f", seen as {node.label}"
            if node.kind is Kind.TRANSLATION and key in nodes:
                leaving = self.scene.nodes[nodes[nodes.index(key) - 1]].layer < node.layer
                door = self._door(node)
                if leaving:
                    return f", seen as {node.host}"
                return f" by {door.service}, through port {door.host_port} of {node.host}" if door else ""
        return ""

    def witnessed(self, highlight: Highlight, starts: Sequence[str]) -> Path:
        """The way through the places where the frame was seen."""
        seen = [key for hop in highlight.hops if (key := self._place(*hop)) is not None]
        nodes: list[str] = []
        for key in seen or starts[:1]:
            if nodes and nodes[-1] != key:
                between = self.search([nodes[-1]], strict=False, goals={key})
                nodes += between[1:] if between else [key]
            elif not nodes:
                lead = self.search(starts, strict=False, goals={key})
                nodes = lead or [key]
        reached = highlight.reached if highlight.reached is not None else nodes[-1] in self.goals
        if reached and nodes[-1] not in self.goals:
            rest = self.search([nodes[-1]], strict=False)
            nodes += rest[1:]
        last = self.scene.nodes[nodes[-1]].label
        told = f"{highlight.source} reaches {highlight.target}" if reached else f"last seen at {last}, and no further"
        end = highlight.sentence or told
        return self.path(nodes, reached=reached, end=end)

    def _place(self, node: str, link: str) -> str | None:
        known = (link_id(node, link), network_id(node), guest_id(node), machine_id(node))
        for key in (self.scene.aliases.get(key, key) for key in known):
            if key in self.scene.nodes:
                return key
        return next((n.id for n in self.scene.nodes.values() if node in n.members), None)

    def path(self, nodes: Sequence[str], *, reached: bool, end: str) -> Path:
        """The way with its wires."""
        pairs = (frozenset(pair) for pair in pairwise(nodes))
        edges = tuple(self.wires[pair].id for pair in pairs if pair in self.wires)
        return Path(source=self.source, target=self.target, nodes=tuple(nodes), edges=edges, reached=reached, end=end)

    @staticmethod
    def _back(step: _Step, came: dict[_Step, _Step | None]) -> list[str]:
        nodes = []
        here: _Step | None = step
        while here is not None:
            nodes.append(here.node)
            here = came[here]
        return nodes[::-1]


_STOP = object()
_STATES = {LinkState.NO_CARRIER: "has no carrier", LinkState.WAITING: "waits for STP"}
