"""The scene for Mermaid, which many wikis and forges render in place."""

from __future__ import annotations

from bascule.draw.formats import Options
from bascule.draw.scene.elements import Kind, Layer, Node, Presence, Scene

_OPEN = {
    Kind.NETWORK: ("[/", "/]"),
    Kind.MACHINE: ("[[", "]]"),
    Kind.BRIDGE: ("{{", "}}"),
    Kind.VIRTUAL_NETWORK: ("{{", "}}"),
}


def render(scene: Scene, _: Options) -> str:
    """A flowchart from top to bottom, with one subgraph for each host."""
    names = {key: f"n{place}" for place, key in enumerate(scene.nodes)}
    lines = ["flowchart TB"]
    for place, host in enumerate(scene.hosts):
        lines.append(f"  subgraph host{place} [{_quote(host)}]")
        lines += [f"    {names[n.id]}{_shape(n)}" for n in scene.nodes.values() if n.host == host]
        lines.append("  end")
    lines += [f"  {names[n.id]}{_shape(n)}" for n in scene.nodes.values() if not n.host]
    hot_edges = set(scene.path.edges) if scene.path else set()
    hot = []
    for place, edge in enumerate(scene.edges):
        wire = "===" if edge.lower.startswith("network/") else "---"
        if edge.presence is Presence.WANTED:
            wire = f"-. {edge.presence} .-"
        elif edge.presence is Presence.DRIFTED:  # it is there, and should not be
            wire = f"-- {edge.presence} ---"
        lines.append(f"  {names[edge.upper]} {wire} {names[edge.lower]}")
        if edge.id in hot_edges:
            hot.append(str(place))
    if hot:
        lines.append(f"  linkStyle {','.join(hot)} stroke-width:4px")
    nodes = scene.nodes.values()
    looks = (
        ("bad", "stroke:#c4162a", [n.id for n in nodes if n.is_faulty]),
        ("wanted", "stroke-dasharray:4 3", [n.id for n in nodes if n.presence is Presence.WANTED]),
        ("hot", "stroke-width:4px", scene.path.nodes if scene.path else ()),
    )
    for look, style, keys in looks:
        if keys:
            ids = ",".join(dict.fromkeys(names[key] for key in keys))
            lines += [f"  classDef {look} {style}", f"  class {ids} {look}"]
    return "\n".join(lines) + "\n"


def _shape(node: Node) -> str:
    text = "<br>".join(_escape(words) for words in (node.title, *node.notes, *node.marks))
    left, right = ("([", "])") if node.layer is Layer.TAP else _OPEN.get(node.kind, ("[", "]"))
    return f'{left}"{text}"{right}'


def _quote(text: str) -> str:
    return f'"{_escape(text)}"'


def _escape(text: str) -> str:
    return (
        text.replace("&", "&amp;")
        .replace('"', "&quot;")
        .replace("<", "&lt;")
        .replace(">", "&gt;")
        .replace("#", "&num;")
    )
