"""Wires for the SVG: laid together where they share a way, with a knot at each joint."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import pairwise

from bascule.draw.layout.blocks import Point, Points
from bascule.model.values import grouped

Span = tuple[int, int, int]  # the fixed coordinate, then from and to


def merged(paths: Iterable[Points]) -> tuple[list[Span], list[Span], list[Point]]:
    """The upright and the level stretches of the wires of one net, each drawn once, and the joints.

    Dashes laid over dashes would look like a solid line; so no stretch may be there twice.
    """
    upright: dict[int, list[tuple[int, int]]] = {}
    level: dict[int, list[tuple[int, int]]] = {}
    for points in paths:
        for (x1, y1), (x2, y2) in pairwise(points):
            if x1 == x2 and y1 != y2:
                upright.setdefault(x1, []).append((min(y1, y2), max(y1, y2)))
            elif y1 == y2 and x1 != x2:
                level.setdefault(y1, []).append((min(x1, x2), max(x1, x2)))
    columns = [(x, low, high) for x, spans in sorted(upright.items()) for low, high in _union(spans)]
    lines = [(y, low, high) for y, spans in sorted(level.items()) for low, high in _union(spans)]
    return columns, lines, _joints(columns, lines)


def _union(spans: Iterable[tuple[int, int]]) -> list[tuple[int, int]]:
    found: list[tuple[int, int]] = []
    for low, high in sorted(spans):
        if found and low <= found[-1][1]:
            found[-1] = (found[-1][0], max(found[-1][1], high))
        else:
            found.append((low, high))
    return found


def _joints(columns: Iterable[Span], lines: Iterable[Span]) -> list[Point]:
    """Where three or four stretches of one net meet."""
    lines = list(lines)
    found = set()
    for x, low, high in columns:
        for y, left, right in lines:
            if low <= y <= high and left <= x <= right:
                ways = (low < y) + (y < high) + (left < x) + (x < right)
                if ways > 2:
                    found.add((x, y))
    return sorted(found)


def nets(wires: Mapping[str, Points], key: Mapping[str, tuple[str, ...]]) -> dict[tuple[str, ...], list[Points]]:
    """Wires by net and look, in a stable order."""
    return grouped((key[edge], points) for edge, points in wires.items())
