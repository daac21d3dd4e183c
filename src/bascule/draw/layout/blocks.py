"""Pieces of a drawing and how they are put together: rows of pieces, a bar under them, a frame around them.

A *block* is a rectangle with boxes in it, wires that leave it at the bottom (*exits*, each with the id of the
element that it is for) and places where a wire from above may come in to reach an element deep inside
(*entries*). Every width is a multiple of the grid; exits stand on the grid and entries half a grid beside it, so
that two wires of different kinds never lie on each other.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from msgspec import Struct, field

Point = tuple[int, int]
Points = list[Point]


class Metrics(Struct, frozen=True, kw_only=True):
    """The unit is one character cell for text and one CSS pixel for SVG."""

    grid: int  # even; every position of a box is a multiple of it
    line: int  # the height of a line of text
    pad_x: int  # between a box's side and its text
    pad_y: int  # between a box's top or bottom and its text
    edge: int  # how far a wire reaches into a box: 1 where the border is a cell of its own, else 0
    gap: int  # between two boxes in a row
    drop: int  # the shortest wire
    track: int  # between two parallel wires that run sideways
    network_line: int  # between two networks
    first_line: int  # above the first network
    frame_x: int  # between a host's frame and what is in it
    frame_top: int
    frame_bottom: int
    chip: int  # the padding of a port's label, 0 where it has no border
    note_width: int  # the longest note, in characters; what is longer is cut and shown in full on pointing
    arrow: int  # room above a firewall's text, and beside a translation's, for the arrow of what it lets through
    icon: int  # room beside a NIC's label, for its sign
    measure: Callable[[str, bool], int]  # the width of a text; True for a label, False for a note

    def snap(self, size: int) -> int:
        """The next multiple of the grid."""
        return -(-size // self.grid) * self.grid

    def half(self) -> int:
        """Half a grid."""
        return self.grid // 2


class Box(Struct, kw_only=True):
    """A rectangle for an element; ``node`` is its id, ``lines`` its text, the first the label."""

    node: str
    x: int
    y: int
    w: int
    h: int
    lines: tuple[str, ...] = ()
    shape: str = "box"  # box, chip, bar, frame
    lead: int = 0  # room above the text


class Exit(Struct, kw_only=True):
    """Wires of one network that leave a block at its bottom, all for the same element."""

    key: str
    x: int
    edges: tuple[str, ...]
    network: str | None = None

    @property
    def lane(self) -> tuple[str, str | None]:
        """What shares a lane: wires of two networks never lie on each other."""
        return self.key, self.network


class Block(Struct, kw_only=True):
    """See above. ``paths`` has each wire as far as it has come, from its upper end."""

    w: int = 0
    h: int = 0
    boxes: list[Box] = field(default_factory=list)
    paths: dict[str, Points] = field(default_factory=dict)
    exits: list[Exit] = field(default_factory=list)
    entries: dict[str, Points] = field(default_factory=dict)

    def moved(self, dx: int, dy: int) -> Block:
        """Shift everything in it, in place."""
        if dx or dy:
            for box in self.boxes:
                box.x += dx
                box.y += dy
            for points in (self.paths, self.entries):
                for key, path in points.items():
                    points[key] = [(x + dx, y + dy) for x, y in path]
            for leaving in self.exits:
                leaving.x += dx
        return self

    def extend(self, leaving: Exit, *points: Point) -> None:
        """Lead the wires of an exit further."""
        for edge in leaving.edges:
            self.paths[edge].extend(points)

    def take(self, other: Block) -> None:
        """Take in the boxes and wires of another block that has been moved to its place."""
        self.boxes += other.boxes
        self.paths.update(other.paths)


def wrap(blocks: Sequence[Block], *, gap: int, width: int | None = None) -> list[list[Block]]:
    """Break a line of blocks into rows, in their order."""
    found: list[list[Block]] = []
    used = 0
    for block in blocks:
        if found and (width is None or used + gap + block.w <= width):
            found[-1].append(block)
            used += gap + block.w
        else:
            found.append([block])
            used = block.w
    return found


def rows(lines: Sequence[Sequence[Block]], m: Metrics) -> Block:
    """Rows of blocks. The last row's wires go straight down; the others join in a lane for each target and network."""
    out = Block()
    if not lines:
        return out
    upper = [leaving.lane for line in lines[:-1] for block in line for leaving in block.exits]
    lane_keys = list(dict.fromkeys(upper))
    lanes = {key: m.grid * (place + 1) for place, key in enumerate(lane_keys)}
    left = m.snap(m.grid * (len(lane_keys) + 1)) if lane_keys else 0
    joined: dict[tuple[str, str | None], Exit] = {}
    y = 0
    entries: list[tuple[str, Points, int]] = []  # those of the rows below the first, with the height of their row
    last = len(lines) - 1
    for number, line in enumerate(lines):
        if number:
            coming = [key for block in line for key in block.entries]
            y += m.track * len(coming) + (m.drop if coming else 0)
        height = max(block.h for block in line)
        x = left
        for block in line:
            block.moved(x, y + height - block.h)
            for key, path in block.entries.items():
                if number:
                    entries.append((key, path, y))
                else:
                    out.entries[key] = [(path[0][0], 0), *path[1:]]
            out.take(block)
            x += block.w + m.gap
        out.w = max(out.w, x - m.gap)
        y += height
        if number == last:
            for block in line:
                out.exits += block.exits
            continue
        used = list(dict.fromkeys(leaving.lane for block in line for leaving in block.exits))
        for block in line:
            for leaving in block.exits:
                track = y + m.drop + m.track * used.index(leaving.lane)
                lane = lanes[leaving.lane]
                out.extend(leaving, (leaving.x, track), (lane, track))
                into = joined.setdefault(leaving.lane, Exit(key=leaving.key, x=lane, edges=(), network=leaving.network))
                into.edges += leaving.edges
        y += m.drop + m.track * len(used)
    out.h = y
    out.exits = [*joined.values(), *out.exits]
    out.w = m.snap(out.w)
    for place, (key, path, top) in enumerate(entries):
        row = [other for other in entries if other[2] == top]
        track = top - m.drop - m.track * (len(row) - 1 - next(i for i, other in enumerate(row) if other[0] == key))
        lane = out.w + m.grid * place + m.half()
        out.entries[key] = [(lane, 0), (lane, track), (path[0][0], track), *path[1:]]
    if entries:
        out.w += m.snap(m.grid * len(entries) + m.half())
    return out


