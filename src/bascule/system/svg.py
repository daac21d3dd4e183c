"""An SVG as PNG or PDF, by whichever program for it is on the host."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from types import MappingProxyType

from bascule.errors import CommandFailed, MissingTool
from bascule.system.run import find_tool, run

SCALE = 2  # pixels of a PNG for each of the SVG's, so that small print can be read
SIZE = re.compile(r'<svg [^>]*viewBox="0 0 (\d+) (\d+)"')

Words = Callable[[Path, Path, str], tuple[str, ...]]
"""The arguments that lead from an SVG to a picture of a kind."""


def _rsvg(svg: Path, picture: Path, kind: str) -> tuple[str, ...]:
    zoom = ("--zoom", str(SCALE)) if kind == "png" else ()
    return ("--format", kind, *zoom, "--output", str(picture), str(svg))


def _inkscape(svg: Path, picture: Path, kind: str) -> tuple[str, ...]:
    return (str(svg), f"--export-type={kind}", f"--export-filename={picture}", f"--export-dpi={96 * SCALE}")


def _chromium(svg: Path, picture: Path, kind: str) -> tuple[str, ...]:
    own = (
        "--headless",
        "--disable-gpu",
        "--no-sandbox",
        f"--user-data-dir={svg.parent / 'profile'}",
    )  # the SVG is ours
    if kind == "pdf":
        return (*own, "--no-pdf-header-footer", f"--print-to-pdf={picture}", svg.as_uri())
    size = SIZE.match(svg.read_text(encoding="utf-8"))
    width, height = size.groups() if size is not None else ("1400", "1000")
    scale = ("--hide-scrollbars", f"--window-size={width},{height}", f"--force-device-scale-factor={SCALE}")
    return (*own, *scale, f"--screenshot={picture}", svg.as_uri())


CONVERTERS: Mapping[str, Words] = MappingProxyType(
    {"rsvg-convert": _rsvg, "inkscape": _inkscape, "chromium": _chromium, "google-chrome": _chromium}
)


def convert(svg: str, kind: str) -> bytes:
    """An SVG as ``png`` or ``pdf``.

    Raises MissingTool where no program can, and CommandFailed with the program's own words.
    """
    name = next((name for name in CONVERTERS if _is_here(name)), None)
    if name is None:
        *others, last = CONVERTERS
        message = f"a {kind.upper()} is made by {', '.join(others)} or {last}, and none of them is in PATH"
        hint = "install one: apt-get install librsvg2-bin, dnf install librsvg2-tools or zypper install rsvg-convert; "
        raise MissingTool.of("TOOL-MISSING", message, hint=hint + "or draw an SVG: -o FILE.svg")
    with tempfile.TemporaryDirectory(prefix="bascule-draw-") as folder:
        source, picture = Path(folder, "picture.svg"), Path(folder, f"picture.{kind}")
        source.write_text(svg, encoding="utf-8")
        done = run((name, *CONVERTERS[name](source, picture, kind)))
        if not picture.exists():
            said = done.stderr.strip().splitlines()[-1:] or ["it says nothing"]
            raise CommandFailed.of("COMMAND-FAILED", f"'{name}' wrote no picture: {said[0]}")
        return picture.read_bytes()


def _is_here(name: str) -> bool:
    with suppress(MissingTool):
        return bool(find_tool(name))
    return False
