"""Arm the dead-man: a transient service where systemd runs, else a process in a session of its own.

Nothing is changed before it has said that it watches. Where systemd takes the service and does not start it, it is a
process.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import shutil
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

from msgspec import Struct

from bascule.apply.rollback.checkpoint import Folder
from bascule.apply.state_directory import StateDirectory
from bascule.errors import BasculeError, CommandFailed
from bascule.system.boot import has_systemd
from bascule.system.process import proc
from bascule.system.process import programs as process
from bascule.system.run import run

READY_S = 60.0  # how long a loaded machine may take to start Python
SYSTEMD_S = 20.0  # and systemd, until a process is started in its place
LOOK_S = 0.02  # between two looks whether a service is ready


class Watchdog(Struct):
    """An armed dead-man. ``facts`` go into the journal, so that anybody can see whether it still lives."""

    facts: dict[str, Any]
    alive: int = -1  # while we hold this open, the dead-man knows that we live
    ready: int = -1
    said: int = -1  # what it prints until it is ready
    instead: Callable[[], Watchdog] | None = None  # who watches where a service does not

    def wait_ready(self) -> None:
        """Until it says that it watches. Raises BasculeError when it does not."""
        if self.instead is not None and not _is_ready(self.facts["unit"]):
            other = self.instead()  # a service that comes late sees that, too: it reads what was decided, then ends
            self.alive, self.ready, self.said = other.alive, other.ready, other.said
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
            said = os.pread(self.said, 65536, 0).decode(errors="replace").strip()
            raise BasculeError.of(
                "NOT-ARMED",
                "the dead-man did not start, so nothing was changed",
                hint=f"it said: {said.splitlines()[-1]}" if said else "it was ended, or the machine is very busy",
            )
        pid = int(line)
        self.facts = {"kind": "process", "pid": pid, "started": proc.started(pid)}

    def let_go(self) -> None:
        """We end; the dead-man decides alone from now on."""
        for name in ("alive", "ready", "said"):
            if getattr(self, name) >= 0:
                os.close(getattr(self, name))
                setattr(self, name, -1)


class StandbyWatchdog(Struct):
    """A dead-man without a charge: it has imported what it needs while the plan is made, and waits to be told.

    If nobody tells it of a change, it ends with us.
    """

    tell: int
    ready: int
    said: int

    @property
    def is_free(self) -> bool:
        """Whether it has not been told of a change yet."""
        return self.tell >= 0

    def charge(self, place: StateDirectory, folder: Folder) -> Watchdog:
        """Give it a change to watch over; it is not needed to watch over another one."""
        with contextlib.suppress(BrokenPipeError):  # it has died; `wait_ready` says so
            os.write(self.tell, json.dumps([str(folder.path), str(place.lock)]).encode() + b"\n")
        watchdog = Watchdog({"kind": "process", "pid": 0, "started": 0}, self.tell, self.ready, self.said)
        self.tell = self.ready = self.said = -1
        return watchdog

    def close(self) -> None:
        """Let it go, if it still has no charge."""
        for fd in (self.tell, self.ready, self.said):
            if fd >= 0:
                os.close(fd)
        self.tell = self.ready = self.said = -1


@contextlib.contextmanager
def standby(place: StateDirectory) -> Iterator[StandbyWatchdog | None]:
    """A dead-man that gets ready already; systemd has its own way to start one."""
    found = None
    if not _by_systemd(place):
        with contextlib.suppress(
            OSError
        ):  # whoever arms one tries again, and says so: the site file's faults come first
            found = _wake()
    try:
        yield found
    finally:
        if found is not None:
            found.close()


def arm(place: StateDirectory, folder: Folder, waiting: StandbyWatchdog | None = None) -> Watchdog:
    """Have a dead-man watch over a checkpoint; it may still be getting ready when this returns."""
    if _by_systemd(place):
        with contextlib.suppress(CommandFailed):
            return _service(place, folder)
    chosen = waiting if waiting is not None and waiting.is_free else _wake()
    return chosen.charge(place, folder)


def _by_systemd(place: StateDirectory) -> bool:
    return place.is_main and has_systemd() and shutil.which("systemd-run") is not None


def _command(*words: str) -> list[str]:
    return [sys.executable, "-P", "-m", "bascule.apply.deadman", *words]


def _wake() -> StandbyWatchdog:
    told, tell = os.pipe2(os.O_CLOEXEC)
    ready, ready_write = os.pipe2(os.O_CLOEXEC)
    said = os.memfd_create("deadman", os.MFD_CLOEXEC)
    try:
        process.spawn_detached(_command(str(told), str(ready_write)), log=said, keep=(told, ready_write))
    except BaseException:
        for fd in (tell, ready, said):
            os.close(fd)
        raise
    finally:
        os.close(told)
        os.close(ready_write)
    return StandbyWatchdog(tell, ready, said)


def _service(place: StateDirectory, folder: Folder) -> Watchdog:
    unit = f"bascule-deadman-{folder.number}.service"
    run(
        (
            "systemd-run",
            "--quiet",
            "--collect",
            "--no-block",
            f"--unit={unit}",
            "--service-type=notify",
            "--property=Restart=on-abnormal",
            f"--description=Takes back Bascule's change {folder.number} unless it is confirmed",
            *(f"--setenv={key}={value}" for key, value in handed_over().items()),
            "--",
            *_command(str(folder.path), str(place.lock)),
        ),
        timeout_s=SYSTEMD_S,
    )
    maker = os.getpid()
    facts = {"kind": "systemd", "unit": unit, "maker": maker, "started": proc.started(maker)}
    return Watchdog(facts, instead=lambda: _wake().charge(place, folder))


def _is_ready(unit: str) -> bool:
    """Whether a service has said that it is; waits for it while it is being started."""
    end = time.monotonic() + SYSTEMD_S
    with contextlib.suppress(CommandFailed):  # systemd does not answer
        while (left_s := end - time.monotonic()) > 0:
            state = run(("systemctl", "is-active", unit), check=False, timeout_s=left_s).stdout.strip()
            if state != "activating":
                return state == "active"
            time.sleep(LOOK_S)
    return False


def handed_over() -> dict[str, str]:
    """What whoever takes back must know of our environment."""
    return {key: os.environ[key] for key in ("BASCULE_STATE_DIR", "PYTHONPATH") if key in os.environ}


def lives(facts: dict[str, Any] | None) -> bool:
    """Whether an armed dead-man still watches."""
    if not facts:
        return False
    if facts.get("kind") == "systemd":
        unit = facts["unit"]  # of a change that an older version made a timer, or what it has started by now
        service = unit.replace(".timer", ".service")
        return run(("systemctl", "is-active", "--quiet", unit, service), check=False).status == 0
    return facts.get("pid", 0) > 0 and proc.started(facts["pid"]) == facts.get("started")


def disarm(facts: dict[str, Any] | None) -> None:
    """Tell an older version's timer that it is not needed any more; who runs finds out by itself, from the journal."""
    if facts and facts.get("kind") == "systemd" and facts["unit"].endswith(".timer"):
        with contextlib.suppress(BasculeError):
            run(("systemctl", "stop", facts["unit"]), check=False)