def spread(blocks: Sequence[Block], ends: Sequence[Sequence[int]], limit: int, m: Metrics) -> None:
    """Push the blocks of a row to the right, in place, each as far as the middle of what it is wired to."""
    places, x = [], 0
    for block, own in zip(blocks, ends, strict=True):
        middle = m.grid * ((sum(own) // len(own) - block.w // 2) // m.grid) if own else x
        places.append(max(x, middle))
        x = places[-1] + block.w + m.gap
    room = limit // m.grid * m.grid
    for number in reversed(range(len(blocks))):
        places[number] = min(places[number], room - blocks[number].w)
        room = places[number] - m.gap
    x = 0
    for block, place in zip(blocks, places, strict=True):
        pad = max(0, place - x)
        block.moved(pad, 0)
        block.w += pad
        x += block.w + m.gap


def box(node: str, lines: Sequence[str], m: Metrics, *, ports: int = 1, shape: str = "box", extra: int = 0) -> Box:
    """A box as large as its text, and wide enough for its ports; ``extra`` is room beside the label."""
    widths = (m.measure(line, not place and shape != "chip") + extra * (not place) for place, line in enumerate(lines))
    widest = max(widths, default=0)
    pad_x, pad_y = (m.chip, m.chip // 2) if shape == "chip" else (m.pad_x, m.pad_y)
    width = m.snap(max(widest + 2 * pad_x, m.grid * (ports + 1)))
    if not m.edge:
        width = -(-width // (2 * m.grid)) * 2 * m.grid  # an even multiple has its middle on the grid
    return Box(node=node, x=0, y=0, w=width, h=len(lines) * m.line + 2 * pad_y, lines=tuple(lines), shape=shape)


def ports(frame: Box, count: int, m: Metrics) -> list[int]:
    """The places of a box's ports on its bottom or top, on the grid, evenly spread."""
    return [
        frame.x + m.grid * ((2 * frame.w * (place + 1) + m.grid * (count + 1)) // (2 * m.grid * (count + 1)))
        for place in range(count)
    ]


def on_bar(above: Block, bar: Box, m: Metrics, *, wide: bool, entry: bool) -> Block:
    """Put a bar under a block: the wires for it end there. ``wide`` bars span the block, others just their wires."""
    out = Block(w=max(above.w, bar.w))
    own = [leaving for leaving in above.exits if leaving.key == bar.node]
    if own and not wide and bar.w > above.w:
        above.moved(m.grid * ((bar.w - above.w) // 2 // m.grid), 0)
    if wide:
        bar.w = out.w
    elif own:
        first, final = min(e.x for e in own), max(e.x for e in own)
        need = max(bar.w, final - first + 2 * m.grid)
        middle = m.grid * ((first + final) // 2 // m.grid)
        bar.x = max(0, min(m.snap(middle - need // 2), middle - m.grid * (need // 2 // m.grid)))
        bar.w = need
        out.w = max(out.w, bar.x + bar.w)
    else:
        bar.x = m.grid * ((out.w - bar.w) // 2 // m.grid)
    bar.y = above.h + (m.drop if above.h else 0)
    out.take(above)
    out.entries = dict(above.entries)
    for leaving in above.exits:
        if leaving.key == bar.node:
            above.extend(leaving, (leaving.x, bar.y))
            out.paths.update({edge: above.paths[edge] for edge in leaving.edges})
        else:
            out.exits.append(leaving)
    if entry:
        lane = out.w + m.half()
        out.w += m.grid
        bar.w = out.w - bar.x
        out.entries[bar.node] = [(lane, 0), (lane, bar.y)]
    out.boxes.append(bar)
    out.h = bar.y + bar.h
    return out


def flipped(block: Block, m: Metrics) -> Block:
    """Upside down: what left at the bottom leaves at the top; paths keep their order of points."""
    top = block.h
    for frame in block.boxes:
        frame.y = top - frame.y - frame.h
    block.paths = {edge: [(x, top - y - m.edge) for x, y in path] for edge, path in block.paths.items()}
    return block
