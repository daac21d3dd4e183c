"""``python -m benchmarks [--quick] [NAME …]``: every claim of speed against its peer, in one run.

Each module of BENCHMARKS has ``run(*, quick: bool)``, which gives rows or Findings. The tables go to stdout, the
figures to ``benchmarks/results.json``, where what was measured before stays until it is measured again. A full run of
all renews the pages of the documentation that show figures; ``--page`` does so in any case.

Ends with 1 if a promise is not kept or a benchmark failed, not where a peer is missing.
"""

from __future__ import annotations

import argparse
import compileall
import gc
import importlib
import importlib.util
import json
import os
import platform
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from bascule.cli.entry import ALLOCATIONS
from benchmarks import report
from benchmarks.measure import Findings

BENCHMARKS = (
    "startup",
    "site_file",
    "rehearse",
    "twin",
    "questions",
    "reachability",
    "guest_curves",
    "drawing",
    "apply",
    "curves",
    "peers",
    "data_path",
    "persist",
    "survey",
    "guests",
    "guards",
    "limits",
    "switches",
    "serve",
    "real_guests",
)
SLOW = frozenset({"data_path", "real_guests"})  # half a minute each, and more where guests are emulated
FORM = 2  # of results.json; figures of another form are not mixed in
RESULTS = Path(__file__).with_name("results.json")
TOP = Path(__file__).parents[1]


def main() -> int:
    there = tuple(name for name in BENCHMARKS if importlib.util.find_spec(f"benchmarks.{name}"))
    parser = argparse.ArgumentParser(prog="benchmarks", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="fewer runs, smaller sizes; under two minutes")
    parser.add_argument("--page", action="store_true", help="renew the documentation's figures as well")
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(there)}")
    arguments = parser.parse_args()
    unknown = set(arguments.names) - set(there)
    if unknown:
        parser.error(f"no benchmark {', '.join(sorted(unknown))}; there are {', '.join(there)}")
    gc.set_threshold(ALLOCATIONS)  # what runs in this process runs as it does in the program, and so do its peers
    compileall.compile_dir(TOP / "src", quiet=1)  # as an installation is: no verb is measured while it is compiled
    document, begun = _read(), time.monotonic()
    measured = arguments.names or tuple(name for name in there if not (arguments.quick and name in SLOW))
    for name in measured:
        document["parts"][name] = _measure(name, quick=arguments.quick)
        RESULTS.write_text(json.dumps(document, indent=1) + "\n")
    if arguments.page or not (arguments.names or arguments.quick):
        report.write(document)
    print(report.terminal(document, measured))
    print(f"measured in {(time.monotonic() - begun) / 60:.1f} minutes; all figures: {RESULTS}")
    parts = [document["parts"][name] for name in measured]
    return (
        0 if all(row["passes"] for part in parts for row in part["rows"]) and not any(p["failed"] for p in parts) else 1
    )


def _read() -> dict[str, Any]:
    """What was measured before on this machine, with today's versions."""
    machine = {
        "cores": os.cpu_count(),
        "memory_gib": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30),
        "kernel": platform.release(),
        "python": platform.python_version(),
        "iproute2": _version("ip", "-V"),
    }
    try:
        before = json.loads(RESULTS.read_text())
    except (OSError, ValueError):
        before = {}
    parts = before.get("parts", {}) if before.get("machine") == machine and before.get("form") == FORM else {}
    return {"form": FORM, "machine": machine, "parts": parts}


def _version(*argv: str) -> str:
    path = os.environ.get("PATH", os.defpath) + ":/usr/sbin:/sbin"
    try:
        return subprocess.run(argv, capture_output=True, text=True, env={"PATH": path}).stdout.strip()
    except OSError:
        return "not here"


def _measure(name: str, *, quick: bool) -> dict[str, Any]:
    """One module, with the load of the machine before and after."""
    print(f"{time.strftime('%H:%M:%S')}  {name} …", file=sys.stderr, flush=True)
    start, load, failed = time.monotonic(), os.getloadavg()[0], False
    try:
        found = importlib.import_module(f"benchmarks.{name}").run(quick=quick)
        findings = found if isinstance(found, Findings) else Findings(rows=found)
        left_out = dict(findings.left_out or {})
    except LookupError as reason:  # what it needs is not on this machine
        findings, left_out = Findings(), {name: str(reason)}
    except Exception as fault:  # one broken benchmark must not cost the others their figures
        findings, left_out, failed = Findings(), {name: f"failed: {type(fault).__name__}: {fault}"}, True
    return {
        "quick": quick,
        "failed": failed,
        "seconds": round(time.monotonic() - start, 1),
        "load": [round(load, 1), round(os.getloadavg()[0], 1)],
        "rows": [row.as_json() for row in findings.rows],
        "curves": [curve.as_json() for curve in findings.curves],
        "left_out": left_out,
    }


if __name__ == "__main__":
    sys.exit(main())
