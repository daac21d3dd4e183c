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
    lab.keep(lambda: bed.run("guest", "stop", "g", "--yes", "--driver", "qemu"))
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
    guest(bed, "stop", "g", "--yes")
    assert (port(bed), port(bed, "g.1")) == (None, None)


GUARDED = """\
site: t
networks: {lan: {subnet: 10.1.0.0/24}}
hosts:
  h:
    nics: {eth4: {network: lan}}
    bridges:
      ovs3: {kind: openvswitch, datapath: netdev, uplink: eth4}
      br9: {uplink: none}
guests:
  g: {host: h, memory: 64MiB, nics: [{bridge: ovs3, address: 10.1.0.9/24, guard: strict}]}
  k: {host: h, memory: 64MiB, nics: [{bridge: br9, address: 10.1.0.10/24, guard: mac}]}
"""


@pytest.mark.kernel
def test_it_is_not_started_without_the_guard_that_it_shall_have(lab: Lab, tmp_path: Path) -> None:
    if shutil.which("qemu-system-x86_64") is None:
        pytest.skip("QEMU is not installed: no qemu-system-x86_64")
    bed = switched(lab, tmp_path, GUARDED)
    lab.keep(lambda: bed.run("guest", "stop", "g", "k", "--yes", "--driver", "qemu"))

    def refused(*words: str) -> str:
        done = bed.run("guest", *words, "--driver", "qemu")
        assert done.returncode == 1, done.stdout + done.stderr
        return done.stderr

    missing = "error[GUARD-MISSING]: 'g', NIC 0: its guard (strict) is not loaded for g.0 on ovs3\n"
    assert missing in refused("define", str(bed.site), "--here", "--start")
    told = bed.run("guest", "define", str(bed.site), "--here", "--driver", "qemu")
    assert told.returncode == 0
    assert "'k', NIC 0: its guard (mac) is not loaded for k.0 on br9; 'bascule apply SITE' loads it" in told.stderr
    assert missing in refused("start", "g")
    assert "its guard (mac) is not loaded for k.0 on br9" in refused("start", "k")
    bed.apply("--no-confirm", "--driver", "qemu")
    guest(bed, "start", "g", "k")
    # a guard of the one kind of switch holds nobody on the other
    assert "its guard (strict) is not loaded for g.0 on br9" in refused("replug", "g", "--bridge", "br9")
    assert port(bed) is not None
    # what its next start goes by follows the file, and where the file says no guard any more nothing is missing
    text = GUARDED.replace("guard: strict", "guard: off, isolated: true")
    bed.site.write_text(text.replace("guard: mac", "guard: off"))
    assert "g, NIC 0: its definition says guard off, isolated of its port" in changes(bed)
    bed.apply("--no-confirm", "--driver", "qemu")
    assert changes(bed) == []
    guest(bed, "stop", "g", "k", "--yes")
    guest(bed, "start", "g", "k")
    made = port(bed)
    assert made is not None
    assert made.protected
