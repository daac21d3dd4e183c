"""What must hold for any layout, checked by arithmetic on it."""

from __future__ import annotations

from itertools import combinations, pairwise

from bascule.draw.blocks import Box, Metrics
from bascule.draw.layout import Layout
from bascule.draw.scene import Layer, Scene


def faults(scene: Scene, layout: Layout, m: Metrics) -> list[str]:
    """Each a sentence about two things that are in each other's way."""
    boxes = [box for box in layout.boxes if box.shape != "frame"] + [rail.label for rail in layout.rails]
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
