"""A guest whose answers the host does not hear: the reason is its bridge, and no rule for what it forwards."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.cli.test_why import DOCKER, SITE, Stage
from tests.lab import Lab

SPEAKING = SITE.replace("{uplink: none}", "{uplink: none, address: 10.0.0.1/24}")


@pytest.mark.kernel
@pytest.mark.parametrize(
    ("done", "reason"),
    [
        ("bridge fdb flush dev br0", "the entry of its own MAC is gone from the forwarding data base of br0"),
        ("bridge vlan show", ""),  # nothing
    ],
)
def test_rules_for_bridged_frames_are_not_blamed(lab: Lab, tmp_path: Path, done: str, reason: str) -> None:
    stage = Stage(lab, tmp_path)
    stage.site.write_text(SPEAKING)
    stage.do("ip address add 10.0.0.1/24 dev br0", *DOCKER, done)
    told = json.loads(lab.bascule(stage.host, "verify", str(stage.site), "--json").stdout)
    details = [one["detail"] for one in told["checks"] if one["ok"] is False and one["id"].startswith("arp")]
    assert all(reason in one and "FORWARD" not in one for one in details)
    assert bool(details) == bool(reason)
