from __future__ import annotations

from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bascule.draw import draw, make_scene
from bascule.draw import svg as svg_module
from bascule.draw import text as text_module
from bascule.draw.hostblock import Notes
from bascule.draw.layout import arrange, page
from tests.draw import sites
from tests.draw.geometry import faults
from tests.draw.strategies import sites as random_sites
from tests.draw.strategies import states

calm = settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])


@st.composite
def observed_sites(pick: st.DrawFn) -> tuple[Any, Any]:
    site = pick(random_sites())
    return site, {host: pick(states(site, host)) for host in site.hosts if pick(st.booleans())}


@calm
@given(observed_sites(), st.sampled_from([1, 2, 5]), st.sampled_from([None, 700]))
def test_nothing_lies_on_anything(drawn: tuple[Any, Any], depth: int, width: int | None) -> None:
    site, observed = drawn
    scene = make_scene(site, observed=observed)
    layout = arrange(scene, svg_module.METRICS, depth=depth, width=width)
    assert faults(scene, layout, svg_module.METRICS) == []


@calm
@given(observed_sites(), st.sampled_from([1, 3]), st.sampled_from([None, 80]), st.sampled_from(list(Notes)))
def test_nothing_lies_on_anything_in_text(drawn: tuple[Any, Any], depth: int, width: int | None, notes: Notes) -> None:
    site, observed = drawn
    scene = make_scene(site, observed=observed)
    layout = arrange(scene, text_module.METRICS, depth=depth, width=width, notes=notes)
    assert faults(scene, layout, text_module.METRICS) == []


@pytest.mark.parametrize("make", [sites.production, sites.trunk, sites.lab, lambda: sites.many(100, 3)])
def test_the_examples_too(make: Any) -> None:
    scene = make_scene(make())
    for m in (svg_module.METRICS, svg_module.DENSE):
        assert faults(scene, page(scene, m), m) == []


def test_aspect_is_at_most_two_to_one_for_3_to_200_guests() -> None:
    for bridges in (1, 2, 4):
        for count in [*range(3, 13), 17, 25, 40, 64, 100, 144, 200]:
            scene = make_scene(sites.many(count, bridges))
            layout = page(scene, svg_module.METRICS)
            assert layout.width <= 2 * layout.height, (count, bridges)
            assert layout.height <= 3 * layout.width, (count, bridges)


def test_one_more_guest_moves_nobody_but_at_few_thresholds() -> None:
    def rows(count: int) -> dict[str, tuple[int, int]]:
        scene = make_scene(sites.many(count, 1))
        boxes = [box for box in page(scene, svg_module.DENSE).boxes if box.node.startswith("guest/")]
        columns = sorted({box.x for box in boxes})
        lines = sorted({box.y for box in boxes})
        return {box.node: (columns.index(box.x), lines.index(box.y)) for box in boxes}

    jumps = 0
    before = rows(3)
    for count in [*range(4, 60), *range(99, 103), *range(196, 201)]:
        after = rows(count)
        jumps += any(after[name] != place for name, place in before.items())
        before = after
    assert jumps <= 12


def test_order_of_guests_is_the_order_of_the_file() -> None:
    scene = make_scene(sites.many(50, 1))
    boxes = [box for box in page(scene, svg_module.METRICS).boxes if box.node.startswith("guest/")]
    assert [box.node for box in sorted(boxes, key=lambda box: (box.x, box.y))] == [
        f"guest/vm-{i:03}" for i in range(50)
    ]


@pytest.mark.parametrize("form", ["text", "svg", "mermaid", "dot", "json"])
def test_same_bytes_for_the_same_site(form: str) -> None:
    assert draw(sites.trunk(), format=form) == draw(sites.trunk(), format=form)


def test_no_crossing_in_the_crown_where_none_is_needed() -> None:
    scene = make_scene(sites.many(6, 2))
    layout = page(scene, svg_module.METRICS)
    wires = [layout.wires[edge.id] for edge in scene.edges if edge.upper.startswith("big/link/vm-000")]
    (upper, lower) = sorted(wires, key=lambda points: points[1][1])
    assert upper[-1][0] > lower[-1][0]  # the farther wire runs above the nearer one
