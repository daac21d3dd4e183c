"""Wires that cross are hard to follow: ours, counted against those of Graphviz on the same graph."""

from __future__ import annotations

import shutil
import subprocess
from typing import Any

import pytest
from hypothesis import Phase, given, seed, settings

from bascule.draw import draw, make_scene
from bascule.draw.formats.svg import lay_out
from bascule.model.site import Site
from tests.draw import sites
from tests.draw.geometry import crossings, crossings_of_dot
from tests.draw.strategies import observed_sites
from tests.draw.test_geometry import calm
from tests.patience import HUNG_S

pytestmark = pytest.mark.skipif(shutil.which("dot") is None, reason="graphviz is not installed")


def count(site: Site, observed: Any = None, *, networks: bool = False) -> int:
    scene = make_scene(site, observed=observed)
    return crossings(scene, lay_out(scene)[0], networks=networks)


def count_of_dot(site: Site, observed: Any = None) -> int:
    graph = draw(site, format="dot", observed=observed, collapse=None)
    done = subprocess.run(("dot", "-Tplain"), input=graph, capture_output=True, text=True, check=True, timeout=HUNG_S)
    return crossings_of_dot(done.stdout)


@pytest.mark.parametrize(
    "site",
    [sites.production(), sites.trunk(), sites.lab(), *(sites.many(n, b) for n in (3, 12, 40, 100) for b in (1, 2, 4))],
    ids=lambda site: site.name,
)
def test_no_more_than_dot(site: Site) -> None:
    assert count(site) <= count_of_dot(site)


def test_a_drifted_host_too() -> None:
    site, state = sites.drifted()
    assert count(site, {"vmserver": state}) <= count_of_dot(site, {"vmserver": state})


def test_few_wires_cross_a_network() -> None:
    """Two NICs on one network enclose a NIC on the other one: once is the least."""
    assert count(sites.production(), networks=True) == 1
    assert count(sites.many(40, 4), networks=True) == 0


def test_over_random_sites_fewer_than_dot() -> None:
    ours, dots = [], []

    @seed(7)
    @settings(calm, max_examples=100, database=None, phases=[Phase.generate])
    @given(observed_sites())
    def measure(drawn: tuple[Any, Any]) -> None:
        try:
            theirs = count_of_dot(*drawn)
        except subprocess.CalledProcessError as gave_up:  # links that sit on one another in a ring: dot ranks none
            assert "trouble in init_rank" in gave_up.stderr
            return
        ours.append(count(*drawn))
        dots.append(theirs)

    measure()
    assert len(dots) > 90
    assert sum(dots) > 100  # else the sites are too simple to say anything
    assert sum(ours) <= sum(dots)
