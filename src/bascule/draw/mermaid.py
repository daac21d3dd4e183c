"""The scene for Mermaid, which many wikis and forges render in place."""

from __future__ import annotations

from bascule.draw.scene import Kind, Layer, LinkState, Node, Presence, Scene

_OPEN = {
    Kind.NETWORK: ("[/", "/]"),
    Kind.MACHINE: ("[[", "]]"),
    Kind.BRIDGE: ("{{", "}}"),
    Kind.VIRTUAL_NETWORK: ("{{", "}}"),
}


def mermaid(scene: Scene) -> str:
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
        loose = edge.presence in {Presence.WANTED, Presence.DRIFTED}
        wire = f"-. {edge.presence} .-" if loose else "===" if edge.lower.startswith("network/") else "---"
        lines.append(f"  {names[edge.upper]} {wire} {names[edge.lower]}")
        if edge.id in hot_edges:
            hot.append(str(place))
    if hot:
        lines.append(f"  linkStyle {','.join(hot)} stroke-width:4px")
    for words, style in (("bad", "stroke-dasharray:4 3"), ("hot", "stroke-width:4px")):
        ids = [names[n.id] for n in scene.nodes.values() if (_is_bad(n) if words == "bad" else _is_hot(scene, n))]
        if ids:
            lines += [f"  classDef {words} {style}", f"  class {','.join(ids)} {words}"]
    return "\n".join(lines) + "\n"


def _is_bad(node: Node) -> bool:
    return node.state not in {LinkState.UNKNOWN, LinkState.UP} or node.presence in {Presence.WANTED, Presence.DRIFTED}


def _is_hot(scene: Scene, node: Node) -> bool:
    return scene.path is not None and node.id in scene.path.nodes


def _shape(node: Node) -> str:
    text = "<br>".join(_escape(words) for words in (node.label, *node.notes, *node.marks))
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
