"""A guest that bare QEMU runs on Open vSwitch: its tap is a port from its first frame on, moved by plan and by hand."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from bascule.providers.ovs.state import PortRow
from tests.apply.hosts import Bed
from tests.lab import Lab
from tests.ovs.stage import rows, switched

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
  g: {host: h, memory: 64MiB, nics: [{bridge: ovs3, vlan: 10, isolated: true, guard: off}]}
"""
TAP = "g.0"


def port(bed: Bed, tap: str = TAP) -> PortRow | None:
    return rows(bed).ports.get(tap)


def guest(bed: Bed, *words: str) -> None:
    done = bed.run("guest", *words, "--driver", "qemu")
    assert done.returncode == 0, done.stdout + done.stderr


def changes(bed: Bed) -> list[str]:
    found = json.loads(bed.run("plan", str(bed.site), "--json", "--driver", "qemu").stdout)["changes"]
    return [f"{one['subject']}: {one['action']}" for one in found]


@pytest.mark.kernel
def test_it_is_started_moved_and_stopped(lab: Lab, tmp_path: Path) -> None:
    if shutil.which("qemu-system-x86_64") is None:
        pytest.skip("QEMU is not installed: no qemu-system-x86_64")
    bed = switched(lab, tmp_path, SITE)
    lab.keep(lambda: bed.run("guest", "stop", "g", "--driver", "qemu"))
    bed.apply("--no-confirm", "--driver", "qemu")
    guest(bed, "start", "g")
    made = port(bed)
    assert made is not None
    assert (made.bridge, made.tag, made.protected) == ("ovs3", 10, True), "before anybody applies a plan"
    assert changes(bed) == []
    # by the plan, from one switch to another, to a bridge of the kernel, and back
    for into in ("ovs5", "br9", "ovs3"):
        bed.site.write_text(SITE.replace("{bridge: ovs3, vlan: 10, isolated: true,", f"{{bridge: {into},"))
        assert any(one.startswith("g, NIC 0: re-plugged from bridge") for one in changes(bed))
        bed.apply("--no-confirm", "--driver", "qemu")
        assert changes(bed) == []
        now = port(bed)
        assert (now.bridge if now is not None else "br9") == into
    # by hand
    guest(bed, "replug", "g", "--bridge", "br9")
    assert port(bed) is None
    assert '"master":"br9"' in bed.ip(f"-j link show {TAP}")
    guest(bed, "replug", "g", "--bridge", "ovs3")
    assert port(bed) is not None
    guest(bed, "attach", "g", "--bridge", "ovs5")
    extra = port(bed, "g.1")
    assert extra is not None
    assert extra.bridge == "ovs5"
    guest(bed, "stop", "g")
    assert (port(bed), port(bed, "g.1")) == (None, None)
