"""The figures in the pages: their form, and that no promise is missing; not the figures themselves."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from benchmarks.__main__ import BENCHMARKS
from benchmarks.bars import BARS
from benchmarks.report import PAGE, SCALE, renewed

ROOT = Path(__file__).parents[2]


def block(name: str) -> str:
    found = re.findall(f"^<!-- {name}: written by `make bench` -->\n(.*?)^<!-- end of {name} -->$", text(), re.M | re.S)
    assert len(found) == 1, f"{SCALE.name} has {len(found)} blocks for {name}"
    return str(found[0])


def text() -> str:
    return SCALE.read_text()


def tables(lines: str) -> list[list[list[str]]]:
    """Each table as rows of cells."""
    parts = re.findall(r"(?:^\|.*\|\n)+", lines, re.M)
    return [[[cell.strip() for cell in line.strip("|").split("|")] for line in part.splitlines()] for part in parts]


def test_every_promise_stands_in_the_page_with_a_verdict() -> None:
    (rows,) = tables(block("promises"))
    assert rows[0] == ["about", "promise", "ours", "peer", "measured", "limit", ""]
    shown = {(row[0], row[1]): row for row in rows[2:]}
    assert list(shown) == [(bar.about, bar.promise) for bar in BARS]
    for row in shown.values():
        assert len(row) == 7, row
        verdict = row[6]
        assert verdict in {"pass", "**short**"} or verdict.startswith("not measured: "), row
        if verdict in {"pass", "**short**"}:
            assert re.match(r"[\d.]+ \S", row[4]), row
            assert re.match(r"[≤≥] [\d.]+ \S", row[5]), row


def test_curves_are_tables() -> None:
    found = tables(block("curves"))
    assert {rows[0][0] for rows in found} == {"bridges", "guests"}
    for rows in found:
        assert rows[0][-3:] == ["growth", "memory", "peak"]
        assert len({len(row) for row in rows}) == 1
        for row in rows[2:]:
            assert re.fullmatch(r"n\^-?[\d.]+|—", row[-3]), row


def test_the_page_of_figures_has_every_promise() -> None:
    whole = PAGE.read_text()
    for bar in BARS:
        assert f"| {bar.about} | {bar.promise} |" in whole


def test_promises_name_benchmarks_that_are_run() -> None:
    for bar in BARS:
        assert bar.module in BENCHMARKS, bar
        assert (ROOT / "benchmarks" / f"{bar.module}.py").exists(), bar
    assert len({(bar.about, bar.promise) for bar in BARS}) == len(BARS)


def test_a_block_is_renewed_and_the_rest_stays() -> None:
    page = "before\n<!-- x: written by `make bench` -->\nold\n<!-- end of x -->\nafter\n"
    new = renewed(page, "x", ["| a \\1 |"])
    assert new == "before\n<!-- x: written by `make bench` -->\n\n| a \\1 |\n\n<!-- end of x -->\nafter\n"
    assert renewed(new, "x", ["| a \\1 |"]) == new
    with pytest.raises(ValueError, match="no block for y"):
        renewed(page, "y", [])
