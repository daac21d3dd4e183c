"""A scene while it is being filled."""

from __future__ import annotations

from bascule.draw.scene.elements import Edge, LinkState, Node, Presence


class SceneBuilder:
    """Elements and wires by their ids, in the order in which they came."""

    def __init__(self) -> None:
        self.nodes: dict[str, Node] = {}
        self.edges: dict[str, Edge] = {}
        self.aliases: dict[str, str] = {}  # the id of a link that is drawn as a part of another element: that element

    def add(self, node: Node) -> Node:
        """Add an element to the scene; the first with an id stays."""
        return self.nodes.setdefault(node.id, node)

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
