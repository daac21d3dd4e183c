from __future__ import annotations

import os
import subprocess
import sys
from copy import deepcopy
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from bascule.draw import draw, make_scene
from bascule.draw.formats import FORMATS
from bascule.draw.formats import svg as svg_module
from bascule.draw.formats import text as text_module
from bascule.draw.layout.arrange import arrange, page
from bascule.draw.layout.blocks import Box
from bascule.draw.layout.hostblock import Notes
from bascule.draw.layout.tree import build_tree
from bascule.model.host_links import Bond
from bascule.model.site import Forward, Mode, PlugKind, Site
from bascule.model.state_json import from_json, to_json
from bascule.model.values import IfName
from bascule.site import parse
from tests.draw import sites
from tests.draw.geometry import faults
from tests.draw.strategies import observed_sites
from tests.draw.strategies import sites as random_sites

ROOT = Path(__file__).parents[2]

calm = settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])


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


def test_wires_of_two_networks_share_no_lane() -> None:
    source = "examples/open-vswitch.yaml"
    scene = make_scene(parse((Path(__file__).parents[2] / source).read_bytes(), source))
    for m in (svg_module.METRICS, svg_module.DENSE, text_module.METRICS):
        assert faults(scene, page(scene, m), m, networks=True) == []


def test_aspect_is_at_most_two_to_one_for_3_to_200_guests() -> None:
    for bridges in (1, 2, 4):
        for count in [*range(3, 13), 17, 25, 40, 64, 100, 144, 200]:
            scene = make_scene(sites.many(count, bridges))
            layout = page(scene, svg_module.METRICS)
            assert layout.width <= 2 * layout.height, (count, bridges)
            assert layout.height <= 3 * layout.width, (count, bridges)


@calm
@given(st.integers(3, 200), st.integers(1, 6), st.booleans())
def test_no_number_of_guests_makes_a_ribbon(count: int, bridges: int, firewall: bool) -> None:
    scene = make_scene(sites.many(count, bridges, firewall=firewall))
    layout, m = svg_module.lay_out(scene)
    assert layout.width <= 2 * layout.height
    assert layout.height <= 3 * layout.width
    assert faults(scene, layout, m) == []


@calm
@given(observed_sites())
def test_a_page_of_any_site_is_no_ribbon(drawn: tuple[Any, Any]) -> None:
    site, observed = drawn
    assume(len(site.guests) >= 3)
    root = ET.fromstring(draw(site, format="svg", observed=observed))
    assert int(root.get("width", "")) <= 2 * int(root.get("height", ""))


def reading_order(site: Site) -> tuple[int, dict[tuple[str, ...], list[str]]]:
    """The depth of the columns, and the guests of each bridge (or shared NIC) in the order in which one reads them.

    Guests that stand on one element are read down its columns. Those that hang on what others stand on, as on a bond's
    NIC, are drawn above all, and read line by line.
    """
    scene = make_scene(site)
    layout, _ = svg_module.lay_out(scene)
    above = {key for host in scene.hosts for key in build_tree(scene, host).loose}

    boxes = {box.node: box for box in layout.boxes}

    def place(box: Box) -> tuple[int, int]:
        if box.node not in above:
            return (box.x, box.y)
        feet = [boxes[edge.lower] for edge in scene.lower(box.node)] or [box]
        foot = max(below.y + below.h for below in feet)
        return (foot, box.x)  # those of one line stand on one level, whatever their heights

    found: dict[tuple[str, ...], list[str]] = {}
    for box in sorted(layout.boxes, key=place):
        guest = site.guests.get(box.node.removeprefix("guest/"))
        into = {nic.into for nic in guest.nics} if guest else set()
        if guest and len(into) == 1 and guest.name != "one-more":
            found.setdefault((guest.host, next(iter(into))), []).append(guest.name)
    return layout.depth, found


@calm
@given(random_sites(), st.data())
def test_one_more_guest_leaves_the_others_in_their_order(site: Site, data: st.DataObject) -> None:
    """On each bridge: who searched a guest there finds it there."""
    hosts = [host for host in site.hosts.values() if host.bridges]
    assume(hosts)
    host = data.draw(st.sampled_from(hosts))
    bridge = data.draw(st.sampled_from(sorted(host.bridges)))
    more = replace(site, guests={**site.guests, "one-more": sites.guest("one-more", host.name, sites.plug(bridge))})
    before, after = reading_order(site), reading_order(more)
    assume(before[0] == after[0])  # else there are more, or fewer, columns
    assert before == after


def test_one_more_guest_leaves_those_on_a_bonds_nic_in_their_order() -> None:
    """They are drawn above all, line by line; a wider host breaks the lines elsewhere."""
    host = sites.host(
        "host0",
        *(sites.nic(f"eth{number}", None, "10.9.1.1/24" if number == 1 else "") for number in range(4)),
        Bond(name=IfName("bond0"), nics=(IfName("eth0"), IfName("eth1"))),
        sites.bridge("br0", None),
        sites.bridge("br1", None, from_uplink=True),
        sites.virtual(Mode.NAT, "lab0", [Forward(host_port=2222, guest="host0-g0", service=sites.TCP80)]),
    )
    shared = sites.plug("eth0", "10.1.2.3/24", PlugKind.DIRECT)
    guests = [
        sites.guest("host0-g0", "host0"),
        sites.guest("host0-g1", "host0", shared),
        sites.guest("host0-g2", "host0", sites.plug("br0"), sites.plug("br0"), sites.plug("br1")),
        sites.guest("host0-g3", "host0", shared),
    ]
    site = sites.site("t", [], [host], guests)
    more = sites.site("t", [], [host], [*guests, sites.guest("one-more", "host0", sites.plug("br1"))])
    lines = []
    for one in (site, more):
        boxes = svg_module.lay_out(make_scene(one))[0].boxes
        lines.append(len({box.y for box in boxes if box.node in {"guest/host0-g1", "guest/host0-g3"}}))
    assert lines == [2, 1], "the lines break at the same place, so nothing is asked here"
    assert reading_order(site)[1] == reading_order(more)[1] == {("host0", "eth0"): ["host0-g1", "host0-g3"]}


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


@pytest.mark.parametrize("form", ["text", "svg", "mermaid", "dot", "json"])
def test_same_bytes_in_another_process(form: str) -> None:
    """The order of Python's sets changes from one process to the next."""

    def drawn(number: str) -> bytes:
        line = (sys.executable, "-m", "bascule", "draw", "examples/production.yaml", "--format", form)
        env = {**os.environ, "PYTHONHASHSEED": number, "COLUMNS": "100"}
        return subprocess.run(line, capture_output=True, check=True, env=env, cwd=ROOT).stdout

    first = drawn("1")
    assert len(first) > 500
    assert drawn("2") == first


@calm
@given(observed_sites(), st.sampled_from(sorted(FORMATS)))
def test_same_bytes_for_any_site(drawn: tuple[Any, Any], form: str) -> None:
    site, observed = drawn
    again = {host: replace(seen, state=from_json(to_json(seen.state))) for host, seen in observed.items()}
    assert draw(site, format=form, observed=observed) == draw(deepcopy(site), format=form, observed=again)


def test_no_crossing_in_the_crown_where_none_is_needed() -> None:
    scene = make_scene(sites.many(6, 2))
    layout = page(scene, svg_module.METRICS)
    wires = [layout.wires[edge.id] for edge in scene.edges if edge.upper.startswith("big/link/vm-000")]
    (upper, lower) = sorted(wires, key=lambda points: points[1][1])
    assert upper[-1][0] > lower[-1][0]  # the farther wire runs above the nearer one
