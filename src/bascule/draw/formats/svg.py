"""The drawing as SVG: one file, no font, no script, nothing loaded from elsewhere; light and dark; printable on A4."""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Iterable
from html import escape

from msgspec.structs import replace

from bascule.draw.formats import Options
from bascule.draw.formats.canvas import cells
from bascule.draw.formats.glyphs import (
    SHIELD,
    SOCKET,
    arrows,
    guard_sign,
    one_way,
    socket,
    state_class,
    way_end,
    wire_sign,
)
from bascule.draw.formats.legend import entry_width, legend
from bascule.draw.formats.style import STYLE, network_style
from bascule.draw.formats.svg_wires import merged, nets
from bascule.draw.layout.arrange import Layout, NetworkLine, page
from bascule.draw.layout.blocks import Box, Metrics, Points
from bascule.draw.layout.hostblock import Notes
from bascule.draw.scene.elements import (
    GUARD_SIGNS,
    Edge,
    Kind,
    Layer,
    LinkState,
    Node,
    Path,
    Presence,
    Scene,
    wire_state,
)

TITLE, LABEL, NOTE = 12.1, 7.9, 6.7
"""The width of one character at 20, 13 and 11 px in the widest of the usual monospaced fonts."""

METRICS = Metrics(
    grid=12,
    line=15,
    pad_x=9,
    pad_y=6,
    edge=0,
    gap=12,
    drop=16,
    track=10,
    network_line=34,
    first_line=32,
    frame_x=12,
    frame_top=34,
    frame_bottom=14,
    chip=5,
    note_width=26,
    arrow=24,
    icon=SOCKET + 6,
    measure=lambda text, label: int(cells(text) * (LABEL if label else NOTE)) + 1,
)

DENSE = replace(METRICS, grid=8, line=13, pad_x=6, pad_y=4, gap=8, drop=11, track=8, chip=3, note_width=20)
"""For a page with a crowd of guests, so that it can still be read when it is printed on A4."""

CROWD = 48

MARGIN = 24
HEAD = 44
ROW = 17

Tag = Callable[[str], tuple[str, str]]
"""What an element's group bears besides, by the element's id: further classes, and attributes."""


def render(scene: Scene, options: Options) -> str:
    """The whole picture as one SVG document."""
    layout, m = lay_out(scene)
    inner = max(inner_width(scene, layout), int(cells(scene.site) * TITLE))
    signs, signs_height = legend(scene, layout, inner)
    footer = _footer(scene, options.date, inner)
    width = inner + 2 * MARGIN
    below = MARGIN + HEAD + layout.height + 28
    height = below + signs_height + len(footer) * ROW + MARGIN
    left = MARGIN + (inner - layout.width) // 2
    size = f'width="{width}" height="{height}"'
    dim = ' class="dim"' if scene.path else ""
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" {size}',
        'role="graphics-document document" aria-labelledby="bascule-title bascule-desc">',
        f'<title id="bascule-title">{escape(scene.site)}: guests, bridges, NICs and networks</title>',
        f'<desc id="bascule-desc">{escape(describe(scene))}</desc>',
        f"<style>{STYLE}@page{{size:A4 {'landscape' if width > height else 'portrait'};margin:8mm}}</style>",
        f'<rect class="page" width="{width}" height="{height}"/>',
        f'<text class="title ink" x="{MARGIN}" y="{MARGIN + 18}">{escape(scene.site)}</text>',
        f'<g transform="translate({left} {MARGIN + HEAD})"{dim}>',
        *body(scene, layout, m),
        "</g>",
        f'<g transform="translate({MARGIN} {below})">',
        *signs,
        "</g>",
    ]
    for place, (line, look) in enumerate(footer):
        y = below + signs_height + (place + 1) * ROW
        parts.append(f'<text class="{look}" x="{MARGIN}" y="{y}">{escape(line)}</text>')
    parts.append("</svg>")
    return "\n".join(parts) + "\n"


