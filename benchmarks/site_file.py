"""Reading a site file of 1,600 lines: the whole way to a checked Site against PyYAML's safe_load of the same bytes."""

from __future__ import annotations

import time
from collections.abc import Callable

import yaml

from bascule.site import parse
from benchmarks.measure import Figures, Row


def run(*, quick: bool) -> list[Row]:
    runs = 3 if quick else 10
    small, large = site_file(800), site_file(3200)
    parse(small, "warm-up")  # what importing costs is the business of `startup`
    ours, peer, fourfold = [], [], []
    for _ in range(runs):
        ours.append(seconds(lambda: parse(small, "small")))
        peer.append(seconds(lambda: yaml.safe_load(small)))
        fourfold.append(seconds(lambda: parse(large, "large")))
    mine, theirs, larger = Figures.of(ours), Figures.of(peer), Figures.of(fourfold)
    lines = small.count(b"\n") + 1
    return [
        Row(
            f"site file of {lines:,} lines, read and checked, by yaml.safe_load",
            f"{mine} s",
            f"{theirs} s",
            mine.median / theirs.median,
            "×",
            1.0,
        ),
        Row(
            "four times as many lines take as many times longer",
            f"{larger} s",
            f"{mine} s",
            larger.minimum / mine.minimum,
            "×",
            8.0,
            note="a check that compared everything with everything would take 16 times as long",
        ),
    ]


def site_file(guests: int) -> bytes:
    """Two lines for each guest: itself and one expectation."""
    bridges = range(guests // 1000 + 1)  # the kernel takes 1,023 ports of each
    lines = ["site: big", "networks: {n: {subnet: 10.0.0.0/8}}", "hosts:", "  h:"]
    lines.append(f"    nics: {{{', '.join(f'eth{i}: {{network: n}}' for i in bridges)}}}")
    lines.append(f"    bridges: {{{', '.join(f'br{i}: {{uplink: eth{i}}}' for i in bridges)}}}")
    lines.append("guests:")
    for i in range(guests):
        nic = f"{{bridge: br{i // 1000}, address: 10.1.{i // 250}.{i % 250 + 1}/8}}"
        lines.append(f"  g{i}: {{host: h, nics: [{nic}], serves: [tcp/80]}}")
    lines.append("expect:")
    lines += [f"  - {{from: g{i}, to: g{(i + 1) % guests}, service: tcp/80, verdict: reach}}" for i in range(guests)]
    return "\n".join(lines).encode()


def seconds(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start
