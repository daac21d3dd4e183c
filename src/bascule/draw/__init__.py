"""Show it: scene/ (what), layout/ (where), and one file per format in formats/. Pure; nothing here reads or writes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from msgspec.structs import replace

from bascule.draw.formats import FORMATS, Options
from bascule.draw.scene.compare import SeenHost
from bascule.draw.scene.elements import Scene
from bascule.draw.scene.highlight import Highlight, proven_path, witnessed_path
from bascule.draw.scene.site import build
from bascule.errors import UsageFault
from bascule.model.site import Site

__all__ = ["Highlight", "Scene", "SeenHost", "draw", "make_scene"]


def draw(
    site: Site,
    *,
    format: str = "text",  # noqa: A002 - the word that users know
    width: int = 80,
    observed: Mapping[str, SeenHost] | None = None,
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
    if (chosen := FORMATS.get(format)) is None:
        hint = f"one of {', '.join(FORMATS)}"
        raise UsageFault.of("FORMAT", f"'{format}' is not a picture format", hint=hint)
    limit = chosen.collapse if isinstance(collapse, str) else collapse
    scene = make_scene(site, observed=observed, highlight=highlight, collapse=limit)
    return chosen.render(scene, Options(width=width, ascii=ascii, date=date))


def make_scene(
    site: Site,
    *,
    observed: Mapping[str, SeenHost] | None = None,
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
    if highlight.hops:
        return replace(scene, path=witnessed_path(scene, highlight))
    states = {name: seen.state for name, seen in (observed or {}).items()}
    return replace(scene, path=proven_path(scene, site, states, highlight))