def lay_out(scene: Scene) -> tuple[Layout, Metrics]:
    """The layout for a page, and the measures that suit the number of guests."""
    guests = sum(1 for _ in scene.of_layer(Layer.GUEST))
    m, notes = (METRICS, Notes.FULL) if guests <= CROWD else (DENSE, Notes.SHORT)
    return page(scene, m, notes=notes), m


def inner_width(scene: Scene, layout: Layout) -> int:
    """Room for the drawing, and for the longest entry of its legend."""
    names = (" ".join((node.label, *node.notes)) for node in scene.of_layer(Layer.NETWORK))
    return max(layout.width, 560, *(entry_width(name) for name in names))


def describe(scene: Scene) -> str:
    """The picture in a few sentences, for who cannot see it."""
    words = []
    for host in scene.hosts:
        nodes = [node for node in scene.nodes.values() if node.host == host]
        guests = sum(max(1, len(n.members)) for n in nodes if n.kind is Kind.GUEST)
        bridges = ", ".join(n.label for n in nodes if n.kind is Kind.BRIDGE) or "none"
        words.append(f"Host {host} has {guests} guests; bridges: {bridges}.")
    for edge in scene.edges:
        upper, lower = scene.nodes[edge.upper], scene.nodes[edge.lower]
        if upper.kind in {Kind.NIC, Kind.BRIDGE, Kind.BOND, Kind.VLAN}:
            words.append(f"{upper.label} leads to {lower.label}.")
    words += [f"{m}." for m in scene.drift]
    if scene.path:
        words.append(f"{scene.path.end}.")
    return " ".join(words)


def _footer(scene: Scene, date: str | None, width: int) -> list[tuple[str, str]]:
    lines = []
    if scene.path:
        lines.append((f"{scene.path.source} to {scene.path.target}: {scene.path.end}", "label ink"))
    lines += [(words, "mark") for words in scene.drift]
    origin = f"site {scene.site}" + (
        f", host {', '.join(sorted(scene.observed))} as observed" if scene.observed else ""
    )
    lines.append((origin + (f", {date}" if date else ""), "soft"))
    if scene.digest:
        lines.append((f"file sha256 {scene.digest}", "soft"))
    rooms = {look: int(width / (LABEL if look.startswith("label") else NOTE)) for _, look in lines}
    return [(part, look) for line, look in lines for part in textwrap.wrap(line, rooms[look])]


def _untagged(_: str) -> tuple[str, str]:
    return "", ""


def body(scene: Scene, layout: Layout, m: Metrics, *, tag: Tag = _untagged, under: Iterable[str] = ()) -> Iterable[str]:
    """The drawing without page, legend and footer; ``under`` comes between the wires and the elements."""
    hot = set(scene.path.nodes) if scene.path else set()
    for box in layout.boxes:
        if box.shape == "frame":
            yield f'<rect class="frame" x="{box.x}" y="{box.y}" width="{box.w}" height="{box.h}" rx="10"/>'
            yield f'<text class="label ink" x="{box.x + 12}" y="{box.y + 20}">{escape(box.lines[0])}</text>'
    for network_line in layout.network_lines:
        look = network_style(scene.style(scene.nodes[network_line.node].network))
        yield (
            f'<g class="network{" hot" if network_line.node in hot else ""}{tag(network_line.node)[0]}">'
            f'<path class="line {look}" d="M{network_line.left} {network_line.y}H{network_line.right}"/></g>'
        )
    yield '<g class="wires">'
    yield from _wires(scene, layout)
    yield from _wire_signs(scene, layout, m)
    yield "</g>"
    for network_line in layout.network_lines:
        yield from _network_label(scene, network_line, network_line.node in hot, tag(network_line.node))
    if scene.path:
        yield from way(scene.path, layout)
    yield from under
    for box in layout.boxes:
        if box.shape != "frame":
            yield from _node(scene, layout, box, m, hot=box.node in hot, tag=tag(box.node))


