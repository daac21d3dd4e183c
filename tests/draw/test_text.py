from __future__ import annotations

import os

import pytest

from bascule.draw import draw, make_scene
from bascule.draw.formats.canvas import cells
from bascule.model.host_links import SwitchPort
from bascule.model.site import Site
from tests.draw import sites
from tests.draw.golden import FOLDER, GOLDEN

CABLED = sites.site(
    "cabled",
    [sites.network("lan", "192.168.1.0/24")],
    [sites.host("h", *(sites.nic(f"e{n}", "lan", switch=SwitchPort(name="sw-1", port=f"Gi{n}")) for n in "01234"))],
)  # fmt: skip


@pytest.mark.parametrize("name", GOLDEN)
def test_golden(name: str) -> None:
    drawn = GOLDEN[name]()
    if os.environ.get("UPDATE"):
        (FOLDER / name).write_text(drawn)
    assert drawn == (FOLDER / name).read_text(), "it differs; UPDATE=1 writes it anew, for you to look at"


@pytest.mark.parametrize("width", [40, 57, 80, 100, 120, 200])
@pytest.mark.parametrize("count", [1, 3, 12, 40, 200])
def test_no_line_is_wider_than_asked(count: int, width: int) -> None:
    drawn = draw(sites.many(count), width=width)
    assert max(cells(line) for line in drawn.splitlines()) <= width


@pytest.mark.parametrize("width", [40, 44, 60, 80, 120])
@pytest.mark.parametrize("site", [sites.production(), sites.trunk(), CABLED], ids=lambda site: site.name)
def test_what_a_box_has_no_room_for_is_told_below(site: Site, width: int) -> None:
    drawn = draw(site, width=width)
    words = " ".join(drawn.split())
    for node in make_scene(site).nodes.values():
        for note in (node.label, *node.notes):
            assert note in words or note.partition("/")[0] in words, (note, drawn)


def test_an_outline_has_no_heading_over_nothing() -> None:
    assert "machines" not in draw(CABLED, width=40).splitlines()


def test_narrower_than_forty_columns_is_drawn_for_forty() -> None:
    assert draw(sites.production(), width=3) == draw(sites.production(), width=40)


@pytest.mark.parametrize("width", [40, 80, 120])
def test_every_element_of_the_scenario_is_named(width: int) -> None:
    drawn = draw(sites.production(), width=width)
    site = sites.production()
    host = site.hosts["vmserver"]
    for name in (*site.guests, *host.bridges, *host.nics, *site.networks, *site.machines):
        assert name in drawn


def test_ascii_is_ascii_and_keeps_the_columns() -> None:
    fancy = draw(sites.trunk(), width=120)
    plain = draw(sites.trunk(), width=120, ascii=True)
    assert plain.isascii()
    assert "?" not in plain
    assert [len(line) for line in plain.splitlines()] == [len(line) for line in fancy.splitlines()]


def test_a_name_that_ascii_lacks_is_folded_not_questioned() -> None:
    site = sites.site("s", [], [sites.host("h", sites.nic("süd0"), sites.nic("局0"))])
    plain = draw(site, ascii=True)
    assert plain.isascii()
    assert "sud0" in plain
    assert "?" not in plain
    assert "局0" in draw(site)


def test_the_date_is_printed_only_when_given() -> None:
    assert "2026-11-22" in draw(sites.production(), date="2026-11-22")
    assert draw(sites.production()) == draw(sites.production())
