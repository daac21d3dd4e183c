"""A host's own virtual networks: their dnsmasq is part of the change, of its way back, and of the status."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest
from msgspec.structs import replace

from bascule.apply.prepare import look
from bascule.guests import servers
from bascule.guests.servers import ServerPart, make_again, plan_servers
from bascule.model.site import Mode, PlugKind
from bascule.model.state import HostState
from bascule.plan.make import make_plan
from bascule.system.run import run
from tests.apply.hosts import Bed, difference, furnish, wait_for
from tests.guests.values import SSH, guest, nic, resolved_network, site, virtual_network
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
        assert plan.changes == ()
        assert make_again("lab", again) == first


def test_the_unit_runs_the_very_server_and_goes_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """systemd's own part is played by a recorder here; a machine with systemd is in tests/vm."""
    told = site(networks=(virtual_network(Mode.NAT),))
    one, calls = resolved_network(told), []
    monkeypatch.setattr(servers, "UNITS", tmp_path / "units")
    (tmp_path / "units").mkdir()
    monkeypatch.setattr(servers, "run", lambda argv, **_: calls.append(argv))
    _, wanted = make_plan(told, told.hosts["h"], HostState())
    changes = plan_servers([one], tmp_path / "state", wanted, lasting=True)
    part = ServerPart(folder=tmp_path / "state", servers=changes, lasting=True)
    kept = part.keep()
    part.make(wanted)
    unit = tmp_path / "units" / "bascule-network-lab.service"
    text = unit.read_text()
    assert f"ExecStartPre={tmp_path}/state/lab.sh" in text
    assert f"PIDFile={tmp_path}/state/lab.pid" in text
    assert "dnsmasq --pid-file=" in text
    assert ("systemctl", "enable", unit.name) in calls
    assert servers.go_back(kept) == ((), ())
    assert ("systemctl", "disable", "--now", unit.name) in calls
    assert not unit.exists()
    assert not (tmp_path / "state" / "lab.sh").exists()


def test_a_network_without_a_server_is_not_made_again_when_it_is_gone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = site(networks=(replace(virtual_network(Mode.NAT), dhcp=None),))
    one, calls = resolved_network(told), []
    monkeypatch.setattr(servers, "UNITS", tmp_path)
    monkeypatch.setattr(servers, "run", lambda argv, **_: calls.append(argv))
    _, wanted = make_plan(told, told.hosts["h"], HostState())
    part = ServerPart(folder=tmp_path, servers=plan_servers([one], tmp_path, wanted, lasting=True), lasting=True)
    part.make(wanted)
    assert (tmp_path / "bascule-network-lab.service").exists()
    assert not any(change.arguments for change in part.servers), "it has no dnsmasq"
    (change,) = plan_servers([], tmp_path, HostState(), lasting=True)
    assert change.as_change().subject == "start of lab"
    assert plan_servers([], tmp_path, HostState(), lasting=False) == ()
    gone = ServerPart(folder=tmp_path, servers=(change,), lasting=True)
    kept = gone.keep()
    gone.make(HostState())
    assert ("systemctl", "disable", "--now", "bascule-network-lab.service") in calls
    assert not list(tmp_path.glob("*lab*"))
    assert plan_servers([], tmp_path, HostState(), lasting=True) == ()
    assert servers.go_back(kept) == ((), ())
    assert (tmp_path / "bascule-network-lab.service").exists()


def test_of_libvirts_network_only_the_rules_are_loaded_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    told = site(
        guest("g1", nic("g1", 0, "lab", "dhcp", plug=PlugKind.NETWORK)),
        networks=(virtual_network(Mode.NAT, forwards=(SSH,)),),
    )
    one = resolved_network(told)
    monkeypatch.setattr(servers, "UNITS", tmp_path)
    _, wanted = make_plan(told, told.hosts["h"], HostState(), by_libvirt=True)
    (change,) = plan_servers([one], tmp_path, wanted, lasting=True, by_libvirt=True)
    assert change.as_change().subject == "start of lab"
    assert plan_servers([one], tmp_path, wanted, lasting=False, by_libvirt=True) == ()
    monkeypatch.setattr(servers, "run", lambda *_, **__: None)
    ServerPart(folder=tmp_path, servers=(change,), lasting=True).make(wanted)
    script = (tmp_path / "lab.sh").read_text()
    assert "dnat ip to" in script
    assert "ip link add" not in script
    assert "ExecStart=/bin/true" in (tmp_path / "bascule-network-lab.service").read_text()
    assert plan_servers([one], tmp_path, wanted, lasting=True, by_libvirt=True) == ()
