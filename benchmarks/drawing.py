"""The picture: how long layout and SVG take for a large host, and its shape against Graphviz's of the same graph."""

from __future__ import annotations

import re
import tempfile
import time
from pathlib import Path

from bascule.draw import draw
from bascule.model.site import Site
from bascule.site import parse
from benchmarks.makers import BASCULE
from benchmarks.measure import Figures, Findings, Row, in_turn, process, ratio

SIZE = re.compile(r'width="([\d.]+)(?:pt)?" height="([\d.]+)(?:pt)?"')


def text(guests: int, bridges: int) -> bytes:
    """Guests that are not alike, spread evenly over bridges, each on a NIC and a network of its own."""
    lines = ["site: big", "networks:"]
    lines += [f"  n{i}: {{subnet: 10.{i}.0.0/16}}" for i in range(bridges)]
    lines += ["hosts:", "  h:", "    nics:", *(f"      eth{i}: {{network: n{i}}}" for i in range(bridges))]
    lines += ["    bridges:", *(f"      br{i}: {{uplink: eth{i}}}" for i in range(bridges)), "guests:"]
    for i in range(guests):
        on = i % bridges
        nic = f"{{bridge: br{on}, address: 10.{on}.{1 + i // 250}.{1 + i % 250}/16}}"
        lines.append(f"  g{i}: {{host: h, memory: {i + 64}MiB, nics: [{nic}]}}")
    return "\n".join(lines).encode()


def site(guests: int, bridges: int) -> Site:
    return parse(text(guests, bridges), "big.yaml")


def run(*, quick: bool) -> Findings:
    runs = 3 if quick else 7
    try:
        return Findings(rows=[_large(runs), *_beside_dot(runs)])
    except LookupError as why:
        return Findings(left_out={"dot": str(why)})


def _large(runs: int) -> Row:
    """CPU seconds of ours and of dot for the same graph, in turn."""
    large = site(1000, 50)
    ours, theirs = [], []
    with tempfile.TemporaryDirectory() as folder:
        graph = Path(folder, "host.dot")
        graph.write_text(draw(large, format="dot", collapse=None))
        for _ in range(runs):
            start = time.process_time()
            draw(large, format="svg", collapse=None)
            ours.append(time.process_time() - start)
            theirs.append(process(("dot", "-Tsvg", "-o", f"{folder}/host.svg", str(graph))).cpu_s)
    mine, peer = Figures.of(ours), Figures.of(theirs)
    name = "layout and SVG of 1,000 guests on 50 bridges, by dot"
    return Row(name, f"{mine} s of CPU", f"{peer} s of CPU", mine.median / peer.median, "×", 1.5)


def _beside_dot(runs: int) -> list[Row]:
    """The same graph laid out by both, each as a whole program: what it takes, and what shape comes out."""
    small = site(40, 2)
    shape = _shape(draw(small, format="svg", collapse=None))
    with tempfile.TemporaryDirectory() as folder:
        file, graph, svg = (Path(folder, name) for name in ("site.yaml", "host.dot", "host.svg"))
        file.write_bytes(text(40, 2))
        graph.write_text(draw(small, format="dot", collapse=None))
        dot = ("dot", "-Tsvg", "-o", str(svg), str(graph))
        ours, peer = in_turn(
            lambda: process((*BASCULE, "draw", str(file), "--format", "svg")), lambda: process(dot), runs
        )
        theirs = _shape(svg.read_text())
    return [
        Row("width by height, 40 guests, ours by dot's", f"{shape:.2f}", f"{theirs:.2f}", shape / theirs, "×", 0.25),
        Row("40 guests drawn, by dot", ours, peer, ratio(ours, peer), "×", float("inf"), note="ours reads YAML first"),
    ]


def _shape(svg: str) -> float:
    found = SIZE.search(svg)
    if found is None:
        raise ValueError("an SVG without width and height")
    return float(found[1]) / float(found[2])
