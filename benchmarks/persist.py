"""Configuration files of 1,000 bridges with 5,000 ports: rendering and parsing per dialect, and a whole import.

The peer is Python's configparser reading the keyfiles of the same host: what no parser of such files can beat by much.
Rendering and parsing is one thread without waiting, so its CPU seconds are counted, and a busy machine does not blur
them; the import is the whole program.
"""

from __future__ import annotations

import configparser
import tempfile
import time
from pathlib import Path

from bascule.model.links import Bridge
from bascule.model.values import IfName
from bascule.persist.config import LinkConfig, NetworkConfig
from bascule.persist.dialect import NAMES, dialect
from benchmarks.makers import BASCULE
from benchmarks.measure import Figures, Row, Usage, process

LIMIT_S = 1.0  # rendering and parsing, each dialect
IMPORT_LIMIT_S = 2.0


def run(*, quick: bool) -> list[Row]:
    runs = 2 if quick else 5
    config = host(1000, 5)
    rows = []
    for name in NAMES:
        each = dialect(name)
        taken = []
        for _ in range(runs):
            start = time.process_time()
            parsed = each.parse(each.render(config))
            taken.append(time.process_time() - start)
            if parsed.config != config:
                raise RuntimeError(f"{name} does not read what it wrote")
        figures = Figures.of(taken)
        rows.append(
            Row(
                f"{name}: 1,000 bridges with 5,000 ports rendered and parsed",
                f"{figures} s of CPU",
                "",
                figures.median,
                "s",
                LIMIT_S,
            )
        )
    rendered = dialect("keyfile").render(config)
    files = {path: text for path, text in rendered.items() if path.startswith("etc/NetworkManager/")}
    ours, peer = [], []
    for _ in range(runs):
        start = time.process_time()
        dialect("keyfile").parse(files)
        ours.append(time.process_time() - start)
        start = time.process_time()
        for text in files.values():
            configparser.ConfigParser(interpolation=None).read_string(text)
        peer.append(time.process_time() - start)
    mine, theirs = Figures.of(ours), Figures.of(peer)
    rows.append(
        Row(
            "6,001 keyfiles understood, by configparser reading them",
            f"{mine} s",
            f"{theirs} s",
            mine.median / theirs.median,
            "×",
            2.0,
        )
    )
    return [*rows, imported(config, runs)]


def imported(config: NetworkConfig, runs: int) -> Row:
    """The whole program, for the slowest of the five."""
    found: dict[str, Usage] = {}
    for name in NAMES:
        with tempfile.TemporaryDirectory() as folder:
            for path, text in dialect(name).render(config).items():
                place = Path(folder, path)
                place.parent.mkdir(parents=True, exist_ok=True)
                place.write_text(text)
            argv = (*BASCULE, "import", "--root", folder, "--dialect", name)
            found[name] = Usage.of([process(argv) for _ in range(runs)])
    slowest = max(found, key=lambda name: found[name].wall_s.median)
    worst = found[slowest]
    return Row(
        "import of that host from its files",
        worst,
        "",
        worst.wall_s.median,
        "s",
        IMPORT_LIMIT_S,
        note=f"slowest: {slowest}",
    )


def host(bridges: int, ports: int) -> NetworkConfig:
    """Bridges without addresses, each with NICs."""
    links = []
    for number in range(bridges):
        bridge = IfName(f"br{number}")
        links.append(LinkConfig(name=bridge, options=Bridge(forward_delay=0, mcast_snooping=0)))
        links += [LinkConfig(name=IfName(f"e{number}p{port}"), master=bridge, mtu=9000) for port in range(ports)]
    return NetworkConfig.of(links, ["vnet*", "tap*"])
