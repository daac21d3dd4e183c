"""The same content as an indented list, for a screen too narrow for the picture."""

from __future__ import annotations

import textwrap

from bascule.draw.layout.tree import Tree, build_tree
from bascule.draw.scene.elements import Layer, Node, Scene


def outline(scene: Scene, width: int) -> list[str]:
    """From the networks up: what hangs on each NIC, bond, bridge, down to the guests."""
    lines: list[str] = []
    for host, behind in scene.hosts.items():
        lines.append(f"{host} · {behind}" if behind else host)
        tree = build_tree(scene, host)
        for root in tree.roots:
            lines += _standing(scene, tree, root, 1, width)
        for key in tree.loose:
            lines += _lines(scene, scene.nodes[key], 1, width)
            taps = tree.taps.get(key, ())
            ends = [(tap, edge.lower) for tap in taps for edge in tree.lower[tap]]
            for tap, into in ends:
                lines += _lines(scene, scene.nodes[tap], 2, width, tail=f"on {scene.nodes[into].label}")
    lines.append("networks")
    for node in scene.of_layer(Layer.NETWORK):
        lines += _lines(scene, node, 1, width)
        lines += [f"    {scene.nodes[edge.lower].label}" for edge in scene.lower(node.id)]
    lines.append("machines")
    for node in scene.of_layer(Layer.MACHINE):
        lines += _lines(scene, node, 1, width)
    return lines


def _standing(scene: Scene, tree: Tree, key: str, depth: int, width: int) -> list[str]:
    """An element and what stands on it."""
    lines = _lines(scene, scene.nodes[key], depth, width)
    for member in tree.members.get(key, ()):
        lines += _lines(scene, scene.nodes[member], depth + 1, width, lead="on ")
    for child in tree.children.get(key, ()):
        lines += _standing(scene, tree, child, depth + 1, width)
    return lines


def _lines(scene: Scene, node: Node, depth: int, width: int, *, lead: str = "", tail: str = "") -> list[str]:
    taps = [scene.nodes[edge.lower].title for edge in scene.lower(node.id) if node.layer is Layer.GUEST]
    nets = [scene.nodes[edge.lower].label for edge in scene.lower(node.id) if node.layer is Layer.NIC]
    words = [lead + node.title, *node.marks, *(f"via {tap}" for tap in taps), *(f"to {net}" for net in nets)]
    indent = "  " * min(depth, 6)
    whole = "  ".join([*words, *([tail] if tail else []), *node.notes])
    return textwrap.wrap(whole, width - 1, initial_indent=indent, subsequent_indent=indent + "    ")
