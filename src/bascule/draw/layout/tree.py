"""Which element stands on which: the wires of a host as a forest, for the layout to draw from the leaves down."""

from __future__ import annotations

from collections.abc import Iterable

from msgspec import Struct, field

from bascule.draw.scene.elements import Edge, Kind, Layer, Node, Scene


class Tree(Struct, kw_only=True):
    """A host's elements in drawing order.

    ``children`` stand on one element; ``members`` are what an element with several legs stands on alone (a bond on its
    NICs); ``loose`` ones have wires to several elements, or none, and are drawn above all others; ``unrouted``
    wires have no place in a forest (a link that sits on two others which are shared) and are told in words.
    """

    roots: list[str] = field(default_factory=list)
    children: dict[str, list[str]] = field(default_factory=dict)
    members: dict[str, list[str]] = field(default_factory=dict)
    primary: dict[str, str] = field(default_factory=dict)
    loose: list[str] = field(default_factory=list)
    taps: dict[str, list[str]] = field(default_factory=dict)  # of a guest
    lower: dict[str, list[Edge]] = field(default_factory=dict)
    unrouted: list[Edge] = field(default_factory=list)

    def targets(self, node: str) -> list[str]:
        """What a guest, a tap or the host's own address is wired to, each once."""
        ends = self.taps.get(node, [node])
        return list(dict.fromkeys(edge.lower for end in ends for edge in self.lower[end]))


def build_tree(scene: Scene, host: str) -> Tree:
    """The forest of one host."""
    tree = Tree()
    nodes = scene.on_host(host)
    tree.lower = {key: [] for key in nodes}
    owner: dict[str, str] = {}
    for edge in scene.wires_from(host):
        if edge.lower not in nodes:
            continue
        if nodes[edge.upper].layer is Layer.GUEST:
            tree.taps.setdefault(edge.upper, []).append(edge.lower)
            owner[edge.lower] = edge.upper
        elif _is_end(nodes[edge.lower]):
            tree.unrouted.append(edge)
        else:
            tree.lower[edge.upper].append(edge)
    for node in nodes.values():
        if node.layer is Layer.GUEST:
            tree.taps.setdefault(node.id, [])
    ends = [n.id for n in nodes.values() if _is_end(n) and n.id not in owner]
    inner = [n.id for n in nodes.values() if not _is_end(n)]
    _stand(tree, nodes, inner)
    among_members = {member for members in tree.members.values() for member in members}
    for key in ends:
        targets = tree.targets(key)
        if len(targets) == 1 and targets[0] not in among_members:
            tree.primary[key] = targets[0]
            tree.children.setdefault(targets[0], []).append(key)
        else:
            tree.loose.append(key)
    tree.roots = [key for key in inner if key not in tree.primary and key not in among_members]
    return tree


def _is_end(node: Node) -> bool:
    """What nothing stands on: guests, taps, and the host's own addresses."""
    return node.layer <= Layer.TAP or node.kind is Kind.HOST


def _stand(tree: Tree, nodes: dict[str, Node], inner: Iterable[str]) -> None:
    """Find for each link what it stands on; a wire that would close a ring or cross the forest stays unrouted."""
    inner = list(inner)
    uppers: dict[str, list[str]] = {key: [] for key in nodes}
    for key in inner:
        for edge in tree.lower[key]:
            uppers[edge.lower].append(key)
    for key in inner:
        lowers = list(dict.fromkeys(edge.lower for edge in tree.lower[key]))
        if len(lowers) > 1 and all(
            uppers[x] == [key] and not tree.lower[x] and nodes[x].layer is Layer.NIC for x in lowers
        ):
            tree.members[key] = lowers
    for key in inner:
        if key in tree.members:
            continue
        for edge in tree.lower[key]:
            if key in tree.primary or _stands_on(tree, edge.lower, key):
                tree.unrouted.append(edge)
            else:
                tree.primary[key] = edge.lower
                tree.children.setdefault(edge.lower, []).append(key)


def _stands_on(tree: Tree, node: str, other: str) -> bool:
    """Whether following what a node stands on leads to ``other``."""
    while True:
        if node == other:
            return True
        if node not in tree.primary:
            return False
        node = tree.primary[node]
