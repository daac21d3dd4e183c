"""What was measured, as tables: for the terminal at the end of a run, and for the documentation."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.bars import BARS, Bar

TOP = Path(__file__).parents[1]
PAGE = TOP / "docs" / "reference" / "benchmarks.md"
SCALE = TOP / "docs" / "explanation" / "scale.md"

HEAD = """\
# Figures

<!-- Written by `make bench`. -->

`make bench` measures all of this anew, `make bench-quick` the small sizes within two minutes; everything happens in
namespaces of its own. Ours and a peer's runs stand in turn (A B A B), and a ratio is one of medians. Figures read
*median (minimum–maximum)*; memory is the peak of the largest process. A busy machine blurs wall time more than CPU
time, so the load average before and after each part is given.
"""
QUICK = "\n**Measured quickly**, with few runs and small sizes: {}.\n"


def write(document: Mapping[str, Any]) -> None:
    """Renew the pages that show figures: all of them in the reference, promises and curves where scale is explained."""
    PAGE.write_text(page(document))
    text = SCALE.read_text()
    parts: Mapping[str, Any] = document["parts"]
    measured = machine(document["machine"]).strip()
    text = renewed(text, "promises", [measured, "", *promises(parts)])
    text = renewed(text, "curves", list(grown(_curves(parts))))
    SCALE.write_text(text)


def renewed(text: str, name: str, lines: Sequence[str]) -> str:
    """A page with what stands between the marks of a block replaced. Raises ValueError where there is no such block."""
    begin, end = f"<!-- {name}: written by `make bench` -->\n", f"<!-- end of {name} -->\n"
    block = re.compile(re.escape(begin) + ".*?" + re.escape(end), re.DOTALL)
    if not block.search(text):
        raise ValueError(f"the page has no block for {name}")
    return block.sub(lambda _: begin + "\n" + "\n".join(lines).strip("\n") + "\n\n" + end, text)


def page(document: Mapping[str, Any]) -> str:
    """Markdown: the promises, the curves, all rows, what was left out."""
    parts: Mapping[str, Any] = document["parts"]
    blocks = [HEAD + machine(document["machine"])]
    quick = [name for name, part in parts.items() if part["quick"]]
    if quick:
        blocks.append(QUICK.format(", ".join(quick)))
    blocks.append("\n## Promises\n\n" + "\n".join(promises(parts)) + "\n")
    curves = _curves(parts)
    if curves:
        blocks.append("\n## Curves\n\n" + CURVES + "\n" + "\n".join(grown(curves)).strip("\n") + "\n")
    blocks += [section(name, part) for name, part in parts.items() if part["rows"]]
    reasons = left_out(parts)
    if reasons:
        blocks.append("\n## Left out\n\n" + "\n".join(f"* {reason}" for reason in reasons) + "\n")
    return "".join(blocks)


def terminal(document: Mapping[str, Any], measured: Sequence[str]) -> str:
    """What was measured now: everything in full, and at the end one table of the promises that it decides."""
    parts = {name: document["parts"][name] for name in measured}
    blocks = [section(name, part) for name, part in parts.items() if part["rows"]]
    curves = _curves(parts)
    if curves:
        blocks.append("\n## Curves\n\n" + "\n".join(padded(list(grown(curves)))) + "\n")
    reasons = left_out(parts)
    if reasons:
        blocks.append("\n## Left out\n\n" + "\n".join(f"* {reason}" for reason in reasons) + "\n")
    lines = [line for bar in BARS for line in _short(bar, parts)]
    if lines:
        head = ["| promise | measured | limit | |", "|---|---|---|---|"]
        blocks.append("\n## Promises\n\n" + "\n".join(padded([*head, *lines])) + "\n")
    return "".join(blocks).lstrip("\n")


def machine(facts: Mapping[str, Any]) -> str:
    """The machine, in one line."""
    return (
        f"\nMeasured on: {facts['cores']} cores, {facts['memory_gib']} GiB, Linux {facts['kernel']}, "
        f"Python {facts['python']}, {facts['iproute2']}.\n"
    )


def section(name: str, part: Mapping[str, Any]) -> str:
    """All rows of one part."""
    load = f"load {part['load'][0]} → {part['load'][1]}, {part['seconds']:g} s"
    return f"\n## {name.replace('_', ' ').capitalize()}\n\n{load}\n\n" + "\n".join(_rows(part["rows"])) + "\n"


def left_out(parts: Mapping[str, Any]) -> list[str]:
    """What could not be measured, with the reason."""
    return [f"{what}: {' '.join(why.split())}" for part in parts.values() for what, why in part["left_out"].items()]


def promises(parts: Mapping[str, Any]) -> Iterator[str]:
    """Every promise with ours, the peer, what was measured, the limit, and whether it is kept."""
    yield "| about | promise | ours | peer | measured | limit | |"
    yield "|---|---|---|---|---|---|---|"
    for bar in BARS:
        found = _decides(bar, parts)
        for row in found:
            limit, verdict = _verdict(row)
            yield _line(bar.about, bar.promise, row["ours"], row["peer"], _value(row), limit, verdict)
        if not found:
            yield _line(bar.about, bar.promise, "", "", "", "", f"not measured: {_why(bar, parts)}")


def _short(bar: Bar, parts: Mapping[str, Any]) -> Iterator[str]:
    found = _decides(bar, parts)
    for row in found:
        yield _line(bar.promise, _value(row), *_verdict(row))
    if not found and bar.module in parts:
        yield _line(bar.promise, "", "", f"not measured: {_why(bar, parts)}")


def _decides(bar: Bar, parts: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """The rows that decide a promise."""
    part = parts.get(bar.module)
    return [row for row in part["rows"] if row["name"].startswith(bar.row)] if part else []


def _why(bar: Bar, parts: Mapping[str, Any]) -> str:
    if bar.module not in parts:
        return "not run"
    reasons = parts[bar.module]["left_out"]
    return " ".join(next(iter(reasons.values()), "not in a quick run").split())[:120]


def _line(*cells: str) -> str:
    return "| " + " | ".join(cell or "—" for cell in cells) + " |"


def _value(row: Mapping[str, Any]) -> str:
    return f"{row['value']:.2f} {row['unit']}"


def _verdict(row: Mapping[str, Any]) -> tuple[str, str]:
    """The limit and whether it is kept; nothing where nothing is promised."""
    if row["limit"] is None:
        return "", ""
    limit = f"{'≤' if row['at_most'] else '≥'} {row['limit']:g} {row['unit']}"
    return limit, "pass" if row["passes"] else "**short**"


def _rows(found: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    yield "| what | ours | peer | measured | limit | | |"
    yield "|---|---|---|---|---|---|---|"
    for row in found:
        yield _line(row["name"], row["ours"], row["peer"], _value(row), *_verdict(row), row["note"])


CURVES = """\
Wall seconds (CPU seconds) of the whole program at each size, medians. *Growth* is the exponent of the CPU time beyond
that of the smallest size (wall time where the work is done by processes that are killed): 1 is linear, 2 quadratic; it
stays open where nothing grows measurably. *Memory* is what each further object adds to the peak of the largest process.
"""


def _curves(parts: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    return [curve for part in parts.values() for curve in part["curves"]]


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
            exponent = "" if curve["exponent"] is None else f"n^{curve['exponent']:.2f}"
            each = curve["memory_each_kib"]
            memory = f"{each:.0f} KiB each" if each is not None and each >= 1 else ""
            peak = max(point["peak_mib"]["maximum"] for point in curve["points"].values())
            yield _line(curve["name"], *cells, exponent, memory, f"{peak:.0f} MiB" if peak else "")


def _point(point: Mapping[str, Any] | None) -> str:
    if point is None:
        return ""
    cpu = point["cpu_s"]["median"]
    return f"{point['wall_s']['median']:.2f}" + (f" ({cpu:.2f})" if cpu else "")


def padded(lines: Sequence[str]) -> list[str]:
    """Tables with columns of one width, for the terminal."""
    result: list[str] = []
    table: list[list[str]] = []
    for line in [*lines, ""]:
        if line.startswith("|"):
            table.append([] if line.startswith("|---") else re.split(r" ?\| ?", line)[1:-1])
            continue
        widths = [max(map(len, column)) for column in zip(*(row for row in table if row), strict=True)]
        for row in table:
            cells = row or ["-" * width for width in widths]
            result.append("  ".join(cell.ljust(width) for cell, width in zip(cells, widths, strict=True)).rstrip())
        table = []
        result.append(line)
    return result[:-1]
