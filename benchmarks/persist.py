"""Configuration files of 1,000 bridges with 5,000 ports: rendering and parsing per dialect, and a whole import.

The peer is Python's configparser reading the keyfiles of the same host: what no parser of such files can beat by much.
For the whole program it is that and the interpreter with the same third-party imports.
Rendering and parsing is one thread without waiting, so its CPU seconds are counted, and a busy machine does not blur
them; the import is the whole program.
"""

from __future__ import annotations

import configparser
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path

from tests.persist.test_bad_input import LINES, PLACE

from bascule.model.dialects import persistent, readable
from bascule.model.links import Bridge
from bascule.model.values import IfName
from bascule.persist.config import LinkConfig, NetworkConfig
from bascule.persist.dialect import dialect
from benchmarks.floors import Interpreter
from benchmarks.makers import BASCULE
from benchmarks.measure import Figures, Row, Usage, process

LIMIT = 2.0  # times the floor: rendering and parsing, each dialect
IMPORT_LIMIT = 2.0
LONG, LONG_LIMIT = 100_000, 3.0
STANZAS_LIMIT = 8.0  # ifupdown, where each of those lines is a stanza of a link
INI = (".network", ".netdev", ".link", ".nmconnection")
OF_INI = ("networkd", "keyfile")  # whose files a standard parser reads
CASES = Path(__file__).parents[1] / "tests/importer/cases"


def run(*, quick: bool) -> list[Row]:
    runs = 2 if quick else 5
    config = host(1000, 5)
    rendered = dialect("keyfile").render(config)
    files = {path: text for path, text in rendered.items() if path.startswith("etc/NetworkManager/")}
    ours, peer = [], []
    taken: dict[str, list[float]] = {name: [] for name in persistent()}
    for _ in range(runs):  # all in turn
        ours.append(cpu_s(lambda: dialect("keyfile").parse(files)))
        peer.append(cpu_s(lambda: read_by_configparser(files)))
        for name in persistent():
            taken[name].append(cpu_s(partial(there_and_back, name, config)))
    mine, theirs = Figures.of(ours), Figures.of(peer)
    rows = []
    for name in persistent():
        figures = Figures.of(taken[name])
        rows.append(
            Row(
                f"{name}: 1,000 bridges with 5,000 ports rendered and parsed, by configparser reading 6,001 keyfiles",
                f"{figures} s of CPU",
                f"{theirs} s of CPU",
                figures.median / theirs.median,
                "×",
                LIMIT,
            )
        )
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
    return [*rows, imported(config, runs), small_ones(quick=quick), *long_ones(runs)]


def long_ones(runs: int) -> Iterator[Row]:
    """One file of 100,000 lines that say the same again and again, as a broken script leaves it."""
    floor = LINES["keyfile"] * (LONG // 2)
    reader = partial(configparser.ConfigParser, strict=False, interpolation=None)
    theirs = Figures.of([cpu_s(lambda: reader().read_string(floor)) for _ in range(runs)])
    for name in readable():
        lines = LINES[name] * (LONG // LINES[name].count("\n"))
        ours = Figures.of([cpu_s(lambda: dialect(name).parse({PLACE[name]: lines})) for _ in range(runs)])  # noqa: B023
        yield Row(
            f"{LONG:,} lines in one file of {name}, by configparser reading a keyfile of as many",
            f"{ours} s of CPU",
            f"{theirs} s of CPU",
            ours.median / theirs.median,
            "×",
            STANZAS_LIMIT if name == "ifupdown" else LONG_LIMIT,
        )


def small_ones(*, quick: bool) -> Row:
    """The small configurations of the tests, one after the other; every fourth where it shall be quick."""
    taken, bare = [], []
    cases = sorted(CASES.iterdir())[:: 4 if quick else 1]
    for _ in range(2):
        pairs = []
        for case in cases:
            words = ("import", "--root", str(case), "--host", "h")
            pairs.append((process((*BASCULE, *words)), Interpreter(*words)()))
        taken.append(sum(ours.cpu_s for ours, _ in pairs))
        bare.append(sum(start.cpu_s for _, start in pairs))
    ours, theirs = Figures.of(taken), Figures.of(bare)
    return Row(
        f"small configurations imported, {len(cases)} in turn, by as many interpreters with the same imports",
        f"{ours} s of CPU",
        f"{theirs} s of CPU",
        ours.median / theirs.median,
        "×",
        IMPORT_LIMIT,
    )


def cpu_s(work: Callable[[], object]) -> float:
    start = time.process_time()
    work()
    return time.process_time() - start


def there_and_back(name: str, config: NetworkConfig) -> None:
    each = dialect(name)
    if each.parse(each.render(config)).config != config:
        raise RuntimeError(f"{name} does not read what it wrote")


def read_by_configparser(files: Mapping[str, str]) -> None:
    for text in files.values():
        configparser.ConfigParser(interpolation=None).read_string(text)


def read_tree(folder: Path) -> None:
    """A parser of INI files reads what lies there: what networkd and NetworkManager have; of others the text alone."""
    for path in sorted(folder.rglob("*")):
        if path.is_file() and path.suffix in INI:
            configparser.ConfigParser(interpolation=None, strict=False).read(path)
        elif path.is_file():
            path.read_text()


def imported(config: NetworkConfig, runs: int) -> Row:
    """The whole program, for the slowest of the five beside the parser of its own files on the same disk."""
    found: dict[str, tuple[Usage, Usage, float]] = {}
    for name in persistent():
        with tempfile.TemporaryDirectory() as folder:
            for path, text in dialect(name).render(config).items():
                place = Path(folder, path)
                place.parent.mkdir(parents=True, exist_ok=True)
                place.write_text(text)
            words = ("import", "--root", folder, "--dialect", name)
            interpreter = Interpreter(*words)
            each = [
                (process((*BASCULE, *words)), interpreter(), cpu_s(partial(read_tree, Path(folder))))
                for _ in range(runs)
            ]
            read_s = Figures.of([read for _, _, read in each]).median
            found[name] = Usage.of([ours for ours, _, _ in each]), Usage.of([bare for _, bare, _ in each]), read_s

    def ratio(name: str) -> float:
        ours, bare, read_s = found[name]
        return ours.cpu_s.median / (bare.cpu_s.median + read_s)

    slowest = max((name for name in found if name in OF_INI), key=ratio)
    worst, bare, read_s = found[slowest]
    return Row(
        "import of that host from its files, CPU, by the interpreter with the same imports and configparser",
        worst,
        f"{bare.cpu_s} s + {read_s:.3f} s of CPU",
        ratio(slowest),
        "×",
        IMPORT_LIMIT,
        note=f"slowest: {slowest}; "
        + ", ".join(f"{name} {used.cpu_s.median:.2f} s" for name, (used, _, _) in found.items()),
    )


def host(bridges: int, ports: int) -> NetworkConfig:
    """Bridges without addresses, each with NICs."""
    links = []
    for number in range(bridges):
        bridge = IfName(f"br{number}")
        links.append(LinkConfig(name=bridge, options=Bridge(forward_delay=0, mcast_snooping=0)))
        links += [LinkConfig(name=IfName(f"e{number}p{port}"), master=bridge, mtu=9000) for port in range(ports)]
    return NetworkConfig.of(links, ["vnet*", "tap*"])
