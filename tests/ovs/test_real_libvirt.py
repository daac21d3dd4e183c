"""A guest of a real libvirtd on a real Open vSwitch: its guard, its VLAN, moved by a plan and started again."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import pytest

from bascule.twin.test_guest.libvirtd import PrivateLibvirt
from tests.apply.hosts import Bed
from tests.lab import open_lab
from tests.ovs.stage import rows, switched, vsctl

pytestmark = [
    pytest.mark.kernel,
    pytest.mark.skipif(not os.environ.get("BASCULE_SOAK"), reason="a guest is started three times: make soak"),
    pytest.mark.skipif(shutil.which("libvirtd") is None, reason="libvirt is not installed: no libvirtd"),
]
PLUG = "bridge: ovs3, vlan: 10"
SITE = """\
site: t
networks: {lan: {subnet: 10.1.0.0/24}, ten: {vlan: 10}}
hosts:
  h:
    nics: {eth4: {network: lan}}
    bridges:
      ovs3: {kind: openvswitch, datapath: netdev, uplink: eth4}
      ovs5: {kind: openvswitch, datapath: netdev, uplink: none}
      br9: {uplink: none}
guests:
  g: {host: h, memory: 64MiB, nics: [{PLUG, mac: "52:54:00:aa:00:01", address: 10.1.0.9/24, guard: mac}]}
""".replace("PLUG", PLUG)
MISSING = "'g', NIC 0: its guard (mac) is not loaded for g.0 on ovs3"


def test_it_starts_behind_its_guard_and_goes_where_the_file_says(tmp_path: Path) -> None:
    with open_lab() as lab:
        bed = switched(lab, tmp_path, SITE)
        with PrivateLibvirt(bed.host, tmp_path / "libvirt", tmp_path / "ovs") as running:
            _walk(bed, running.uri)


def _walk(bed: Bed, uri: str) -> None:
    site = str(bed.site)

    def bascule(*words: str, status: int = 0) -> str:
        done = bed.run(*words, "--connect", uri)
        assert done.returncode == status, done.stdout + done.stderr
        return done.stdout + done.stderr

    def moved(plug: str) -> None:
        bed.site.write_text(SITE.replace(PLUG, plug))
        bascule("apply", site, "--yes", "--no-confirm")
        assert json.loads(bascule("plan", site, "--json"))["changes"] == []

    assert MISSING in bascule("guest", "define", site, "--here")  # as a warning
    assert f"error[GUARD-MISSING]: {MISSING}" in bascule("guest", "start", "g", status=1)
    bascule("apply", site, "--yes", "--no-confirm")
    bascule("guest", "start", "g")
    port = rows(bed).ports["g.0"]
    assert (port.bridge, port.tag) == ("ovs3", 10)
    assert "iface-id" in vsctl(bed, "get", "Interface", "g.0", "external_ids")
    for plug in ("bridge: ovs5, vlan: 10", "bridge: br9"):  # while it runs
        moved(plug)
    assert "master br9" in bed.ip("-o link show g.0")
    bascule("guest", "stop", "g", "--yes")
    bascule("guest", "start", "g")
    assert "master br9" in bed.ip("-o link show g.0")
    moved(PLUG)
    bascule("guest", "stop", "g", "--yes")
    bascule("guest", "start", "g")
    assert rows(bed).ports["g.0"].tag == 10
    bascule("guest", "stop", "g", "--yes")
