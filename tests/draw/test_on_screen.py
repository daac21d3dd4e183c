"""What a browser makes of the SVG: each text lies on the page, in its box, and on no other text."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import Phase, given, settings

from bascule.draw import draw
from bascule.site import parse
from tests.draw import sites
from tests.draw.strategies import observed_sites
from tests.draw.test_geometry import calm
from tests.lab import Lab, open_lab
from tests.web.browser import Browser

LOOK = """
const root = document.documentElement, found = [], slack = 0.6;
const page = root.getBoundingClientRect();
const inside = (a, b) => a.left >= b.left - slack && a.right <= b.right + slack
  && a.top >= b.top - 2 && a.bottom <= b.bottom + 2;
const texts = [...root.querySelectorAll('text')].map(text => [text, text.getBoundingClientRect()]);
for (const [text, place] of texts) {
  if (!inside(place, page)) found.push(text.textContent + ' is off the page');
  const box = text.closest('.node')?.querySelector(':scope > .box, :scope > .chip');
  if (box && !inside(place, box.getBoundingClientRect())) found.push(text.textContent + ' is outside its box');
}
for (const [one, a] of texts) for (const [other, b] of texts) {
  const lead = 3.5; /* above and below the letters themselves */
  const beside = a.right - 1 <= b.left || b.right - 1 <= a.left;
  if (one !== other && !beside && a.top < b.bottom - lead && b.top < a.bottom - lead)
    found.push(one.textContent + ' lies on ' + other.textContent);
}
return found;
"""


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    with open_lab() as opened:
        yield opened


@pytest.fixture(scope="module")
def browser(lab: Lab, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    with Browser(lab.namespace("screen"), tmp_path_factory.mktemp("profile")) as opened:
        yield opened


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("pictures") / "drawn.svg"


def seen(browser: Browser, file: Path, drawing: str) -> Any:
    file.write_text(drawing)
    browser.open(file.as_uri())
    return browser.script(LOOK)


@pytest.mark.parametrize("bridges", [1, 4])
@pytest.mark.parametrize("guests", [3, 12, 40, 100, 200])
def test_many_guests(browser: Browser, file: Path, guests: int, bridges: int) -> None:
    assert seen(browser, file, draw(sites.many(guests, bridges), format="svg", collapse=None)) == []


def test_a_drifted_host(browser: Browser, file: Path) -> None:
    site, state = sites.drifted()
    assert seen(browser, file, draw(site, format="svg", observed={"vmserver": state})) == []


def test_names_as_long_as_they_may_be(browser: Browser, file: Path) -> None:
    long = {letter: letter * 63 for letter in "nhgm"}
    text = f"""
site: {"s" * 63}
networks: {{{long["n"]}: {{subnet: [10.0.0.0/8, "fd00:1234:5678:9abc::/64"], vlan: 20}}}}
hosts:
  {long["h"]}:
    nics: {{enp129s0f1np1x: {{}}, enp9s0f1: {{}}}}
    bridges: {{br-0123456789ab: {{uplink: enp9s0f1, vlan: 20}}}}
guests:
  {long["g"]}:
    host: {long["h"]}
    nics: [{{bridge: br-0123456789ab, address: "fd00:1234:5678:9abc:1111:2222:3333:4444/64"}}]
machines:
  {long["m"]}: {{nics: [{{network: {long["n"]}, address: 10.0.0.1/8}}]}}
"""
    site = parse(text.encode(), "long.yaml")
    assert seen(browser, file, draw(site, format="svg", highlight=(long["g"], long["m"]))) == []


def test_any_site(browser: Browser, file: Path) -> None:
    @settings(calm, max_examples=40, phases=[Phase.generate])
    @given(observed_sites())
    def look(drawn: tuple[Any, Any]) -> None:
        site, observed = drawn
        assert seen(browser, file, draw(site, format="svg", observed=observed)) == []

    look()


def test_it_would_be_seen(browser: Browser, file: Path) -> None:
    narrow = draw(sites.production(), format="svg").replace('width="120"', 'width="60"')
    assert "vmserver is outside its box" in seen(browser, file, narrow)
