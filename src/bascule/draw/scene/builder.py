"""A scene while it is being filled."""

from __future__ import annotations

from collections.abc import Iterable

from bascule.draw.scene.elements import Edge, Kind, Layer, LinkState, Node, Presence, link_id, self_id


class SceneBuilder:
    """Elements and wires by their ids, in the order in which they came."""

    def __init__(self) -> None:
        self.nodes: dict[str, Node] = {}
        self.edges: dict[str, Edge] = {}
        self.aliases: dict[str, str] = {}  # the id of a link that is drawn as a part of another element: that element

    def add(self, node: Node) -> Node:
        """Add an element to the scene; the first with an id stays."""
        return self.nodes.setdefault(node.id, node)

    def add_self(
        self,
        host: str,
        link: str,
        notes: Iterable[str],
        details: Iterable[str],
        *,
        network: str | None = None,
        presence: Presence = Presence.DECLARED,
        wire: Presence,
    ) -> None:
        """The host itself where it has addresses on a link, and the ``wire`` to that."""
        own = Node(
            id=self_id(host, link),
            layer=Layer.SWITCH,
            kind=Kind.HOST,
            label=host,
            notes=tuple(notes),
            details=("the host's own address", *details),
            host=host,
            network=network,
            presence=presence,
        )
        self.add(own)
        self.wire(own.id, link_id(host, link), network=network, presence=wire)

    def wire(
        self,
        upper: str,
        lower: str,
        *,
        network: str | None = None,
        presence: Presence = Presence.DECLARED,
        state: LinkState = LinkState.UNKNOWN,
    ) -> None:
        """Add a wire to the scene; an equal one stays single."""
        edge = Edge(upper=upper, lower=lower, network=network, presence=presence, state=state)
        self.edges.setdefault(edge.id, edge)

    def are_wired(self, one: str, other: str) -> bool:
        """Whether a wire joins the two, in whichever direction."""
        return f"{one}>{other}" in self.edges or f"{other}>{one}" in self.edges
