"""The picture: how long layout and SVG take for a large host, and its shape against Graphviz's of the same graph."""

from __future__ import annotations

import re
import shutil
import subprocess
import tempfile
import time
from pathlib import Path

from bascule.draw import draw
from bascule.model.site import Site
from bascule.site import parse
from benchmarks.measure import Figures, Row

SIZE = re.compile(r'width="([\d.]+)(?:pt)?" height="([\d.]+)(?:pt)?"')


def site(guests: int, bridges: int) -> Site:
    """Guests that are not alike, spread evenly over bridges, each on a NIC and a network of its own."""
    lines = ["site: big", "networks:"]
    lines += [f"  n{i}: {{subnet: 10.{i}.0.0/16}}" for i in range(bridges)]
    lines += ["hosts:", "  h:", "    nics:", *(f"      eth{i}: {{network: n{i}}}" for i in range(bridges))]
    lines += ["    bridges:", *(f"      br{i}: {{uplink: eth{i}}}" for i in range(bridges)), "guests:"]
    for i in range(guests):
        on = i % bridges
        nic = f"{{bridge: br{on}, address: 10.{on}.{1 + i // 250}.{1 + i % 250}/16}}"
        lines.append(f"  g{i}: {{host: h, memory: {i + 64}MiB, nics: [{nic}]}}")
    return parse("\n".join(lines).encode(), "big.yaml")


def run(*, quick: bool) -> list[Row]:
    """LookupError where ``dot`` is not installed."""
    large = site(1000, 50)
    times = []
    for _ in range(3 if quick else 7):
        start = time.perf_counter()
        draw(large, format="svg", collapse=None)
        times.append(time.perf_counter() - start)
    figures = Figures.of(times)
    rows = [Row("layout and SVG of 1,000 guests on 50 bridges", f"{figures} s", "", figures.median, "s", 1.0)]
    if shutil.which("dot") is None:
        raise LookupError("Graphviz is not installed: apt-get install graphviz")
    small = site(40, 2)
    ours = _shape(draw(small, format="svg", collapse=None))
    with tempfile.TemporaryDirectory() as folder:
        graph = Path(folder, "host.dot")
        graph.write_text(draw(small, format="dot", collapse=None))
        done = subprocess.run(("dot", "-Tsvg", str(graph)), capture_output=True, text=True, check=True)
        theirs = _shape(done.stdout)
        rows.append(
            Row("width by height, 40 guests, ours by dot's", f"{ours:.2f}", f"{theirs:.2f}", ours / theirs, "×", 0.25)
        )
    return rows


def _shape(svg: str) -> float:
    found = SIZE.search(svg)
    if found is None:
        raise ValueError("an SVG without width and height")
    return float(found[1]) / float(found[2])
