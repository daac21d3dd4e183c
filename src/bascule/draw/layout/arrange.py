"""Where everything stands: hosts on top, the building's networks as network_lines under them, machines at the bottom.

Pure and deterministic: equal scenes give equal layouts, and a guest that is added at the end of the file takes the
next free place in its column, so the others stay where they are until another column is needed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from itertools import pairwise

from msgspec import Struct, field

from bascule.draw.layout.blocks import Block, Box, Exit, Metrics, Points, box, flipped, ports, rows, spread, wrap
from bascule.draw.layout.crossing_order import in_order
from bascule.draw.layout.hostblock import HostLayout, Notes, words_of
from bascule.draw.scene.elements import Edge, Layer, Scene
from bascule.model.values import grouped

DEPTHS = (1, 2, 3, 4, 5, 6, 8, 10, 13, 16, 20, 25, 32, 40, 50, 64, 80, 100, 130, 160, 200)


class NetworkLine(Struct, frozen=True, kw_only=True):
    """A network of the building: a line from ``left`` to ``right`` at ``y``, and the box that its label fills."""

    node: str
    y: int
    left: int
    right: int
    label: Box


class Layout(Struct, frozen=True, kw_only=True):
    """A scene with a place for everything. ``wires`` has the corners of each wire, from its upper end."""

    width: int
    height: int
    boxes: tuple[Box, ...] = ()
    network_lines: tuple[NetworkLine, ...] = ()
    wires: dict[str, Points] = field(default_factory=dict)
    unrouted: tuple[Edge, ...] = ()
    depth: int = 1
    fits: bool = True  # every label has its place


def arrange(
    scene: Scene, m: Metrics, *, depth: int, width: int | None = None, notes: Notes = Notes.FULL,
    hosts: Sequence[HostLayout] = (),
) -> Layout:  # fmt: skip
    """Lay out a scene with ``depth`` guests on each other and, where ``width`` is given, wrapped to that width."""
    layouts = hosts or _hosts(scene, m, notes)
    blocks = [layout.block(depth, width) for layout in layouts]
    upper = rows(wrap(blocks, gap=m.gap * 2, width=width), m) if blocks else Block()
    lower = _machines(scene, m, upper, width=width, notes=notes)
    if lower.w > upper.w:
        upper.moved(m.grid * ((lower.w - upper.w) // 2 // m.grid), 0)
    lower.moved(_apart(upper, lower, m), 0)
    total = max([upper.w, *(frame.x + frame.w for frame in lower.boxes)])
    names = in_order([node.id for node in scene.of_layer(Layer.NETWORK)], _spots(upper.exits), _spots(lower.exits))
    heights = {name: upper.h + m.first_line + m.network_line * place for place, name in enumerate(names)}
    floor = upper.h
    if names:
        floor = heights[names[-1]] + m.network_line - m.network_line // 4
    elif lower.h:
        floor += m.drop
    lower.moved(0, floor)
    wires = dict(upper.paths)
    touch: dict[str, list[int]] = {name: [] for name in names}
    for leaving in upper.exits:
        for edge in leaving.edges:
            wires[edge] = [*upper.paths[edge], (leaving.x, heights[leaving.key])]
        touch[leaving.key].append(leaving.x)
    for leaving in lower.exits:
        for edge in leaving.edges:
            wires[edge] = [(leaving.x, heights[leaving.key]), *reversed(lower.paths[edge])]
        touch[leaving.key].append(leaving.x)
    network_lines, fits = _network_lines(scene, m, heights, touch, upper.exits, lower.exits, total, notes=notes)
    total = max(
        [
            total,
            *(network_line.right + m.edge for network_line in network_lines),
            *(network_line.label.x + network_line.label.w for network_line in network_lines),
        ]
    )
    return Layout(
        width=total,
        height=floor + lower.h,
        boxes=tuple(upper.boxes + lower.boxes),
        network_lines=tuple(network_lines),
        wires=wires,
        unrouted=tuple(edge for layout in layouts for edge in layout.tree.unrouted),
        depth=depth,
        fits=fits,
    )


def _apart(upper: Block, lower: Block, m: Metrics) -> int:
    """How far to shift the machines so that their wires keep away from those that come from above."""
    posts = {leaving.x for leaving in upper.exits}
    reached = [*(frame.x for frame in lower.boxes), *(x for path in lower.paths.values() for x, _ in path)]
    left, right = -min(reached, default=0), upper.w - lower.w
    steps = [m.half() + m.grid * place for place in range(-8, 8)]
    shifts = [m.half(), *(step for step in steps if left <= step <= right)]

    def apart(shift: int) -> tuple[int, int]:
        found = [min((abs(leaving.x + shift - x) for x in posts), default=m.grid) for leaving in lower.exits]
        return min([m.grid, *found]), -sum(distance < m.grid for distance in found)

    return max(shifts, key=lambda shift: (apart(shift), -abs(shift)))


def _spots(exits: Iterable[Exit]) -> dict[str, list[int]]:
    """Where the wires of each network come in."""
    return grouped((leaving.key, leaving.x) for leaving in exits)


def _machines(scene: Scene, m: Metrics, upper: Block, *, width: int | None, notes: Notes) -> Block:
    """The machines, each under the middle of its networks; more than a row of them join in lanes that lead up."""
    above = _spots(upper.exits)
    cables = grouped((edge.lower, edge) for edge in scene.edges)
    blocks = []
    wires: list[list[int]] = []
    for node in scene.of_layer(Layer.MACHINE):
        legs = cables.get(node.id, [])
        frame = box(node.id, words_of(node, m, notes), m, ports=max(len(legs), 1))
        if m.arrow and any(arrow.machine == node.id and arrow.origins for arrow in scene.arrows):
            frame.lead = m.arrow
            frame.h += m.arrow
        block = Block(w=frame.w, h=frame.h, boxes=[frame])
        for edge, x in zip(legs, ports(frame, len(legs), m), strict=True):
            block.paths[edge.id] = [(x, frame.h - m.edge)]
            block.exits.append(Exit(key=edge.upper, x=x, edges=(edge.id,)))
        blocks.append(block)
        wires.append([sum(spots) // len(spots) for leg in legs if (spots := above.get(leg.upper))])
    if not blocks:
        return Block()
    limit = width if width is not None else max(upper.w, m.grid)
    tracks = len({leaving.key for block in blocks for leaving in block.exits})
    room = max(limit - m.half() - m.grid * (tracks + 1), 1)
    lines = wrap(blocks, gap=m.gap, width=limit - m.half())
    if len(lines) > 1:
        lines = wrap(blocks, gap=m.gap, width=room)
    else:
        in_row = sorted(range(len(blocks)), key=lambda n: sum(wires[n]) // len(wires[n]) if wires[n] else upper.w)
        lines = [[blocks[number] for number in in_row]]
        wide = sum(block.w + m.gap for block in blocks) - m.gap
        spread(lines[0], [wires[number] for number in in_row], max(upper.w - m.grid, wide), m)
    out = flipped(rows(list(reversed(lines)), m), m)
    if len(lines) > 1 and upper.w > out.w:
        out.moved(m.grid * ((upper.w - out.w) // 2 // m.grid), 0)
    return out


def _network_lines(
    scene: Scene,
    m: Metrics,
    heights: dict[str, int],
    touch: dict[str, list[int]],
    above: Iterable[Exit],
    below: Iterable[Exit],
    total: int,
    *,
    notes: Notes,
) -> tuple[list[NetworkLine], bool]:
    """The network_lines, each with its label in a stretch that no wire crosses."""
    network_lines: list[NetworkLine] = []
    fits = True
    above, below = list(above), list(below)
    for name, y in heights.items():
        node = scene.nodes[name]
        crossing = {e.x for e in above if heights[e.key] >= y} | {e.x for e in below if heights[e.key] <= y}
        spots = touch[name] or [0]
        label, found = None, None
        whole = " ".join((node.label, *node.notes)) if notes is not Notes.NONE else node.label
        for words, tight in ((whole, False), (whole, True), (node.label, False)):
            label = box(name, (words,), m, shape="chip")
            if m.edge:  # the line runs on beside the words
                label.w += m.snap(2) if tight else 2 * m.gap
            else:  # they stand above it, on no grid
                label.w = m.measure(words, False) + m.chip
            found = _free(crossing, label.w, total, min(spots), max(spots), m)
            if found is not None:
                break
        if label is None:  # never: the loop above runs at least once
            continue
        if found is None:
            fits = False
            found = total
        label.x, label.y = found, y - (0 if m.edge else label.h + 2)
        left = max(0, min(*spots, label.x) - m.half())
        right = max(*spots, label.x + label.w) + m.half()
        network_lines.append(NetworkLine(node=name, y=y, left=left, right=right, label=label))
    return network_lines, fits


def _free(crossing: set[int], width: int, total: int, first: int, last: int, m: Metrics) -> int | None:
    """The leftmost free stretch for a label, between or near the network's own wires; None where there is none."""
    half = m.half()
    posts = sorted({-half, *crossing, max(total, last) + half})
    fitting = [(a + half, b - half) for a, b in pairwise(posts) if b - a >= width + 2 * half]
    if not fitting:
        return None
    a, b = min(fitting, key=lambda span: (max(first - span[1], span[0] - last, 0), span[0]))
    return max(a, b - width) if b <= first else a


