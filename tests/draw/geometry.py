"""What must hold for any layout, checked by arithmetic on it."""

from __future__ import annotations

import shlex
from itertools import combinations, pairwise, product

from bascule.draw.layout.arrange import Layout
from bascule.draw.layout.blocks import Box, Metrics, Point
from bascule.draw.scene.elements import Layer, Scene

Segment = tuple[Point, Point]
Spot = tuple[float, float]


def faults(scene: Scene, layout: Layout, m: Metrics, *, networks: bool = False) -> list[str]:
    """Each a sentence about two things that are in each other's way.

    Wires to one element may share a lane; with ``networks`` only those of one network may.
    """
    boxes = [box for box in layout.boxes if box.shape != "frame"] + [
        network_line.label for network_line in layout.network_lines
    ]
    found = [f"{a.node} lies on {b.node}" for a, b in combinations(boxes, 2) if _overlap(a, b)]
    page = Box(node="", x=0, y=0, w=layout.width, h=layout.height)
    found += [f"{box.node or 'the frame'} is off the page" for box in layout.boxes if not _inside(box, page)]
    frames = [box for box in layout.boxes if box.shape == "frame"]
    for box in layout.boxes:
        host = scene.nodes[box.node].host if box.node else ""
        if host and not any(_inside(box, frame) for frame in frames):
            found.append(f"{box.node} is outside its host")
    segments = []
    edges = {edge.id: edge for edge in scene.edges}
    for key, points in layout.wires.items():
        edge = edges[key]
        net = edge.upper if scene.nodes[edge.upper].layer is Layer.NETWORK else edge.lower
        net += f" {edge.network}" if networks else ""
        for (x1, y1), (x2, y2) in pairwise(points):
            if x1 != x2 and y1 != y2:
                found.append(f"{key} runs aslant")
            if (x1, y1) != (x2, y2):
                segments.append((net, key, min(x1, x2), min(y1, y2), max(x1, x2), max(y1, y2)))
    for _, key, x1, y1, x2, y2 in segments:
        for box in boxes:
            left, top, right, bottom = box.x, box.y, box.x + box.w, box.y + box.h
            if m.edge:  # a wire may reach into a border of cells, and a port's label hides the wire's end
                if box.shape == "chip" and box.node in key:
                    continue
                right, bottom = right - 1, bottom - 1
                if box.shape == "chip":
                    top, bottom = top - 1, bottom + 1
            if _cuts(x1, x2, left, right) and _cuts(y1, y2, top, bottom):
                found.append(f"{key} runs through {box.node}")
    found += [
        f"{a[1]} lies on {b[1]}"
        for line in _by_line(segments)
        for a, b in combinations(line, 2)
        if a[0] != b[0] and (min(a[4], b[4]) > max(a[2], b[2]) or min(a[5], b[5]) > max(a[3], b[3]))
    ]
    return found


def _cuts(low: int, high: int, first: int, last: int) -> bool:
    """Whether a stretch, or a single point of one, lies in the open interval."""
    return first < low < last if low == high else low < last and first < high


def _by_line(segments: list[tuple[str, str, int, int, int, int]]) -> list[list[tuple[str, str, int, int, int, int]]]:
    lines: dict[tuple[str, int], list[tuple[str, str, int, int, int, int]]] = {}
    for segment in segments:
        upright = segment[2] == segment[4]
        lines.setdefault(("x", segment[2]) if upright else ("y", segment[3]), []).append(segment)
    return list(lines.values())


def _overlap(a: Box, b: Box) -> bool:
    return a.x < b.x + b.w and b.x < a.x + a.w and a.y < b.y + b.h and b.y < a.y + a.h


def _inside(box: Box, frame: Box) -> bool:
    return (
        frame.x <= box.x
        and box.x + box.w <= frame.x + frame.w
        and frame.y <= box.y
        and box.y + box.h <= frame.y + frame.h
    )


def crossings(scene: Scene, layout: Layout, *, networks: bool = False) -> int:
    """How often wires that lead to different elements run across each other; with ``networks`` also across those.

    Wires to one element lie on each other where they share a way, and cross others there once.
    """
    nets: dict[str, set[Segment]] = {}
    for edge in scene.edges:
        net = edge.upper if scene.nodes[edge.upper].layer is Layer.NETWORK else edge.lower
        nets.setdefault(net, set()).update(pairwise(layout.wires.get(edge.id, [])))
    for network_line in layout.network_lines if networks else ():
        nets.setdefault(network_line.node, set()).add(
            ((network_line.left, network_line.y), (network_line.right, network_line.y))
        )
    places = set()
    for (one, segments), (other, others) in combinations(nets.items(), 2):
        for a, b in product(segments, others):
            if (place := _across(a, b)) is not None:
                places.add((place, one, other))
    return len(places)


def _across(one: Segment, other: Segment) -> Point | None:
    """Where an upright and a level stretch cross."""
    if one[0][0] != one[1][0]:
        one, other = other, one
    (x, y1), (x2, y2) = one
    (left, y), (right, y3) = other
    if x != x2 or y != y3 or one[0] == one[1] or other[0] == other[1]:
        return None
    crosses = min(left, right) < x < max(left, right) and min(y1, y2) < y < max(y1, y2)
    return (x, y) if crosses else None


def crossings_of_dot(plain: str) -> int:
    """The same in what ``dot -Tplain`` prints: pairs of edges without a common end that cross."""
    edges = []
    for line in plain.replace("\\\n", "").splitlines():
        words = shlex.split(line)
        if words[0] == "edge":
            numbers = [float(word) for word in words[4 : 4 + 2 * int(words[3])]]
            points = list(zip(numbers[::2], numbers[1::2], strict=True))
            edges.append((set(words[1:3]), list(pairwise(points))))
    return sum(
        not ends & others and any(_meet(*a, *b) for a, b in product(one, other))
        for (ends, one), (others, other) in combinations(edges, 2)
    )


def _meet(p: Spot, q: Spot, r: Spot, s: Spot) -> bool:
    """Whether two stretches of any slope cross."""

    def side(a: Spot, b: Spot, c: Spot) -> float:
        return (b[0] - a[0]) * (c[1] - a[1]) - (b[1] - a[1]) * (c[0] - a[0])

    return side(p, q, r) * side(p, q, s) < 0 and side(r, s, p) * side(r, s, q) < 0
