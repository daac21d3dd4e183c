"""The pictures in the documentation are what the code draws today; UPDATE=1 writes them anew."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

from bascule.draw import draw
from bascule.site import parse

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs" / "explanation"
PRODUCTION = "examples/production.yaml"

PICTURES: dict[str, tuple[str, tuple[str, str] | None]] = {
    **{
        name: (f"docs/explanation/sites/{name}.yaml", None) for name in ("nat", "routed", "isolated", "open", "bridged")
    },
    "production": (PRODUCTION, None),
    "production-out": (PRODUCTION, ("guest_02", "customer")),
    "production-stopped": (PRODUCTION, ("guest_03", "customer")),
}


@pytest.mark.parametrize("name", PICTURES)
def test_picture(name: str) -> None:
    source, highlight = PICTURES[name]
    site = parse((ROOT / source).read_bytes(), source)
    drawn = draw(site, format="svg", highlight=highlight)
    kept = DOCS / "pictures" / f"{name}.svg"
    if os.environ.get("UPDATE"):
        kept.write_text(drawn)
    assert drawn == kept.read_text(), f"{kept.name} is old; UPDATE=1 writes it anew, for you to look at"


def test_the_pages_show_these_pictures_and_no_others() -> None:
    pages = [ROOT / "README.md", *(ROOT / "docs").rglob("*.md")]
    shown = {name for page in pages for name in re.findall(r"pictures/([\w-]+)\.svg", page.read_text())}
    assert shown == set(PICTURES)
    assert {kept.stem for kept in (DOCS / "pictures").iterdir()} == set(PICTURES)
