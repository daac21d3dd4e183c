"""PNG and PDF: the SVG through each program that can, and one clear error where none is here."""

from __future__ import annotations

import json
import re
import shutil
import struct
import subprocess
import sys
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
def test_each_program_makes_both(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if shutil.which(name) is None:
        pytest.skip(f"no {name} here")
    monkeypatch.setattr(svg, "CONVERTERS", {name: svg.CONVERTERS[name]})
    drawing = draw(sites.production(), format="svg")
    size = svg.SIZE.match(drawing)
    assert size is not None
    width, height, colours = pixels(svg.convert(drawing, "png"))
    assert (width, height) == (int(size[1]) * svg.SCALE, int(size[2]) * svg.SCALE)
    assert colours > 50
    pdf = svg.convert(drawing, "pdf")
    assert pdf.startswith(b"%PDF-")
    assert len(pdf) > 5_000
    assert len(re.findall(rb"/Type\s*/Page\b", pdf)) <= 1  # none in sight where the objects are compressed


def test_a_program_that_fails_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    words = svg.CONVERTERS["rsvg-convert"]
    monkeypatch.setattr(svg, "CONVERTERS", {"true": words})
    with pytest.raises(CommandFailed, match="'true' wrote no picture: it says nothing"):
        svg.convert("<svg/>", "png")
    monkeypatch.setattr(svg, "CONVERTERS", {"no-such-program": words})
    with pytest.raises(MissingTool):
        svg.convert("<svg/>", "png")


def test_the_name_of_the_file_says_what_is_drawn(tmp_path: Path) -> None:
    done = bascule("draw", SITE, "-o", str(tmp_path / "rack.jpg"))
    assert_error(done, "FORMAT", "'jpg' is not a picture format", status=64, hint="as in -o ")
    done = bascule("draw", SITE, "--format", "pdf")
    assert_error(done, "USAGE", "a PDF needs a file", status=64, hint="-o rack.pdf")
    done = bascule("draw", SITE, "-o", str(tmp_path / "rack.png"), env={"PATH": str(tmp_path)})
    assert_error(done, "TOOL-MISSING", "a PNG is made by rsvg-convert", hint="apt-get install librsvg2-bin")
    assert list(tmp_path.iterdir()) == []


FULL = """
mount -t tmpfs -o size=8k none "$1"
echo the old picture >"$1/old.svg"
for name in old.svg new.svg; do "$2" -m bascule draw "$3" -o "$1/$name" 2>&1; done
ls -A "$1"
cat "$1/old.svg"
"""


@pytest.mark.kernel
def test_a_full_disk_takes_no_picture_away(tmp_path: Path) -> None:
    words = ("unshare", "--mount", "sh", "-c", FULL, "sh", str(tmp_path), sys.executable, SITE)
    said = subprocess.run(words, capture_output=True, text=True, check=True).stdout.splitlines()
    assert [line for line in said if "No space" in line] == [
        f"error[SYSTEM]: '{tmp_path}/{name}.svg': No space left on device" for name in ("old", "new")
    ]
    assert said[-2:] == ["old.svg", "the old picture"]


def test_a_picture_takes_the_place_of_another_as_it_stands_there(tmp_path: Path) -> None:
    (tmp_path / "rack.svg").write_text("old")
    (tmp_path / "rack.svg").chmod(0o640)
    (tmp_path / "link.svg").symlink_to("rack.svg")
    assert bascule("draw", SITE, "-o", str(tmp_path / "link.svg")).returncode == 0
    assert (tmp_path / "link.svg").is_symlink()
    assert (tmp_path / "rack.svg").stat().st_mode & 0o777 == 0o640
    assert (tmp_path / "rack.svg").read_text().startswith("<svg")
    assert sorted(each.name for each in tmp_path.iterdir()) == ["link.svg", "rack.svg"]


def test_a_line_stands_for_standard_output(tmp_path: Path) -> None:
    assert bascule("draw", SITE, "--format", "svg", "-o", "-").stdout.startswith("<svg")
    done = bascule("rehearse", SITE, "--report", "-")
    assert_error(done, "REPORT", "the report is a page", status=64, hint="name a file")
    assert bascule("draw", SITE, "-o", str(tmp_path / "rack.json")).returncode == 0
    assert json.loads((tmp_path / "rack.json").read_text())["schema"] == "bascule/draw/1"
