"""A rehearsal shows the plan that plan and apply make, with what providers do that its twin has not."""

from __future__ import annotations

import json
from pathlib import Path

from tests.apply.hosts import ADDITION, furnish
from tests.lab import Lab

SITE = ADDITION.replace(
    "    bridges:\n",
    "    virtual_networks: {lab: {mode: nat, subnet: 10.77.0.0/24, dhcp: 10.77.0.10-10.77.0.20}}\n    bridges:\n",
)
LIMITED = """\
guests:
  g: {host: h, nics: [{bridge: br3, tap: vnet1, guard: mac, fdb: static, limit: {up: 10Mbit, down: 20Mbit}}]}
"""


def test_with_servers_limits_and_static_entries(lab: Lab, tmp_path: Path) -> None:
    bed = furnish(lab, tmp_path, SITE + LIMITED)
    planned = json.loads(bed.run("plan", str(bed.site), "--json").stdout)
    rehearsed = json.loads(bed.run("rehearse", str(bed.site), "--json").stdout)
    assert {"dnsmasq of lab", "fdb vnet1"} <= {change["subject"] for change in planned["changes"]}
    (shown,) = rehearsed["plans"]
    assert (shown["changes"], shown["commands"]) == (planned["changes"], planned["commands"])
    assert rehearsed["notes"] == []
    applied = json.loads(bed.run("apply", str(bed.site), "--yes", "--no-confirm", "--json").stdout)
    assert applied["changes"] == planned["changes"]
