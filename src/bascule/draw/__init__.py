"""Show it: the scene (what), the layout (where), and one small file per format. Pure; nothing here reads or writes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from msgspec.structs import replace

from bascule.draw.build import build
from bascule.draw.path import Highlight, find_path
from bascule.draw.scene import Scene
from bascule.errors import Problem, UsageFault
from bascule.model.site import Site
from bascule.model.state import HostState

__all__ = ["FORMATS", "Highlight", "Scene", "draw", "make_scene"]

FORMATS = ("text", "svg", "mermaid", "dot", "json")

COLLAPSE = {"text": 6, "svg": 12, "mermaid": 12, "dot": 12, "json": None}
"""From how many alike guests on a format shows one element with a count; JSON always has them all."""


def draw(
    site: Site,
    *,
    format: str = "text",  # noqa: A002 - the word that users know
    width: int = 80,
    observed: Mapping[str, HostState] | None = None,
    highlight: Highlight | tuple[str, str] | tuple[str, str, Sequence[tuple[str, str]]] | None = None,
    ascii: bool = False,  # noqa: A002 - as above
    date: str | None = None,
    collapse: int | str | None = "auto",
) -> str:
    """The picture of a site in one of FORMATS.

    ``width`` is in columns and is for text alone, as is ``ascii``. ``observed`` has the state of the hosts that were
    looked at, by name. ``highlight`` names two endpoints, and after them, where a rehearsal has a witness, the
    (node, link) places that the frame passed. ``date`` is printed as it is given; without it the same input gives
    the same bytes. ``collapse`` is from how many alike guests on one element stands for all; None for never.

    Raises UsageFault for an unknown format or endpoint.
    """
    if format not in FORMATS:
        hint = f"one of {', '.join(FORMATS)}"
        raise UsageFault(Problem(code="FORMAT", message=f"'{format}' is no format of a drawing", hint=hint))
    limit = COLLAPSE[format] if isinstance(collapse, str) else collapse
    scene = make_scene(site, observed=observed, highlight=highlight, collapse=limit)
    if format == "text":
        from bascule.draw.text import text

        return text(scene, width=width, ascii=ascii, date=date)
    if format == "svg":
        from bascule.draw.svg import svg

        return svg(scene, date=date)
    if format == "mermaid":
        from bascule.draw.mermaid import mermaid

        return mermaid(scene)
    if format == "dot":
        from bascule.draw.dot import dot

        return dot(scene)
    from bascule.draw.json import json_text

    return json_text(scene, date=date)


def make_scene(
    site: Site,
    *,
    observed: Mapping[str, HostState] | None = None,
    highlight: Highlight | tuple[str, str] | tuple[str, str, Sequence[tuple[str, str]]] | None = None,
    collapse: int | None = None,
) -> Scene:
    """The scene with its highlighted way; the ends of the way always keep an element of their own."""
    if highlight is None:
        return build(site, observed, collapse=collapse)
    if not isinstance(highlight, Highlight):
        source, target, *rest = highlight
        hops = tuple((str(node), str(link)) for node, link in rest[0]) if rest else ()
        highlight = Highlight(source=str(source), target=str(target), hops=hops)
    scene = build(site, observed, collapse=collapse, apart=(highlight.source, highlight.target))
    return replace(scene, path=find_path(scene, highlight))
