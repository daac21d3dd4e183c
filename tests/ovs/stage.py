"""A host of the tests of apply with Open vSwitch of its own, its frames moved in userspace."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from bascule.providers.ovs.observe import observe
from bascule.providers.ovs.state import SwitchState
from bascule.system.run import run
from bascule.twin.switches import TOOLS, start
from tests.apply.hosts import SITE, Bed, furnish
from tests.lab import Lab
from tests.patience import HUNG_S

SWITCHED = (
    SITE.replace("{uplink: eth0, ", "{kind: openvswitch, datapath: netdev, uplink: eth0, ")
    .replace("{uplink: eth4}", "{kind: openvswitch, datapath: netdev, uplink: eth4}")
    .replace("br0", "ovs0")
    .replace("br3", "ovs3")
)


def require() -> None:
    """Skip with the reason where Open vSwitch is not installed."""
    missing = [tool for tool in TOOLS if shutil.which(tool, path="/usr/sbin:/usr/bin:/sbin:/bin") is None]
    if missing:
        pytest.skip(f"Open vSwitch is not installed: no {', '.join(missing)} (apt-get install openvswitch-switch)")


def switched(lab: Lab, folder: Path, site: str = SWITCHED) -> Bed:
    """The whole host: its own address moves to an internal port, a guest moves to a switch."""
    require()
    bed = furnish(lab, folder, site)
    for daemon in start(bed.host, folder / "ovs"):
        lab.keep(daemon.stop)
    return bed


def rows(bed: Bed) -> SwitchState:
    """What the database has."""
    return observe(str(bed.state.parent / "ovs/db.sock"))


def vsctl(bed: Bed, *words: str) -> str:
    """Somebody else's hand."""
    return run(("ovs-vsctl", f"--db=unix:{bed.state.parent}/ovs/db.sock", f"--timeout={HUNG_S:.0f}", *words)).stdout
