"""The formats of a drawing: one module each, with ``render(scene, options)``, and its entry here.

A module is imported when its format is asked for.
"""

from __future__ import annotations

from difflib import get_close_matches
from importlib import import_module
from typing import Protocol, cast

from msgspec import Struct

from bascule.draw.scene.elements import Scene
from bascule.errors import UsageFault


class Options(Struct, frozen=True, kw_only=True):
    """What may be said of a drawing; each format takes what it has a place for."""

    width: int = 80  # columns, of text
    ascii: bool = False  # of text
    date: str | None = None  # printed as it is given


class Renderer(Protocol):
    """A module that turns a scene into one format."""

    def render(self, scene: Scene, options: Options) -> str:
        """The whole drawing."""


class Format(Struct, frozen=True, kw_only=True):
    """A format: the module that renders it, the ends of its files' names, and how it treats a crowd.

    ``collapse`` is from how many alike guests on one element with a count stands for all; None shows each.
    """

    module: str
    suffixes: tuple[str, ...] = ()
    collapse: int | None = 12

    def render(self, scene: Scene, options: Options) -> str:
        """The whole drawing."""
        return cast(Renderer, import_module(self.module)).render(scene, options)


FORMATS: dict[str, Format] = {
    "text": Format(module=f"{__name__}.text", suffixes=(".txt",), collapse=6),
    "svg": Format(module=f"{__name__}.svg", suffixes=(".svg",)),
    "mermaid": Format(module=f"{__name__}.mermaid", suffixes=(".mmd", ".mermaid")),
    "dot": Format(module=f"{__name__}.dot", suffixes=(".dot", ".gv")),
    "json": Format(module=f"{__name__}.json", suffixes=(".json",), collapse=None),
}


CONVERTED = ("png", "pdf")
"""What another program makes of the SVG; a file's name ends so."""

OTHERS = frozenset({"jpg", "jpeg", "gif", "webp", "bmp", "tif", "tiff", "eps", "ps", "html"})
"""How files of formats end that no drawing has."""


def of_file(name: str) -> str:
    """The format that a file's name asks for; text where it asks for none. Raises UsageFault for another picture's."""
    wanted = name[name.rfind(".") :].lower() if "." in name else ""
    if wanted[1:] in CONVERTED:
        return wanted[1:]
    known = [suffix[1:] for form in FORMATS.values() for suffix in form.suffixes]
    meant = [] if wanted[1:] in known else get_close_matches(wanted[1:], (*known, *CONVERTED), n=1)
    if wanted[1:] in OTHERS or meant:
        example = f"{name[: -len(wanted)]}.{meant[0] if meant else 'png'}"
        hint = f"one of {', '.join((*FORMATS, *CONVERTED))}, as in -o {example}"
        raise UsageFault.of("FORMAT", f"'{wanted[1:]}' is not a picture format", hint=hint)
    return next((key for key, form in FORMATS.items() if wanted in form.suffixes), "text")
