"""Somebody turns IPv6 off while a change stands: no IPv6 address comes back, which is said, and all else does."""

from __future__ import annotations

import json
from pathlib import Path

from tests.apply.hosts import SITE, furnish
from tests.lab import Lab


def test_on_a_tap_and_everywhere(lab: Lab, tmp_path: Path) -> None:
    bed = furnish(lab, tmp_path, SITE)
    bed.apply("--no-confirm")
    with bed.host.entered():
        Path("/proc/sys/net/ipv6/conf/vnet1/disable_ipv6").write_text("1")
        Path("/proc/sys/net/ipv6/conf/old0/disable_ipv6").write_text("1")
    undone = bed.run("undo", "--json")
    told = json.loads(undone.stdout)
    assert (undone.returncode, told["left"]) == (0, [])
    off = "IPv6 is off there by now, and its IPv6 addresses with it"
    assert {f"vnet1: {off}", f"old0: {off}"} <= set(told["kept"])
    links = {link["ifname"]: link for link in json.loads(bed.ip("-j address show"))}
    assert links["vnet1"]["master"] == "old0"
    assert {"10.0.0.5", "fd00::5"} <= {one["local"] for one in links["eth0"]["addr_info"]}
