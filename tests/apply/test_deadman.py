"""The dead-man outlives everything, acts once, and asks no clock that anybody can set."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any
from unittest import mock

import pytest

from bascule import workflow
from bascule.apply import deadman, probes, transaction
from bascule.apply.prepare import prepare
from bascule.apply.transaction import ApplyOptions, apply
from bascule.system.disk import durable
from tests.apply.crash import Faults, ForkedGuard, in_child
from tests.apply.hosts import Bed, difference, environment, journal_of, time_is_up, wait_for
from tests.patience import HUNG_S


def journal(bed: Bed) -> list[dict[str, Any]]:
    return durable.records(journal_of(bed.state))


def guard_of(bed: Bed) -> int:
    return next(int(record["guard"]["pid"]) for record in journal(bed) if "guard" in record)


def back(bed: Bed, before: dict[str, Any], timeout_s: float = 10.0) -> list[str]:
    left: list[str] = wait_for(lambda: difference(before, bed.raw()), lambda found: not found, timeout_s)
    return left


def test_it_outlives_its_maker_and_the_session(bed: Bed) -> None:
    before = bed.raw()
    process = bed.start("apply", str(bed.site), "--yes", "--confirm-within", "600s", start_new_session=True)
    process.communicate()
    pid = guard_of(bed)
    assert os.getsid(pid) == pid, "a session of its own"
    assert Path(f"/proc/{pid}/fd/0").readlink() == Path("/dev/null")
    os.kill(pid, signal.SIGHUP)
    os.kill(pid, signal.SIGINT)
    assert difference(before, bed.raw()), "it must wait, whatever hangs up"
    time_is_up(journal_of(bed.state))
    assert back(bed, before) == []
    wait_for(lambda: journal(bed)[-1]["status"], lambda status: status == "taken-back")
    assert "nobody confirmed it in time" in journal(bed)[-1]["by"]


def test_a_line_that_is_cut_stops_nothing(bed: Bed) -> None:
    """SIGHUP while the change is made: it is made to its end, and waits for its confirmation."""
    process = bed.start("apply", str(bed.site), "--yes")
    wait_for(lambda: list(bed.state.glob("*/checkpoints/000001/journal")), bool)
    process.send_signal(signal.SIGHUP)
    process.communicate()
    assert process.returncode == 0
    assert bed.status()["status"] == "applied"
    assert bed.run("undo").returncode == 0


def test_told_to_end_it_goes_back_first(bed: Bed) -> None:
    before = bed.raw()
    bed.apply()
    os.kill(guard_of(bed), signal.SIGTERM)
    assert back(bed, before) == []


def test_killed_it_is_missed(bed: Bed) -> None:
    before = bed.raw()
    bed.apply()
    os.kill(guard_of(bed), signal.SIGKILL)
    status = wait_for(bed.status, lambda found: not found["ok"])
    assert "its dead-man does not run" in status["words"]
    assert bed.run("undo").returncode == 0
    assert difference(before, bed.raw()) == []


def holds(pid: int, folder: Path) -> bool:
    """Whether a process has a file of a folder open."""
    return any(fd.readlink().is_relative_to(folder) for fd in Path(f"/proc/{pid}/fd").iterdir())


def test_two_of_them_act_once(bed: Bed) -> None:
    before = bed.raw()
    bed.apply("--confirm-within", "600s")
    (folder,) = bed.state.glob("*/checkpoints/000001")
    (lock,) = bed.state.glob("run/*/lock")
    with bed.host.entered():
        rivals = [
            subprocess.Popen((sys.executable, "-m", "bascule.apply.deadman", str(folder), str(lock))) for _ in range(2)
        ]
    everybody = {guard_of(bed), *(rival.pid for rival in rivals)}
    wait_for(lambda: all(holds(pid, folder) for pid in everybody), bool)
    time_is_up(journal_of(bed.state))
    assert [rival.wait(HUNG_S) for rival in rivals] == [0, 0]
    assert back(bed, before) == []
    assert [record["status"] for record in journal(bed)].count("taking-back") == 1


WITHOUT_ITS_DISK = """
import sys
from pathlib import Path
import bascule.apply.deadman
from bascule.apply.rollback import parts
from bascule.apply.rollback.checkpoint import Folder
from bascule.apply.rollback.go_back import go_back

class Gone:
    def find_spec(self, name, path=None, target=None):
        if name.startswith("bascule"):
            raise ImportError(f"{name} is on a disk that has gone")