def way(path: Path, layout: Layout) -> Iterable[str]:
    """The wires that a frame takes, and the stretch of each network."""
    for edge in path.edges:
        if edge in layout.wires and len(set(layout.wires[edge])) > 1:
            yield f'<path class="way" d="{corners(layout.wires[edge])}"/>'
    for network_line in layout.network_lines:
        if network_line.node not in path.nodes:
            continue
        spots = [
            p[-1 if e.endswith(f">{network_line.node}") else 0][0]
            for e in path.edges
            if (p := _touching(layout, e, network_line))
        ]
        if len(spots) > 1:
            yield f'<path class="way" d="M{min(spots)} {network_line.y}H{max(spots)}"/>'


def _touching(layout: Layout, edge: str, network_line: NetworkLine) -> Points | None:
    return layout.wires.get(edge) if network_line.node in edge.split(">") else None


def _wires(scene: Scene, layout: Layout) -> Iterable[str]:
    looks: dict[str, tuple[str, ...]] = {}
    for edge in scene.edges:
        if edge.id in layout.wires:
            net = edge.upper if scene.nodes[edge.upper].layer is Layer.NETWORK else edge.lower
            looks[edge.id] = (net, _wire_look(scene, edge))
    groups = {key: merged(paths) for key, paths in nets(layout.wires, looks).items()}
    for (_, look), (_columns, lines, _joints) in groups.items():
        if lines:
            yield f'<path class="w {look}" d="{"".join(f"M{a} {y}H{b}" for y, a, b in lines)}"/>'
    cases = [(x, a + 5, b - 5) for columns, _, _ in groups.values() for x, a, b in columns if b - a > 10]
    if cases:
        yield f'<path class="case" d="{"".join(f"M{x} {a}V{b}" for x, a, b in cases)}"/>'
    for (_, look), (columns, _lines, _joints) in groups.items():
        if columns:
            yield f'<path class="w {look}" d="{"".join(f"M{x} {a}V{b}" for x, a, b in columns)}"/>'
    network_lines = {network_line.node: network_line.y for network_line in layout.network_lines}
    for (net, look), (columns, _lines, joints) in groups.items():
        ends = [(x, y) for x, a, b in columns for y in (a, b) if network_lines.get(net) == y]
        style = look.split()[0]
        for x, y in (*joints, *ends):
            yield f'<circle class="dot {style}" cx="{x}" cy="{y}" r="{4.5 if (x, y) in ends else 3.4}"/>'


