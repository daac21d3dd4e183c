"""Arm the dead-man: a transient systemd timer where systemd runs, else a process in a session of its own."""

from __future__ import annotations

import contextlib
import os
import select
import shutil
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bascule.apply.checkpoint import Folder
from bascule.apply.place import Place
from bascule.errors import BasculeError, CommandFailed, Problem
from bascule.system import process
from bascule.system.lockfile import start_time
from bascule.system.run import run

EARLY_S = 5.0  # a timer starts the dead-man early: it waits for the deadline itself, and misses its maker meanwhile
READY_S = 20.0  # how long a loaded machine may take to start Python
SYSTEMD = Path("/run/systemd/system")  # there when systemd is process 1 (sd_booted(3))


@dataclass(slots=True)
class Guard:
    """An armed dead-man. ``facts`` go into the journal, so that anybody can see whether it still lives."""

    facts: dict[str, Any]
    alive: int = -1  # while we hold this open, the dead-man knows that we live
    ready: int = -1
    _closed: bool = field(default=False, repr=False)

    def wait_ready(self) -> None:
        """Until it says that it watches. Raises BasculeError when it does not."""
        if self.ready < 0:
            return
        line = b""
        with contextlib.suppress(OSError):
            while not line.endswith(b"\n") and select.select([self.ready], [], [], READY_S)[0]:
                part = os.read(self.ready, 64)
                if not part:
                    break
                line += part
        os.close(self.ready)
        self.ready = -1
        if not line.strip().isdigit():
            raise BasculeError(
                Problem(
                    code="NOT-ARMED",
                    message="the dead-man did not start, so nothing was changed",
                    hint="see deadman.log in the newest folder of the state directory's checkpoints",
                )
            )
        pid = int(line)
        self.facts = {"kind": "process", "pid": pid, "started": start_time(pid)}

    def let_go(self) -> None:
        """We end; the dead-man decides alone from now on."""
        if self.alive >= 0:
            os.close(self.alive)
            self.alive = -1


def arm(place: Place, folder: Folder, window_s: float) -> Guard:
    """Start a dead-man for a checkpoint; it may still be getting ready when this returns."""
    if place.is_main and SYSTEMD.is_dir() and shutil.which("systemd-run"):
        with contextlib.suppress(CommandFailed):
            return _timer(place, folder, window_s)
    return _process(place, folder)


def _command(place: Place, folder: Folder) -> list[str]:
    return [sys.executable, "-P", "-m", "bascule.apply.deadman", str(folder.path), str(place.lock)]


def _timer(place: Place, folder: Folder, window_s: float) -> Guard:
    unit = f"bascule-deadman-{folder.number}"
    run(
        (
            "systemd-run",
            "--quiet",
            "--collect",
            f"--unit={unit}",
            f"--on-active={min(window_s, EARLY_S):.3f}s",
            "--property=Restart=on-abnormal",
            "--timer-property=AccuracySec=100ms",
            f"--description=Takes back Bascule's change {folder.number} unless it is confirmed",
            *(f"--setenv={key}={value}" for key, value in handed_over().items()),
            "--",
            *_command(place, folder),
        )
    )
    maker = os.getpid()
    return Guard({"kind": "systemd", "unit": f"{unit}.timer", "maker": maker, "started": start_time(maker)})


def handed_over() -> dict[str, str]:
    """What whoever takes back must know of our environment."""
    return {key: os.environ[key] for key in ("BASCULE_STATE_DIR", "PYTHONPATH") if key in os.environ}


def _process(place: Place, folder: Folder) -> Guard:
    alive_read, alive = os.pipe2(os.O_CLOEXEC)
    ready, ready_write = os.pipe2(os.O_CLOEXEC)
    try:
        argv = [*_command(place, folder), str(alive_read), str(ready_write)]
        process.spawn_detached(argv, log=folder.log, keep=(alive_read, ready_write))
    except BaseException:
        os.close(alive)
        os.close(ready)
        raise
    finally:
        os.close(alive_read)
        os.close(ready_write)
    return Guard({"kind": "process", "pid": 0, "started": 0}, alive, ready)


def lives(facts: dict[str, Any] | None) -> bool:
    """Whether an armed dead-man still watches."""
    if not facts:
        return False
    if facts.get("kind") == "systemd":
        timer = facts["unit"]  # or what it has started by now
        service = timer.replace(".timer", ".service")
        return run(("systemctl", "is-active", "--quiet", timer, service), check=False).status == 0
    return facts.get("pid", 0) > 0 and start_time(facts["pid"]) == facts.get("started")


def stand_down(facts: dict[str, Any] | None) -> None:
    """Tell a timer that it is not needed any more; a process finds out by itself, from the journal."""
    if facts and facts.get("kind") == "systemd":
        with contextlib.suppress(BasculeError):
            run(("systemctl", "stop", facts["unit"]), check=False)
