"""A host's own virtual networks: their dnsmasq is part of the change, of its way back, and of the status."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from bascule.apply.prepare import look
from bascule.model.site import Mode, PlugKind
from bascule.plan.make import make_plan
from bascule.providers.dnsmasq.want import script as make_again
from bascule.system.run import run
from tests.apply.hosts import Bed, difference, furnish, wait_for
from tests.guests.values import guest, nic, site, virtual_network
from tests.lab import Lab

SITE = """\
site: t
hosts:
  h:
    virtual_networks:
      lab: {mode: nat, subnet: 192.168.150.0/24, dhcp: 192.168.150.100-192.168.150.200}
guests:
  g: {host: h, nics: [{network: lab, address: dhcp}]}
"""


@pytest.fixture
def bed(lab: Lab, tmp_path: Path) -> Bed:
    return furnish(lab, tmp_path, SITE)


def pids(bed: Bed) -> dict[str, int]:
    return {p.stem: int(p.read_text()) for p in bed.state.glob("*/networks/*.pid")}


def alive(pid: int) -> bool:
    return Path(f"/proc/{pid}").exists()


def gone(pid: int) -> None:
    assert wait_for(lambda: alive(pid), lambda there: not there) is False


@pytest.mark.kernel
def test_a_network_gets_its_server_and_loses_it_again(bed: Bed) -> None:
    before = bed.raw()
    plan = bed.run("plan", str(bed.site)).stdout
    assert "dnsmasq of lab" in plan
    assert "started (DHCP and DNS)" in plan
    bed.apply()
    pid = pids(bed)["lab"]
    try:
        assert alive(pid)
        assert "nothing to do" in bed.run("plan", str(bed.site)).stdout
        status = bed.run("status")
        assert (status.returncode, f"dnsmasq of lab runs (process {pid}, 0 leases)" in status.stdout) == (0, True)

        # another range: the same bridge, another server
        bed.site.write_text(SITE.replace("150.200", "150.210"))
        assert "started anew: what it answers has changed" in bed.run("plan", str(bed.site)).stdout
        bed.apply()
        second = pids(bed)["lab"]
        gone(pid)
        bed.run("undo")
        third = pids(bed)["lab"]
        gone(second)
        assert b"150.200" in Path(f"/proc/{third}/cmdline").read_bytes()

        # it ends by itself: the status says so, and apply starts it again
        os.kill(third, signal.SIGKILL)
        gone(third)
        status = bed.run("status")
        assert status.returncode == 1
        assert "dnsmasq of lab has ended; 'bascule apply' starts it again" in status.stdout
        bed.site.write_text(SITE)
        bed.apply()
        pid = pids(bed)["lab"]
        assert alive(pid)
        bed.run("undo")
        gone(pid)

        # that was the restart; the network itself goes with the change that made it
        assert bed.run("undo").returncode == 0
        assert difference(before, bed.raw()) == []
        assert pids(bed) == {}
    finally:
        for left in pids(bed).values():
            if alive(left):
                os.kill(left, signal.SIGKILL)


@pytest.mark.kernel
def test_a_server_that_does_not_start_takes_the_change_back(bed: Bed) -> None:
    before = bed.raw()
    done = bed.run("apply", str(bed.site), "--yes", PATH=_without_dnsmasq(bed))
    assert done.returncode == 75, done.stdout + done.stderr
    assert (
        "error[DNSMASQ]: dnsmasq of virtual network 'lab' did not start: failed to bind DHCP server socket"
        in done.stderr
    )
    assert difference(before, bed.raw()) == []


def _without_dnsmasq(bed: Bed) -> str:
    """A dnsmasq that refuses, before the real one in the path."""
    folder = bed.state.parent / "bin"
    folder.mkdir()
    fake = folder / "dnsmasq"
    fake.write_text(
        "#!/bin/sh\necho 'dnsmasq: failed to bind DHCP server socket: Address already in use' >&2\nexit 2\n"
    )
    fake.chmod(0o755)
    return f"{folder}:{os.environ['PATH']}"


@pytest.mark.kernel
def test_the_script_of_a_unit_makes_the_network_again(lab: Lab, tmp_path: Path) -> None:
    """What systemd runs when the machine starts leads to what the plan wanted, and a second run changes nothing."""
    room = lab.namespace("host")
    told = site(guest("g", nic("g", 0, "lab", "dhcp", plug=PlugKind.NETWORK)), networks=(virtual_network(Mode.NAT),))
    _, wanted = make_plan(told, told.hosts["h"], look(told, told.hosts["h"], room))
    first = make_again("lab", wanted)
    script = tmp_path / "lab.sh"
    script.write_text(first)
    for _ in range(2):
        with room.entered():
            run(("sh", str(script)))
        plan, again = make_plan(told, told.hosts["h"], look(told, told.hosts["h"], room))
        assert [one.subject for one in plan.changes if one.subject != "nft inet bascule_lab"] == []  # another unit's
        assert make_again("lab", again) == first
