"""The drawing as text, for any width of 40 columns or more, with or without UTF-8; on less as an indented list."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable

from bascule.draw.formats import Options
from bascule.draw.formats.canvas import Canvas, cells, plain
from bascule.draw.layout.arrange import Layout, fit
from bascule.draw.layout.blocks import Metrics
from bascule.draw.layout.tree import Tree, build_tree
from bascule.draw.scene.elements import (
    FDB_SIGN,
    FDB_WORDS,
    FINE,
    GUARD_SIGNS,
    GUARD_WORDS,
    Kind,
    Layer,
    Node,
    Presence,
    Scene,
)
from bascule.draw.scene.grouping import leaves_names_out
from bascule.model.values import count

MIN_WIDTH = 40
MANY_TAPS = 6

METRICS = Metrics(
    grid=2,
    line=1,
    pad_x=2,
    pad_y=1,
    edge=1,
    gap=2,
    drop=1,
    track=1,
    network_line=2,
    first_line=1,
    frame_x=2,
    frame_top=1,
    frame_bottom=1,
    chip=0,
    note_width=22,
    arrow=0,
    icon=0,
    measure=lambda text, _label: cells(text),
)

LINE_STYLES = "═━─╍┅┄╌╴"
"""The line styles of the networks, in their order; ASCII has its own."""


def render(scene: Scene, options: Options) -> str:
    """The picture, then what it cannot show: differences from the file, the highlighted way, the legend.

    Where the host is too wide for the columns, the same content comes as an outline.
    """
    width = max(options.width, MIN_WIDTH)
    layout = fit(scene, METRICS, width=width)
    body = _picture(scene, layout).lines() if layout else outline(scene, width)
    lines = [*_head(scene, options.date, width), *body, *_notes(scene, layout, width)]
    out = "\n".join(line.rstrip() for line in lines).rstrip("\n") + "\n"
    return plain(out) if options.ascii else out


def _head(scene: Scene, date: str | None, width: int) -> list[str]:
    words = [scene.site]
    if scene.observed:
        words.append(f"file and host {', '.join(sorted(scene.observed))}" if scene.digest else "as seen on the host")
    if date:
        words.append(date)
    if scene.digest:
        words.append(f"sha256 {scene.digest[:12]}")
    line = "  ".join(words)
    return [line if cells(line) <= width else words[0][:width], ""]


def _picture(scene: Scene, layout: Layout) -> Canvas:
    canvas = Canvas(layout.width, layout.height)
    hot = set(scene.path.nodes) if scene.path else set()
    for box in layout.boxes:
        if box.shape == "frame":
            canvas.frame(box.x, box.y, box.w, box.h, box.lines[0])
    edges = {edge.id: edge for edge in scene.edges}
    hot_edges = set(scene.path.edges) if scene.path else set()
    for key, points in sorted(layout.wires.items(), key=lambda wire: wire[0] in hot_edges):
        edge = edges[key]
        loose = edge.presence is Presence.WANTED  # a drifted wire is there, though in the wrong place
        canvas.wire(points, net=edge.lower, heavy=key in hot_edges, dashed=loose)
    for network_line in layout.network_lines:
        style = LINE_STYLES[(scene.style(scene.nodes[network_line.node].network) or 0) % len(LINE_STYLES)]
        canvas.network_line(network_line.y, network_line.left, network_line.right, style)
    for network_line in layout.network_lines:
        words = f" {network_line.label.lines[0]} "
        canvas.write(network_line.label.x + (network_line.label.w - cells(words)) // 2, network_line.y, words)
    canvas.join(layout)
    for box in layout.boxes:
        if box.shape == "chip":
            for row, line in enumerate(box.lines):
                pad = (box.w - cells(line)) // 2
                canvas.write(box.x + pad, box.y + row, line)
        elif box.shape != "frame":
            node = scene.nodes[box.node]
            border = "heavy" if box.node in hot else "double" if box.shape == "bar" else "light"
            if node.presence is Presence.WANTED:
                border = "dashed"
            canvas.box(box.x, box.y, box.w, box.h, border)
            for row, line in enumerate(box.lines):
                canvas.write(box.x + METRICS.pad_x, box.y + 1 + row, line)
    return canvas


def _notes(scene: Scene, layout: Layout | None, width: int) -> list[str]:
    lines: list[str] = []
    if layout:
        kinds = "from the top: guests, their taps, bridges (double frame), NICs, networks (lines), machines"
        lines += ["", *_wrap(kinds, width), *_wrap("● is connected to the network, │ only crosses it", width)]
    signs = [
        f"{GUARD_SIGNS[x]} {GUARD_WORDS[x]}" for x in GUARD_SIGNS if any(n.guard is x for n in scene.nodes.values())
    ]
    signs += [f"{FDB_SIGN} {FDB_WORDS}"] if any(n.static_fdb for n in scene.nodes.values()) else []
    lines += _wrap("; ".join(signs), width) if signs else []
    if layout:
        drawn = {network_line.node: network_line.label.lines[0] for network_line in layout.network_lines}
        whole = {key: " ".join((scene.nodes[key].label, *scene.nodes[key].notes)) for key in drawn}
        if cut := [words for key, words in whole.items() if words != drawn[key]]:
            lines += ["", *_wrap(f"networks: {', '.join(cut)}", width)]
        if cut := _cut(scene, layout):
            lines += ["", *_wrap("what the boxes have no room for:", width)]
            lines += [line for words in cut for line in _wrap(words, width, "  ")]
    if scene.path:
        names = " → ".join(scene.nodes[key].label for key in scene.path.nodes) or "nowhere"
        lines += ["", *_wrap(f"{scene.path.source} to {scene.path.target}: {names}", width)]
        lines += _wrap(scene.path.end, width)
    for node in scene.nodes.values():
        if node.members and node.layer is Layer.GUEST and leaves_names_out(node.members):
            lines += ["", *_wrap(f"{node.label}: {', '.join(node.members)}", width)]
    missing = _named(n for n in scene.nodes.values() if n.presence is Presence.WANTED and n.layer is not Layer.GUEST)
    foreign = [n.label for n in scene.nodes.values() if n.presence is Presence.FOREIGN and n.kind is not Kind.HOST]
    if scene.drift:
        lines += ["", *_wrap("drifted (the plan would change):", width)]
        for words in scene.drift:
            lines += _wrap(words, width, "  ")
    if missing:
        lines += ["", *_wrap(f"wanted (in the file, not on the host): {missing}", width)]
    if foreign:
        lines += ["", *_wrap(f"foreign (not in the file, left alone): {', '.join(dict.fromkeys(foreign))}", width)]
    if layout and layout.unrouted:
        also = [f"{scene.nodes[e.upper].label} → {scene.nodes[e.lower].label}" for e in layout.unrouted]
        lines += ["", *_wrap(f"further wires: {', '.join(also)}", width)]
    bad = [n for n in scene.nodes.values() if n.state not in FINE]
    if bad:
        lines += ["", *_wrap("state: " + ", ".join(f"{n.label} {n.state}" for n in bad), width)]
    return lines


def _cut(scene: Scene, layout: Layout) -> list[str]:
    """Names and notes that are not, or not whole, in the boxes, those of alike elements in one line.

    Of an address without its prefix length the network says the rest.
    """
    shown: dict[str, set[str]] = {}
    for box in layout.boxes:
        if box.node:
            shown.setdefault(box.node, set()).update(box.lines)
    found: dict[tuple[str, ...], list[str]] = {}
    for key, drawn in shown.items():
        node = scene.nodes[key]
        notes = tuple(note for note in node.notes if drawn.isdisjoint({note, note.partition("/")[0]}))
        if notes or node.title not in drawn:
            found.setdefault(notes, []).append(node.label)
    return [": ".join(filter(None, (", ".join(labels), ", ".join(notes)))) for notes, labels in found.items()]


def _named(nodes: Iterable[Node]) -> str:
    """Their names; of many taps the number, because each guest stands in the picture."""
    listed = list(nodes)
    taps = [node for node in listed if node.kind is Kind.TAP and not node.members]
    many = len(taps) >= MANY_TAPS
    named = [node.label for node in listed if not (many and node in taps)]
    return ", ".join([*dict.fromkeys(named), *([count(len(taps), "tap")] if many else [])])


def _wrap(text: str, width: int, indent: str = "") -> list[str]:
    return textwrap.wrap(text, width - 1, initial_indent=indent, subsequent_indent=indent + "  ") or [""]


def outline(scene: Scene, width: int) -> list[str]:
    """From the networks up: what hangs on each NIC, bond, bridge, down to the guests."""
    lines: list[str] = []
    for host, behind in scene.hosts.items():
        lines.append(f"{host} · {behind}" if behind else host)
        tree = build_tree(scene, host)
        for root in tree.roots:
            lines += _subtree(scene, tree, root, 1, width)
        for key in tree.loose:
            lines += _lines(scene, scene.nodes[key], 1, width)
            taps = tree.taps.get(key, ())
            ends = [(tap, edge.lower) for tap in taps for edge in tree.lower[tap]]
            for tap, into in ends:
                lines += _lines(scene, scene.nodes[tap], 2, width, tail=f"on {scene.nodes[into].label}")
    networks, machines = list(scene.of_layer(Layer.NETWORK)), list(scene.of_layer(Layer.MACHINE))
    lines += ["networks"] if networks else []
    for node in networks:
        lines += _lines(scene, node, 1, width)
        lines += [f"    {scene.nodes[edge.lower].label}" for edge in scene.lower(node.id)]
    lines += ["machines"] if machines else []
    for node in machines:
        lines += _lines(scene, node, 1, width)
    return lines


def _subtree(scene: Scene, tree: Tree, key: str, depth: int, width: int) -> list[str]:
    """An element and what stands on it."""
    lines = _lines(scene, scene.nodes[key], depth, width)
    for member in tree.members.get(key, ()):
        lines += _lines(scene, scene.nodes[member], depth + 1, width, lead="on ")
    for child in tree.children.get(key, ()):
        lines += _subtree(scene, tree, child, depth + 1, width)
    return lines


def _lines(scene: Scene, node: Node, depth: int, width: int, *, lead: str = "", tail: str = "") -> list[str]:
    ends = [scene.nodes[edge.lower] for edge in scene.lower(node.id) if node.layer is Layer.GUEST]
    taps = [" ".join((end.title, *end.marks, *end.notes)) for end in ends]
    nets = [scene.nodes[edge.lower].label for edge in scene.lower(node.id) if node.layer is Layer.NIC]
    words = [lead + node.title, *node.marks, *(f"via {tap}" for tap in taps), *(f"to {net}" for net in nets)]
    indent = "  " * min(depth, 6)
    whole = "  ".join([*words, *([tail] if tail else []), *node.notes])
    return textwrap.wrap(whole, width - 1, initial_indent=indent, subsequent_indent=indent + "    ")
