"""The scene for Graphviz: same layers, same states; for whoever wants it in a larger graph."""

from __future__ import annotations

from bascule.draw.formats import Options
from bascule.draw.scene.elements import Layer, Node, Presence, Scene

BAD = "#c4162a"
DASHES = ("solid", "dashed", "dotted", "bold")
_SHAPES = {Layer.NETWORK: "box", Layer.MACHINE: "box3d", Layer.GUEST: "box", Layer.TAP: "plain"}


def render(scene: Scene, _: Options) -> str:
    """A digraph with one cluster for each host and one rank for each layer."""
    lines = [
        f"digraph {_quote(scene.site)} {{",
        "  rankdir=TB; splines=polyline; node [shape=box, fontname=monospace];",
    ]
    hot = set(scene.path.nodes) if scene.path else set()
    hot_edges = set(scene.path.edges) if scene.path else set()
    for place, host in enumerate(scene.hosts):
        lines.append(f"  subgraph cluster_{place} {{ label={_quote(host)}; style=rounded;")
        lines += [f"    {_node(node, node.id in hot)}" for node in scene.nodes.values() if node.host == host]
        for layer in (Layer.GUEST, Layer.TAP, Layer.SWITCH, Layer.NIC):
            ids = [_quote(n.id) for n in scene.of_layer(layer) if n.host == host]
            if len(ids) > 1:
                lines.append(f"    {{ rank=same; {'; '.join(ids)}; }}")
        lines.append("  }")
    lines += [f"  {_node(node, node.id in hot)}" for node in scene.nodes.values() if not node.host]
    for edge in scene.edges:
        style = scene.style(edge.network)
        words = [f"style={DASHES[(style or 0) % len(DASHES)]}", "dir=none"]
        if edge.presence is Presence.WANTED:
            words = ["style=dashed", "dir=none", f"label={_quote(str(edge.presence))}"]
        elif edge.presence is Presence.DRIFTED:  # it is there, and should not be
            words = [f"color={_quote(BAD)}", "dir=none", f"label={_quote(str(edge.presence))}"]
        if edge.id in hot_edges:
            words.append("penwidth=3")
        lines.append(f"  {_quote(edge.upper)} -> {_quote(edge.lower)} [{', '.join(words)}];")
    lines.append("}")
    return "\n".join(lines) + "\n"


def _node(node: Node, hot: bool) -> str:  # noqa: FBT001 - a private helper
    text = "\n".join((node.title, *node.notes, *node.marks))
    words = [f"label={_quote(text)}", f"shape={_SHAPES.get(node.layer, 'box')}"]
    if node.details:
        words.append(f"tooltip={_quote(chr(10).join(node.details))}")
    if node.is_faulty:
        words += [f"color={_quote(BAD)}", f"fontcolor={_quote(BAD)}"]
    if node.presence is Presence.WANTED:
        words.append("style=dashed")
    if hot:
        words.append("penwidth=3")
    return f"{_quote(node.id)} [{', '.join(words)}];"


def _quote(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n") + '"'