def _wire_signs(scene: Scene, layout: Layout, m: Metrics) -> Iterable[str]:
    """Under the upper end of each wire that carries nothing."""
    for edge in scene.edges:
        state = wire_state(scene, edge)
        points = layout.wires.get(edge.id, [])
        if state is not LinkState.UNKNOWN and len(set(points)) > 1:
            yield wire_sign(points[0][0], points[0][1] + m.drop // 2, min(4, m.drop // 2 - 1), state)


def _wire_look(scene: Scene, edge: Edge) -> str:
    words = [network_style(scene.style(edge.network))]
    if edge.presence in {Presence.WANTED, Presence.DRIFTED}:
        words.append(str(edge.presence))
    return " ".join(words)


def _network_label(scene: Scene, network_line: NetworkLine, hot: bool, tag: tuple[str, str]) -> Iterable[str]:  # noqa: FBT001 - private
    node = scene.nodes[network_line.node]
    name, _, rest = network_line.label.lines[0].partition(" ")
    y = network_line.label.y + network_line.label.h - 4
    words = f"node network{' hot' if hot else ''}{tag[0]}"
    yield f'<g class="{words}" role="graphics-symbol" aria-label="{_aria(node)}"{tag[1]}>'
    yield f"<title>{_tooltip(node)}</title>"
    yield (
        f'<text x="{network_line.label.x + 5}" y="{y}">'
        f'<tspan class="name" font-weight="600">{escape(name)}</tspan>'
        f'<tspan class="soft" dx="{NOTE}">{escape(rest)}</tspan></text></g>'
    )


def _node(
    scene: Scene, layout: Layout, box: Box, m: Metrics, *, hot: bool, tag: tuple[str, str] = ("", "")
) -> Iterable[str]:
    node = scene.nodes[box.node]
    look = network_style(scene.style(node.network))
    words = ["node", {Kind.HOST: "self", Kind.VIRTUAL_NETWORK: "switch"}.get(node.kind, str(node.kind))]
    words += [word for word in (str(node.presence), state_class(node.state)) if word and word != "declared"]
    if hot:
        words.append("hot")
    shape = "chip" if box.shape == "chip" else f"box {box.shape} {look}" if box.shape == "bar" else f"box {look}"
    radius = {"chip": 3, "bar": 2}.get(box.shape, 6)
    yield f'<g class="{" ".join(words)}{tag[0]}" role="graphics-symbol" aria-label="{_aria(node)}"{tag[1]}>'
    yield f"<title>{_tooltip(node)}</title>"
    size = f'width="{box.w}" height="{box.h}" rx="{radius}"'
    if node.kind is Kind.GUEST and node.members:  # a second sheet behind the first, clear of the lane beside it
        by = min(4, m.half() - 2)
        yield f'<rect class="{shape}" x="{box.x + by}" y="{box.y - by}" {size}/>'
    yield f'<rect class="{shape}" x="{box.x}" y="{box.y}" {size}/>'
    if node.kind is Kind.HOST:
        yield f'<rect class="stripe" x="{box.x}" y="{box.y + radius}" width="4" height="{box.h - 2 * radius}"/>'
    if node.kind is Kind.NIC:
        yield socket(box.x + box.w - SOCKET - m.pad_x + 2, box.y + m.pad_y)
    yield from _lines(node, box, m)
    if node.kind is Kind.TRANSLATION:
        yield from one_way(box, open_in=bool(node.lets_in))
    if box.lead:
        yield from arrows(scene, layout, box)
    if scene.path and scene.path.last == node.id:
        yield way_end(scene.path, box)
    yield "</g>"


def _lines(node: Node, box: Box, m: Metrics) -> Iterable[str]:
    pad = m.chip if box.shape == "chip" else m.pad_x
    y = box.y + box.lead + (m.chip // 2 if box.shape == "chip" else m.pad_y) + m.line - 3
    marks = set(node.marks)
    for place, whole in enumerate(box.lines):
        line = whole
        name = (
            "known"
            if line == Presence.FOREIGN
            else "mark"
            if line in marks
            else "ink label"
            if place == 0 and box.shape != "chip"
            else "soft"
        )
        x = box.x + pad
        anchor = ""
        if box.shape == "chip":
            x, anchor = box.x + box.w // 2, ' text-anchor="middle"'
            if place == 0 and node.guard in GUARD_SIGNS:
                yield guard_sign(x - m.measure(line, False) // 2, y - 8, node.guard)
                x, line = x + SHIELD // 2, line.removeprefix(GUARD_SIGNS[node.guard]).strip()
        yield f'<text class="{name}" x="{x}" y="{y}"{anchor}>{escape(line)}</text>'
        y += m.line


def _aria(node: Node) -> str:
    return escape(", ".join((f"{node.kind} {node.label}", *node.notes, *node.marks)), quote=True)


def _tooltip(node: Node) -> str:
    lines = [f"{node.kind} {node.label}", *node.marks, *node.drift, *node.details, *node.members]
    return escape("\n".join(dict.fromkeys(lines)))


def corners(points: Points) -> str:
    """The path data of a wire."""
    (x, y), *rest = points
    return f"M{x} {y}" + "".join(f"L{a} {b}" for a, b in rest)
