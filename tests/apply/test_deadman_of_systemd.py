"""A dead-man that systemd is to start watches before anything is changed, or a process does in its place.

The real systemd starts one in the machines of tests/vm; here a stand-in for it does what a real one does on bad days.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from bascule import workflow
from bascule.apply import probes
from bascule.apply.prepare import prepare
from bascule.apply.rollback import watchdog
from bascule.apply.transaction import ApplyOptions, apply
from bascule.system.disk import durable
from tests.apply.crash import in_child
from tests.apply.hosts import Bed, environment
from tests.apply.test_deadman import back, journal

UNIT = "bascule-deadman-1.service"
SYSTEMD_RUN = f"""\
#!{sys.executable}
import os, pathlib, socket, subprocess, sys, time
here = pathlib.Path(__file__).parent
day = (here / "day").read_text()
if day == "the bus hangs":
    time.sleep(600)
if day == "it is refused":
    sys.exit("Failed to start transient service unit: Access denied")
(here / "state").write_text("failed" if day == "the unit fails" else "activating")
if day == "it starts" and os.fork() == 0:
    os.setsid()
    for fd in (0, 1, 2):
        os.dup2(os.open(os.devnull, os.O_RDWR), fd)
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notified:
        notified.bind(str(here / "notify"))
        command = sys.argv[sys.argv.index("--") + 1:]
        subprocess.Popen(command, env={{**os.environ, "NOTIFY_SOCKET": str(here / "notify")}})
        time.sleep(0.3)  # nothing is changed meanwhile
        if notified.recv(64) == b"READY=1":
            (here / "state").write_text("active")
"""


def systemd(folder: Path, day: str) -> str:
    """A stand-in for systemd on such a day; PATH with it first."""
    folder.mkdir()
    (folder / "day").write_text(day)
    for name, text in (("systemd-run", SYSTEMD_RUN), ("systemctl", f"#!/bin/sh\nexec cat {folder}/state\n")):
        (folder / name).write_text(text)
        (folder / name).chmod(0o755)
    return f"{folder}:{os.environ['PATH']}"


@pytest.mark.parametrize(
    "day", ["it starts", "the unit fails", "it is refused", "the unit is never ready", "the bus hangs"]
)
def test_somebody_watches_before_anything_is_changed(
    bed: Bed, tmp_path: Path, day: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    before, site = bed.raw(), workflow.load(str(bed.site))
    monkeypatch.setattr(watchdog, "_by_systemd", lambda _: True)
    if day in {"the unit is never ready", "the bus hangs"}:
        monkeypatch.setattr(watchdog, "SYSTEMD_S", 0.5)

    def work() -> None:
        path = systemd(tmp_path / "systemd", day)
        with bed.host.entered(), environment({**bed.env, "PATH": path, "PYTHONPATH": os.pathsep.join(sys.path)}):
            probes.BEFORE_S = 0.05
            apply(prepare(site, site.hosts["h"]), ApplyOptions(window_s=2.0))

    assert in_child(work) == 0
    (path,) = bed.state.glob("*/checkpoints/000001/journal")
    guards = [record["guard"] for record in durable.records(path) if record.get("guard")]
    expected = "systemd" if day == "it starts" else "process"
    assert {guard["kind"] for guard in guards} == {expected}
    if day == "it starts":
        assert guards[0]["unit"] == UNIT
    assert back(bed, before) == []
    assert journal(bed)[-1]["by"] == "dead-man: nobody confirmed it in time"
