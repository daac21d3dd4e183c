"""What an older version left on the disk is understood: it is told, kept and taken back by this one.

The states were recorded with version 0.1.0; how, and how they are put back, is told in tests/apply/old_states.py.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.apply.hosts import Bed, difference, furnish, wait_for
from tests.apply.old_states import OldState, look
from tests.lab import Lab

pytestmark = pytest.mark.kernel
BEFORE = "the host is as it was before"


@pytest.fixture
def bed(lab: Lab, tmp_path: Path) -> Iterator[Bed]:
    bed = furnish(lab, tmp_path)
    bed.calm()
    yield bed
    for file in bed.state.glob("*/networks/*.pid"):  # of a test that failed
        if (pid := int(file.read_text())) and _is_dnsmasq(pid):
            os.kill(pid, signal.SIGKILL)


@pytest.fixture
def watcher() -> Iterator[int]:
    """Plays the dead-man of the old version, which watches from the same place in the journal."""
    with subprocess.Popen(("sleep", "600")) as process:
        yield process.pid
        process.kill()


def _is_dnsmasq(pid: int) -> bool:
    try:
        return b"dnsmasq" in Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return False


def all_differences(before: dict[str, Any], now: dict[str, Any]) -> list[str]:
    """Everything that is not as it was: the kernel's part, rules, parameters, files."""
    own = [f"{key}: {before[key]} → {now[key]}" for key in ("nft", "files") if before[key] != now[key]]
    values = before["sysctls"]
    own += [f"{k}: {v} → {now['sysctls'].get(k)}" for k, v in values.items() if now["sysctls"].get(k) != v]
    return difference(before, now) + own


def assert_before(bed: Bed, before: dict[str, Any]) -> None:
    assert wait_for(lambda: all_differences(before, look(bed)), lambda found: not found, 5.0) == []
    assert not [pid for pid in bed.state.glob("*/networks/*.pid") if _is_dnsmasq(int(pid.read_text()))]


def undone(bed: Bed) -> str:
    done = bed.run("undo")
    assert done.returncode == 0, done.stdout + done.stderr
    assert BEFORE in done.stdout
    return done.stdout


def test_a_change_that_waits_is_taken_back(bed: Bed, watcher: int) -> None:
    state = OldState(bed, "armed")
    before = look(bed)
    state.load(watcher=watcher)
    state.make()
    assert all_differences(before, look(bed)) != []
    status = bed.status()
    assert (status["status"], status["change"], status["drift"]) == ("applied", 1, [])
    assert 0 < status["seconds_left"] <= 60
    said = bed.run("status")
    assert (said.returncode, "change 1 waits for 'bascule confirm'; it is taken back in" in said.stdout) == (0, True)
    assert "dnsmasq of lab runs" in said.stdout
    other = bed.site.with_name("other.yaml")
    other.write_text(bed.site.read_text().replace("192.168.150.", "192.168.151."))
    refused = bed.run("apply", str(other), "--yes")
    assert (refused.returncode, "error[PENDING]" in refused.stderr) == (1, True)
    said_of_it = undone(bed)
    assert "change 1 (it was not confirmed) is taken back" in said_of_it
    assert "as before: dnsmasq of lab" in said_of_it
    assert "etc/systemd/network/10-br0.network is as before" in said_of_it
    assert_before(bed, before)
    assert bed.status()["status"] is None


def test_a_change_that_waits_is_kept_and_taken_back_later(bed: Bed, watcher: int) -> None:
    state = OldState(bed, "armed")
    before = look(bed)
    state.load(watcher=watcher)
    state.make()
    made = look(bed)
    done = bed.run("confirm")
    assert done.returncode == 0, done.stderr
    assert all_differences(made, look(bed)) == []
    assert (bed.status()["status"], bed.status()["drift"]) == ("confirmed", [])
    undone(bed)
    assert_before(bed, before)


def test_the_dead_man_of_a_timer_goes_off(bed: Bed) -> None:
    """A timer that the old version set with systemd starts the module that it knew."""
    state = OldState(bed, "armed")
    before = look(bed)
    state.load(window_s=0.0)
    state.make()
    done = state.started("bascule.apply.deadman", str(state.checkpoint), str(bed.state / "lock"))
    assert done.returncode == 0, done.stdout + done.stderr
    assert_before(bed, before)
    assert "change 1 was taken back" in bed.run("status").stdout


