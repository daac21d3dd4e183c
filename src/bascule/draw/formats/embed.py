"""The picture as a part of a page: without a style of its own, with the ways of many frames to be shown one by one.

A page that shows a way sets the rules of ``way_style`` for its key: all ways are there from the start, hidden, so
that a page without any script can show them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from html import escape

from bascule.draw.formats.glyphs import way_end
from bascule.draw.formats.legend import legend
from bascule.draw.formats.svg import MARGIN, body, corners, describe, inner_width, lay_out, way
from bascule.draw.layout.arrange import Layout
from bascule.draw.scene.elements import Path, Scene

GAP = 28


def embed(
    scene: Scene,
    ways: Mapping[str, Path],
    *,
    right: Mapping[str, bool | None],
    live: bool = False,
) -> str:
    """One ``svg`` element. ``ways`` has the ways of frames by key; a key is a CSS class (a letter, then digits).

    ``right`` says of which way the end is as it should be: the sign there says whether the frame arrived, and its
    colour whether it was meant to. Each element's group has the class of the ways that pass it; ``live`` gives it its
    id as ``data-id``, and each wire a path of its own with the ids of its ends, for a page that shows what flows.
    """
    layout, m = lay_out(scene)
    inner = inner_width(scene, layout)
    signs, signs_height = legend(scene, layout, inner)
    passed: dict[str, str] = {}
    for key, path in ways.items():
        for node in path.nodes:
            passed[node] = f"{passed.get(node, '')} {key}"

    def tag(node: str) -> tuple[str, str]:
        return passed.get(node, ""), f' data-id="{escape(node, quote=True)}"' if live else ""

    width, below = inner + 2 * MARGIN, MARGIN + layout.height + GAP
    height = below + signs_height + MARGIN // 3
    under = [*(_wires(scene, layout) if live else ()), *_ways(ways, layout)]
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}"',
        'role="graphics-document document" aria-labelledby="picture-title picture-desc">',
        f'<title id="picture-title">{escape(scene.site)}: guests, bridges, NICs and networks</title>',
        f'<desc id="picture-desc">{escape(describe(scene))}</desc>',
        f'<rect class="page" width="{width}" height="{height}"/>',
        f'<g transform="translate({MARGIN + (inner - layout.width) // 2} {MARGIN})">',
        *body(scene, layout, m, tag=tag, under=under),
        *_ends(ways, right, layout),
        "</g>",
        f'<g transform="translate({MARGIN} {below})">',
        *signs,
        "</g>",
        "</svg>",
    ]
    return "\n".join(parts) + "\n"


def way_style(key: str, condition: str) -> str:
    """The CSS that shows one way while ``condition``, a selector of an ancestor, holds."""
    dim = f"{condition} .wires,{condition} .node:not(.{key}),{condition} .network:not(.{key})"
    hot = f"{condition} .node.{key}"
    return (
        f"{condition} .way-of.{key}{{display:inline}}\n{dim}{{opacity:var(--dim,.28)}}\n"
        f"{hot} .box,{hot} .chip{{stroke:var(--ink);stroke-width:2.6}}\n"
    )


def _ways(ways: Mapping[str, Path], layout: Layout) -> Iterable[str]:
    for key, path in ways.items():
        yield f'<g class="way-of {key}" aria-hidden="true">'
        yield from way(path, layout)
        yield "</g>"


def _ends(ways: Mapping[str, Path], right: Mapping[str, bool | None], layout: Layout) -> Iterable[str]:
    boxes = {box.node: box for box in layout.boxes}
    for key, path in ways.items():
        if path.last in boxes:
            look = {True: " right", False: " wrong", None: ""}[right.get(key)]
            yield f'<g class="way-of {key}{look}">{way_end(path, boxes[path.last])}</g>'


def _wires(scene: Scene, layout: Layout) -> Iterable[str]:
    """A path for each wire, to be seen only where something flows."""
    for edge in scene.edges:
        points = layout.wires.get(edge.id, [])
        if len(set(points)) > 1:
            ends = f'data-upper="{escape(edge.upper, quote=True)}" data-lower="{escape(edge.lower, quote=True)}"'
            yield f'<path class="flowing" d="{corners(points)}" {ends}/>'