folder = Folder(Path(sys.argv[1]))
parts.load(folder.facts().parts)
sys.meta_path.insert(0, Gone())
back = go_back(folder, by="a test")
print(back.left)
sys.exit(not back.ok)
"""


def test_it_has_imported_all_that_the_way_back_needs(bed: Bed) -> None:
    before = bed.calm()
    bed.apply("--no-confirm")
    (folder,) = bed.state.glob("*/checkpoints/000001")
    with bed.host.entered():
        argv = (sys.executable, "-c", WITHOUT_ITS_DISK, str(folder))
        done = subprocess.run(argv, env={**os.environ, **bed.env}, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert back(bed, before) == []


def test_confirmed_it_goes_away(bed: Bed) -> None:
    bed.apply("--confirm-within", "30s")  # long enough for a busy machine to start `confirm`
    pid = guard_of(bed)
    assert bed.run("confirm").returncode == 0
    assert wait_for(lambda: Path(f"/proc/{pid}").exists(), lambda there: not there) is False
    assert "br3" in bed.raw()["links"]


def in_process(bed: Bed, faults: Faults | None = None, **wish: Any) -> None:
    site = workflow.load(str(bed.site))

    def work() -> None:
        with bed.host.entered(), environment(bed.env):
            probes.BEFORE_S = 0.05
            ForkedGuard.install()
            if faults:
                faults.install()
            apply(prepare(site, site.hosts["h"]), ApplyOptions(**wish))

    assert in_child(work) in {0, -signal.SIGKILL}


def test_a_clock_that_jumps_moves_no_deadline(bed: Bed) -> None:
    before = bed.raw()
    moments = iter([0.0, 4e9, 1e9])
    with mock.patch("time.time", lambda: next(moments, 2e9)):
        in_process(bed, window_s=600)
    assert difference(before, bed.raw()), "not before its time"
    time.sleep(0.7)
    assert difference(before, bed.raw()), "not before its time"
    os.kill(guard_of(bed), signal.SIGTERM)
    assert back(bed, before) == []


def test_a_clock_that_jumps_hides_no_deadline(bed: Bed) -> None:
    before = bed.raw()
    moments = iter([0.0, 4e9, 1e9])
    with mock.patch("time.time", lambda: next(moments, 2e9)):
        in_process(bed, window_s=1.5)
    assert back(bed, before) == []


def test_a_stopped_apply_does_not_stop_it(bed: Bed, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ctrl-Z in the middle of the change, with the lock held."""
    before = bed.raw()
    monkeypatch.setattr(transaction, "GUARD_S", 2.0)
    monkeypatch.setattr(deadman, "STUCK_S", 0.3)
    real_kill = os.kill

    class Stop(Faults):
        def install(self) -> None:
            super().install()
            mock.patch("os.kill", lambda pid, number: real_kill(pid, signal.SIGSTOP)).start()

    in_process(bed, Stop(45), window_s=None)
    assert back(bed, before) == []


def test_after_a_restart_the_kernel_is_as_it_was_anyway(bed: Bed) -> None:
    """A power cut: the state directory as it was, another boot."""
    bed.apply()
    os.kill(guard_of(bed), signal.SIGKILL)
    (path,) = bed.state.glob("*/checkpoints/000001/journal")
    text = path.read_bytes()
    path.write_bytes(text.replace(journal(bed)[0]["boot_id"].encode(), b"an-earlier-boot-" + b"0" * 20))
    assert all(record["boot_id"].startswith("an-earlier") for record in journal(bed))
    before = bed.raw()
    status = bed.status()
    assert status["ok"] is False
    assert "restarted" in status["words"]
    confirmed = bed.run("confirm")
    assert confirmed.returncode == 1
    assert "REBOOTED" in confirmed.stderr
    undone = bed.run("undo", "--json")
    assert json.loads(undone.stdout)["ok"]
    assert difference(before, bed.raw()) == [], "nothing in the kernel is touched"
    assert bed.status()["ok"]


def test_a_torn_last_line_is_written_over(tmp_path: Path) -> None:
    path = tmp_path / "journal"
    durable.fill_folder(tmp_path, {}, path.name)
    durable.append(path, {"status": "armed"})
    text = path.read_bytes()
    path.write_bytes(text.replace(b"\0\0\0\0\0\0\0\0", b'{"stat\0\0', 1))
    assert durable.records(path) == [{"status": "armed"}]
    durable.append(path, {"status": "confirmed"})
    assert durable.records(path) == [{"status": "armed"}, {"status": "confirmed"}]