def fit(scene: Scene, m: Metrics, *, width: int) -> Layout | None:
    """The flattest layout within ``width``, None where there is none.

    Long notes go before hosts are broken into several bands; all notes but the vital ones go last.
    """

    def fits(layout: Layout) -> bool:
        return layout.width <= width and layout.fits

    for notes, banded in _SQUEEZE:
        if banded:
            for depth in (1, 4):
                if fits(layout := arrange(scene, m, depth=depth, width=width, notes=notes)):
                    return layout
        elif (found := _lowest(scene, m, notes, fits)) is not None:
            return found
    return None


_SQUEEZE = (
    (Notes.FULL, False),
    (Notes.SHORT, False),
    (Notes.FULL, True),
    (Notes.SHORT, True),
    (Notes.NONE, False),
    (Notes.NONE, True),
)


ASPECT = 1.6  # width of a page by its height, where one can be made so


def page(scene: Scene, m: Metrics, *, notes: Notes = Notes.FULL) -> Layout:
    """The flattest layout that is not much wider than its height allows; what cannot be may be wider."""
    found = _lowest(scene, m, notes, lambda layout: layout.width <= ASPECT * layout.height)
    if found is not None:
        return found
    deepest = arrange(scene, m, depth=_depths(scene)[-1], notes=notes)
    return deepest if deepest.width <= WIDEST * deepest.height else _folded(scene, m, notes)


