"""``python -m benchmarks [--quick] [NAME …]``: every claim of speed against its peer, in one run.

Each module of BENCHMARKS has ``run(*, quick: bool) -> list[Row]``. The table goes to stdout, the figures to
``benchmarks/results.json``.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import platform
import sys
from pathlib import Path

from benchmarks.measure import Row

BENCHMARKS = ("startup", "site_file", "twin", "questions", "drawing", "apply", "persist", "survey", "guests", "serve")


def main() -> int:
    parser = argparse.ArgumentParser(prog="benchmarks", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="fewer runs, smaller sizes; under two minutes")
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(BENCHMARKS)}")
    arguments = parser.parse_args()
    unknown = set(arguments.names) - set(BENCHMARKS)
    if unknown:
        parser.error(f"no benchmark {', '.join(sorted(unknown))}; there are {', '.join(BENCHMARKS)}")
    rows: list[Row] = []
    left_out: dict[str, str] = {}
    for name in arguments.names or BENCHMARKS:
        print(f"{name} …", file=sys.stderr, flush=True)
        try:
            rows += importlib.import_module(f"benchmarks.{name}").run(quick=arguments.quick)
        except LookupError as reason:  # what it needs is not on this machine
            left_out[name] = str(reason)
    print(table(rows))
    for name, why in left_out.items():
        print(f"left out: {name}: {why}")
    document = {
        "machine": {"cores": os.cpu_count(), "kernel": platform.release(), "python": platform.python_version()},
        "rows": [row.as_json() for row in rows],
        "left_out": left_out,
    }
    Path(__file__).with_name("results.json").write_text(json.dumps(document, indent=1) + "\n")
    return 0 if all(row.passes for row in rows) else 1


def table(rows: list[Row]) -> str:
    """The rows as a Markdown table."""
    lines = ["| what | ours | peer | measured | limit | |", "|---|---|---|---|---|---|"]
    for row in rows:
        bound = f"{'≤' if row.at_most else '≥'} {row.limit:g} {row.unit}"
        verdict = "pass" if row.passes else "short"
        lines.append(
            f"| {row.name} | {row.ours} | {row.peer} | {row.value:.2f} {row.unit} | {bound} | {verdict} {row.note} |"
        )
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
