"""PNG and PDF: the SVG through each program that can, and one clear error where none is here."""

from __future__ import annotations

import re
import shutil
import struct
import zlib
from pathlib import Path

import pytest

from bascule.draw import draw
from bascule.errors import CommandFailed, MissingTool
from bascule.system import svg
from tests.codes.call import assert_error, bascule
from tests.draw import sites

SITE = "examples/production.yaml"


def pixels(png: bytes) -> tuple[int, int, int]:
    """Width, height, and how many different bytes its lines are made of: a blank page has few."""
    width, height = struct.unpack(">II", png[16:24])
    data, at = b"", 8
    while at < len(png):
        size, kind = struct.unpack(">I4s", png[at : at + 8])
        data += png[at + 8 : at + 8 + size] if kind == b"IDAT" else b""
        at += size + 12
    return width, height, len(set(zlib.decompress(data)))


@pytest.mark.parametrize("name", ["rsvg-convert", "chromium"])
def test_each_program_makes_both(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if shutil.which(name) is None:
        pytest.skip(f"no {name} here")
    monkeypatch.setattr(svg, "CONVERTERS", {name: svg.CONVERTERS[name]})
    drawing = draw(sites.production(), format="svg")
    size = svg.SIZE.match(drawing)
    assert size is not None
    svg.convert(drawing, "png", tmp_path / "rack.png")
    width, height, colours = pixels((tmp_path / "rack.png").read_bytes())
    assert (width, height) == (int(size[1]) * svg.SCALE, int(size[2]) * svg.SCALE)
    assert colours > 50
    svg.convert(drawing, "pdf", tmp_path / "rack.pdf")
    pdf = (tmp_path / "rack.pdf").read_bytes()
    assert pdf.startswith(b"%PDF-")
    assert len(pdf) > 5_000
    assert len(re.findall(rb"/Type\s*/Page\b", pdf)) <= 1  # none in sight where the objects are compressed


def test_a_program_that_fails_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    words = svg.CONVERTERS["rsvg-convert"]
    monkeypatch.setattr(svg, "CONVERTERS", {"true": words})
    with pytest.raises(CommandFailed, match="'true' wrote no picture: it says nothing"):
        svg.convert("<svg/>", "png", tmp_path / "rack.png")
    monkeypatch.setattr(svg, "CONVERTERS", {"no-such-program": words})
    with pytest.raises(MissingTool):
        svg.convert("<svg/>", "png", tmp_path / "rack.png")
    assert list(tmp_path.iterdir()) == []


def test_the_name_of_the_file_says_what_is_drawn(tmp_path: Path) -> None:
    done = bascule("draw", SITE, "-o", str(tmp_path / "rack.jpg"))
    assert_error(done, "FORMAT", "'jpg' is not a picture format", status=64, hint="as in -o ")
    done = bascule("draw", SITE, "--format", "pdf")
    assert_error(done, "USAGE", "a PDF needs a file", status=64, hint="-o rack.pdf")
    done = bascule("draw", SITE, "-o", str(tmp_path / "rack.png"), env={"PATH": str(tmp_path)})
    assert_error(done, "TOOL-MISSING", "a PNG is made by rsvg-convert", hint="apt-get install librsvg2-bin")
    assert list(tmp_path.iterdir()) == []