def test_the_boot_after_a_power_cut_puts_files_back(bed: Bed) -> None:
    """A unit that the old version wrote starts the module that it knew; the kernel has lost everything by itself."""
    state = OldState(bed, "armed")
    before = look(bed)
    state.load(boot_id="00000001-0000-4000-8000-000000000000")
    assert look(bed)["files"] != before["files"]
    said = bed.run("status")
    assert said.returncode == 1
    assert "change 1 was not confirmed before the machine was restarted; the kernel has lost it" in " ".join(
        said.stdout.split()
    )
    done = bed.run("confirm")
    assert (done.returncode, "error[REBOOTED]" in done.stderr) == (1, True)
    done = state.started("bascule.apply.at_boot", "files", str(state.checkpoint), str(bed.state / "lock"))
    assert done.returncode == 0, done.stdout + done.stderr
    assert_before(bed, before)


def test_undo_after_a_restart_puts_files_back(bed: Bed) -> None:
    state = OldState(bed, "armed")
    before = look(bed)
    state.load(boot_id="00000001-0000-4000-8000-000000000000")
    done = bed.run("undo")
    assert done.returncode == 0, done.stdout + done.stderr
    assert_before(bed, before)


def test_a_confirmed_change_drifts_and_is_taken_back(bed: Bed) -> None:
    state = OldState(bed, "confirmed")
    before = look(bed)
    state.load()
    state.make()
    assert (bed.status()["status"], bed.status()["drift"]) == ("confirmed", [])
    bed.ip("link set eth4 nomaster")
    bed.ip("link set br3 mtu 1400")
    drift = bed.status()["drift"]
    assert any(line.startswith("br3: ") for line in drift), drift
    assert any(line.startswith("eth4: ") for line in drift), drift
    undone(bed)
    assert_before(bed, before)


def test_what_others_did_since_is_kept(bed: Bed) -> None:
    state = OldState(bed, "confirmed")
    state.load()
    state.make()
    bed.ip("link add docker0 type bridge")
    bed.ip("addr add 172.17.0.1/16 dev docker0")
    bed.ip("addr add 10.0.0.77/24 dev br0")
    undone(bed)
    links = bed.raw()["links"]
    assert "docker0" in links
    assert {"br0", "br3", "vn-lab"}.isdisjoint(links)
    assert links["vnet1"]["master"] == "old0"


def test_the_next_change_knows_what_the_last_one_added(bed: Bed) -> None:
    """An address that Bascule put there leaves with its subnet, and comes back with the change."""
    state = OldState(bed, "confirmed")
    before = look(bed)
    state.load()
    state.make()
    bed.site.write_text(bed.site.read_text().replace("192.168.150.", "192.168.151."))
    bed.apply("--no-confirm")
    addresses = {f"{a['local']}/{a['prefixlen']}" for a in bed.raw()["addresses"] if a["dev"] == "vn-lab"}
    assert addresses == {"192.168.151.1/24"}
    undone(bed)
    addresses = {f"{a['local']}/{a['prefixlen']}" for a in bed.raw()["addresses"] if a["dev"] == "vn-lab"}
    assert addresses == {"192.168.150.1/24"}
    undone(bed)
    assert_before(bed, before)


@pytest.mark.parametrize("name", ["half-way", "half-way-back"])
def test_what_was_ended_half_way_is_finished_by_undo(bed: Bed, name: str) -> None:
    state = OldState(bed, name)
    before = look(bed)
    state.load()
    state.make()
    said = bed.run("status")
    assert said.returncode == 1
    told = {
        "half-way": "change 1 was interrupted half-way",
        "half-way-back": "the rollback of change 1 was interrupted",
    }
    assert told[name] in said.stdout
    done = bed.run("confirm")
    assert (done.returncode, "is taken back" in done.stdout) == (1, False), done.stdout + done.stderr
    undone(bed)
    assert_before(bed, before)


def test_the_states_are_of_that_version() -> None:
    """Whoever records them anew with a later version has lost what this is for."""
    for file in (Path(__file__).parent / "states-0.1.0").rglob("checkpoint.json"):
        text = file.read_text()
        document = json.loads(text.replace("@BOOTTIME_S@", "0"))
        assert document["schema"] == "bascule/checkpoint/1", file
        assert document["before"]["schema"] == "bascule/state/1", file
