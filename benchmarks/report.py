"""The page of figures, made from what was measured: ``python -m benchmarks.report > docs/reference/benchmarks.md``."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.bars import BARS, Bar

RESULTS = Path(__file__).with_name("results.json")

HEAD = """\
# Figures

<!-- Made by `python -m benchmarks.report` from benchmarks/results.json. -->

`make bench` measures all of this anew, `make bench-quick` the small sizes within two minutes; everything happens in
namespaces of its own. Ours and a peer's runs stand in turn (A B A B), and a ratio is one of medians. Figures read
*median (minimum–maximum)*; wall time, unless it says CPU. A busy machine blurs wall time more than CPU time, so the
load average before and after each part is given.
"""
QUICK = "\n**Measured quickly**, with few runs and small sizes: {}.\n"


def page(document: Mapping[str, Any], *, full: bool = True) -> str:
    """Markdown: the promises, the curves, all rows, what was left out; ``full`` adds what does not change."""
    parts: Mapping[str, Any] = document["parts"]
    blocks = [HEAD + machine(document["machine"])] if full else []
    quick = [name for name, part in parts.items() if part["quick"]]
    if quick and full:
        blocks.append(QUICK.format(", ".join(quick)))
    bars = list(promises(parts, full=full))
    if bars:
        blocks.append("\n## Promises\n\n" + "\n".join(bars) + "\n")
    curves = [curve for part in parts.values() for curve in part["curves"]]
    if curves:
        blocks.append("\n## Curves\n\n" + CURVES + "\n" + "\n".join(grown(curves)) + "\n")
    for name, part in parts.items():
        if part["rows"]:
            load = f"load {part['load'][0]} → {part['load'][1]}, {part['seconds']:g} s"
            blocks.append(
                f"\n## {name.replace('_', ' ').capitalize()}\n\n{load}\n\n" + "\n".join(rows(part["rows"])) + "\n"
            )
    left_out = {what: why for part in parts.values() for what, why in part["left_out"].items()}
    if left_out:
        lines = [f"* {what}: {' '.join(why.split())}" for what, why in left_out.items()]
        blocks.append("\n## Left out\n\n" + "\n".join(lines) + "\n")
    return "".join(blocks).lstrip("\n")


def machine(facts: Mapping[str, Any]) -> str:
    """The machine, in one line."""
    return (
        f"\nMachine: {facts['cores']} cores, {facts['memory_gib']} GiB, Linux {facts['kernel']}, "
        f"Python {facts['python']}, {facts['iproute2']}.\n"
    )


def promises(parts: Mapping[str, Any], *, full: bool) -> Iterator[str]:
    """Every promise with ours, the peer, the ratio, the limit, and whether it is kept."""
    kept = [line for bar in BARS for line in _kept(bar, parts, full=full)]
    if kept:
        yield "| about | promise | ours | peer | measured | limit | |"
        yield "|---|---|---|---|---|---|---|"
        yield from kept


def _kept(bar: Bar, parts: Mapping[str, Any], *, full: bool) -> Iterator[str]:
    part = parts.get(bar.module)
    found = [row for row in part["rows"] if row["name"].startswith(bar.row)] if part else []
    for row in found:
        yield line(bar.about, bar.promise, row["ours"], row["peer"], _value(row), _verdict(row))
    if not found and (full or part):
        why = " ".join(next(iter(part["left_out"].values()), "not in this run").split()) if part else "not run"
        yield line(bar.about, bar.promise, "", "", "", "", f"not measured: {why[:120]}")


def line(*cells: str) -> str:
    """One line of a table."""
    return "| " + " | ".join(cell or "—" for cell in cells) + " |"


def _value(row: Mapping[str, Any]) -> str:
    return f"{row['value']:.2f} {row['unit']}"


def _verdict(row: Mapping[str, Any]) -> str:
    if row["limit"] is None:
        return "— | "
    return (
        f"{'≤' if row['at_most'] else '≥'} {row['limit']:g} {row['unit']} | {'pass' if row['passes'] else '**short**'}"
    )


def rows(found: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """All lines of one part."""
    yield "| what | ours | peer | measured | limit | | |"
    yield "|---|---|---|---|---|---|---|"
    for row in found:
        yield line(row["name"], row["ours"], row["peer"], _value(row), _verdict(row), row["note"])


CURVES = """\
Wall seconds (CPU seconds) of the whole program at each size, medians. *Growth* is the exponent of the CPU time beyond
that of the smallest size (wall time where the work is done by processes that are killed): 1 is linear, 2 quadratic; it
stays open where nothing grows measurably. *Memory* is what each further object adds to the peak of the largest process.
"""


def grown(curves: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """A table for each unit of size."""
    for unit in dict.fromkeys(curve["unit"] for curve in curves):
        these = [curve for curve in curves if curve["unit"] == unit]
        sizes = sorted({int(size) for curve in these for size in curve["points"]})
        yield ""
        yield f"| {unit} | " + " | ".join(f"{size:,}" for size in sizes) + " | growth | memory | peak |"
        yield "|---" * (len(sizes) + 4) + "|"
        for curve in these:
            cells = [_point(curve["points"].get(str(size))) for size in sizes]
            exponent = "—" if curve["exponent"] is None else f"n^{curve['exponent']:.2f}"
            each = curve["memory_each_kib"]
            memory = f"{each:.0f} KiB each" if each is not None and each >= 1 else "—"
            peak = max(point["peak_mib"]["maximum"] for point in curve["points"].values())
            yield line(curve["name"], *cells, exponent, memory, f"{peak:.0f} MiB" if peak else "")


def _point(point: Mapping[str, Any] | None) -> str:
    if point is None:
        return "—"
    cpu = point["cpu_s"]["median"]
    return f"{point['wall_s']['median']:.2f}" + (f" ({cpu:.2f})" if cpu else "")


if __name__ == "__main__":
    sys.stdout.write(page(json.loads(RESULTS.read_text())))
