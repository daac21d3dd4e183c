"""Cables between bridges that the file asks for: patch ports between two switches, a veth pair to a Linux bridge."""

from __future__ import annotations

import json
import re
from pathlib import Path

from tests.apply.hosts import Bed, difference, wait_for
from tests.lab import Lab, pings
from tests.ovs.stage import rows, switched, vsctl

SITE = """\
site: t
networks: {lan: {subnet: 10.0.0.0/24}, guests: {subnet: 10.1.0.0/24}}
hosts:
  h:
    nics: {eth0: {network: lan, address: 10.0.0.5/24}, eth4: {network: guests}}
    bridges:
      ovs3: {kind: openvswitch, datapath: netdev, uplink: eth4, patch: ovs4}
      ovs4: {kind: openvswitch, datapath: netdev, uplink: none, patch: [{to: br5, by: veth}]}
      br5: {uplink: none, address: 10.1.0.5/24}
guests:
  g: {host: h, memory: 1GiB, nics: [{bridge: ovs4, tap: vnet1, address: 10.1.0.11/24}]}
  k: {host: h, memory: 1GiB, nics: [{bridge: br5, tap: vnet2, address: 10.1.0.12/24}]}
"""
OPENED = "let Open vSwitch open it again: it listens on an earlier link of this name"
ON_BR5 = "10.1.0.5"  # heard on the wire by a patch, through ovs4, and by a veth pair
ENDS = {"ovs3-ovs4", "ovs4-ovs3", "ovs4-br5", "br5-ovs4"}


def plan(bed: Bed) -> dict[str, list[str]]:
    found = json.loads(bed.run("plan", str(bed.site), "--json").stdout)["changes"]
    return {one["subject"]: [each["action"] for each in found if each["subject"] == one["subject"]] for one in found}


def test_they_are_made_seen_put_right_and_taken_back(lab: Lab, tmp_path: Path) -> None:
    bed = switched(lab, tmp_path, SITE)
    bed.batch("addr add 10.1.0.1/24 dev eth4w\n", bed.wire)
    before = bed.calm()
    bed.apply("--no-confirm")
    assert plan(bed) == {}
    assert pings(bed.wire, ON_BR5)
    assert "10.1.0.1 → k icmp: YES" in bed.run("why", "10.1.0.1", "k", "--site", str(bed.site)).stdout
    text = bed.run("import").stdout
    assert text.count("patch: [{to: br5, by: veth}]") + text.count("patch: [{to: ovs4}]") == 2
    nodes = json.loads(bed.run("draw", str(bed.site), "--live", "--json").stdout)["nodes"]
    cables = {one["label"]: one["presence"] for one in nodes if one["label"] in ENDS}
    assert cables == {"ovs3-ovs4": "present", "ovs4-br5": "present"}, "one element for both ends"
    vsctl(bed, "del-port", "ovs3", "ovs3-ovs4")
    bed.ip("link del br5-ovs4")
    drift = json.loads(bed.run("status", "--json").stdout)["drift"]
    assert {line.partition(":")[0] for line in drift} == {"ovs3-ovs4", "ovs4-br5", "br5-ovs4"}
    changes = plan(bed)
    assert OPENED in changes["ovs4-br5"], "in userspace it listens on the link that has gone"
    assert changes["ovs3-ovs4"] == ["create a patch port of ovs3, which leads to ovs4-ovs3"]
    bed.apply("--no-confirm")
    assert (pings(bed.wire, ON_BR5), plan(bed)) == (True, {})
    put_anew_by_hand(bed)
    bed.site.write_text(re.sub(", patch: [^}]*?(veth}])?}", "}", SITE))
    bed.apply("--no-confirm")
    assert (ENDS & rows(bed).ports.keys(), "br5-ovs4" in bed.ip("link")) == (set(), False)
    assert not pings(bed.wire, ON_BR5, seconds=2)
    for _ in range(4):
        assert bed.run("undo").returncode == 0
    assert wait_for(lambda: difference(before, bed.raw()), lambda one: not one) == []


def put_anew_by_hand(bed: Bed) -> None:
    """Somebody makes the pair again under its name: nothing passes, everybody says so, and the plan cures it."""
    made = bed.ip("-d -j link show ovs4-br5")
    alias, mtu = (json.loads(made)[0].get(key) for key in ("ifalias", "mtu"))
    bed.ip("link del ovs4-br5")
    bed.ip(f"link add ovs4-br5 mtu {mtu} type veth peer name br5-ovs4")
    for end in ("ovs4-br5", "br5-ovs4"):
        bed.ip(f"link set {end} up alias {alias}")
    bed.ip("link set br5-ovs4 master br5")
    wait_for(lambda: OPENED in plan(bed).get("ovs4-br5", []), bool)
    assert not pings(bed.wire, ON_BR5, seconds=2)
    assert f"ovs4-br5: {OPENED}" in json.loads(bed.run("status", "--json").stdout)["drift"]
    checks = json.loads(bed.run("verify", str(bed.site), "--json").stdout)["checks"]
    assert [one["ok"] for one in checks if OPENED in one["detail"]] == [False]
    found = json.loads(bed.run("doctor", str(bed.site), "--json").stdout)["findings"]
    assert [one["subject"] for one in found if one["id"] == "openvswitch-unheard"] == ["ovs4"]
    bed.apply("--no-confirm")
    assert (pings(bed.wire, ON_BR5), plan(bed)) == (True, {})


def test_what_has_the_name_of_an_end_stays(lab: Lab, tmp_path: Path) -> None:
    bed = switched(lab, tmp_path, SITE)
    bed.ip("link add ovs4-br5 type bridge")
    told = bed.run("plan", str(bed.site)).stderr
    assert "error[NOT-A-PATCH]: 'ovs4-br5' exists on this host and is not the end of a cable to 'br5'" in told
