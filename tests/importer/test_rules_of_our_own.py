"""A host that Bascule has changed before: what a plan for the imported file would take away is said in the file."""

from __future__ import annotations

import json
from pathlib import Path

from tests.apply.hosts import ADDITION, furnish
from tests.lab import Lab

SITE = ADDITION.replace("site: t", "site: h").replace(
    "    bridges:\n", "    virtual_networks: {lab: {mode: nat, subnet: 10.77.0.0/24}}\n    bridges:\n"
)
GUARDED = "guests:\n  g: {host: h, nics: [{bridge: br3, tap: vnet1, guard: mac}]}\n"


def test_its_rules_go_with_the_next_plan(lab: Lab, tmp_path: Path) -> None:
    bed = furnish(lab, tmp_path, SITE + GUARDED)
    bed.apply("--no-confirm")
    imported = bed.run("import")
    assert imported.returncode == 0, imported.stderr
    bed.site.write_text(imported.stdout)
    plan = json.loads(bed.run("plan", str(bed.site), "--json").stdout)
    changes = [f"{change['subject']}: {change['action']}" for change in plan["changes"]]
    assert changes == ["nft bridge bascule_guards: delete its rules", "nft inet bascule_lab: delete its rules"]
    said = [line for line in imported.stdout.splitlines() if "a plan for this file does this" in line]
    assert said == [f"#   a plan for this file does this: {change}" for change in changes]
