"""Each verb over growing hosts: 1 to 1,000 bridges with a NIC and five guests' taps each.

Whole programs, started as a user starts them, so that interpreter and imports count. Each size has a fresh namespace;
at each size the jobs are done in the order of a user: read, plan, apply, plan again, undo.
"""

from __future__ import annotations

import shutil
import sys
import time
from collections.abc import Mapping

from bascule.system.process.sandbox import sandboxed
from benchmarks.layout import Ground, scratch, site_text
from benchmarks.makers import BASCULE
from benchmarks.measure import Curve, Findings, Run, Usage, process

SIZES = (1, 10, 50, 200, 1000)  # bridges
QUICK = (1, 10, 50)
DIALECT = "networkd"
OBSERVE = (sys.executable, "-c", "from bascule.providers.observe import observe; observe()")

JOBS = {  # what is measured, and what it is called in the table
    "check": "check: read the site file",
    "plan-all": "plan: everything to do",
    "apply": "apply",
    "observe": "observe",
    "plan-none": "plan: nothing to do",
    "import-kernel": "import: the running host",
    "undo": "undo",
    "render": f"render ({DIALECT})",
    "import-files": f"import: parse the files ({DIALECT})",
}


def run(*, quick: bool) -> Findings:
    """Namespaces of our own: as root, or as a user where that is allowed."""
    runs = 1 if quick else 3
    points: dict[int, Mapping[str, Usage]] = {}
    for size in QUICK if quick else SIZES:
        points[size] = sandboxed(at, size, runs)
        time.sleep(min(size / 100, 5.0))  # the kernel takes the links away meanwhile
    return Findings(
        curves=[
            Curve(words, "bridges", {size: found[job] for size, found in points.items()}) for job, words in JOBS.items()
        ]
    )


def at(bridges: int, runs: int) -> dict[str, Usage]:
    """Inside a sandbox: what each job costs at one size."""
    found: dict[str, list[Run]] = {job: [] for job in JOBS}
    with scratch() as folder, Ground(bridges) as ground:
        site = folder / "site.yaml"
        site.write_text(site_text(bridges))

        def job(name: str, *argv: str) -> None:
            env = {"BASCULE_STATE_DIR": str(folder / "state")}
            found[name].append(process(argv, namespace=ground.host, env=env))

        process((*BASCULE, "check", str(site)))  # the first run compiles
        for _ in range(runs):
            job("check", *BASCULE, "check", str(site))
            job("plan-all", *BASCULE, "plan", str(site), "--here")
            job("apply", *BASCULE, "apply", str(site), "--here", "--yes", "--no-confirm")
            job("observe", *OBSERVE)
            job("plan-none", *BASCULE, "plan", str(site), "--here")
            job("import-kernel", *BASCULE, "import")
            job("undo", *BASCULE, "undo")
            etc = folder / "out"
            job("render", *BASCULE, "render", str(site), "--dialect", DIALECT, "-o", str(etc))
            job("import-files", *BASCULE, "import", "--root", str(etc), "--dialect", DIALECT)
            shutil.rmtree(etc)
    return {name: Usage.of(each) for name, each in found.items()}