WIDEST = 1.9
"""How many times wider than high a page may be before a host is broken into bands."""


def _hosts(scene: Scene, m: Metrics, notes: Notes) -> list[HostLayout]:
    return [HostLayout(scene, host, m, notes=notes) for host in scene.hosts]


def _depths(scene: Scene) -> list[int]:
    most = max(1, sum(1 for _ in scene.of_layer(Layer.GUEST)))
    return [depth for place, depth in enumerate(DEPTHS) if place == 0 or DEPTHS[place - 1] < most]


def _lowest(scene: Scene, m: Metrics, notes: Notes, fits: Callable[[Layout], bool]) -> Layout | None:
    """The first that fits, found by halving: deeper columns make a page narrower and higher."""
    depths, hosts = _depths(scene), _hosts(scene, m, notes)
    found: Layout | None = None
    low, high = 0, len(depths)
    while low < high:
        middle = (low + high) // 2
        layout = arrange(scene, m, depth=depths[middle], notes=notes, hosts=hosts)
        if fits(layout):
            found, high = layout, middle
        else:
            low = middle + 1
    return found


def _folded(scene: Scene, m: Metrics, notes: Notes) -> Layout:
    """Hosts broken into bands, for a host with so many bridges that it would be a ribbon."""
    hosts = _hosts(scene, m, notes)
    flat = arrange(scene, m, depth=4, notes=notes, hosts=hosts)
    width = m.snap(int((flat.width * flat.height * ASPECT) ** 0.5))
    best = flat
    for _ in range(6):
        best = arrange(scene, m, depth=4, width=width, notes=notes, hosts=hosts)
        if best.width <= ASPECT * best.height:
            break
        width = m.snap(int(width * 0.8))
    return best
