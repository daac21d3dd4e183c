"""The dead-man: takes the change back when nobody confirms it in time, or when the one who makes it dies half-way.

``python -m bascule.apply.deadman FOLDER LOCK`` as a systemd service, or with two descriptors in a session of its own:
on the first it is told of folder and lock, and hears when whoever told it ends; on the second it says that it watches.
It has imported what the way back needs, and nothing else, before it does, and asks nothing of the network. It holds the
checkpoint and the lock themselves, not their paths: a state directory that is moved or deleted does not silence it.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import socket
import sys
import time
from pathlib import Path

from bascule.apply.rollback import parts
from bascule.apply.rollback.checkpoint import Folder, LogEntry, Status
from bascule.apply.rollback.go_back import go_back
from bascule.apply.rollback.held_folder import HeldFolder
from bascule.errors import BasculeError
from bascule.system import boot
from bascule.system.disk.lockfile import HeldLock, LockHeld, end_holder
from bascule.system.process import proc
from bascule.system.process.programs import open_log

STEP_S = 0.5  # how often it looks at the clock and at the journal
STUCK_S = 5.0  # how long it waits at the deadline for whoever holds the lock, before it ends him
TRIES = 5
TOLD = "the dead-man was told to stop"
HALF_WAY = "the apply that made it ended half-way"


def main(arguments: list[str]) -> int:
    """Wait, then act if it is needed. Exit status: 0 nothing to do or taken back, 1 not taken back."""
    alive, ready = (int(arguments[0]), int(arguments[1])) if arguments[0].isdigit() else (-1, -1)
    parts.load(())  # what every way back needs, while whoever woke us still reads the site file
    charge = arguments if ready < 0 else _charge(alive)
    if not charge:
        return 0  # there was no change to watch over
    folder = Folder(Path(charge[0]))
    told = _Termination()
    try:
        held, lock = HeldFolder(folder), HeldLock(Path(charge[1]))
    except OSError as error:
        _say(f"change {folder.number} has no dead-man: {error}")
        return 1
    facts = folder.facts()
    parts.load(facts.parts if facts else ())
    if ready >= 0:
        _write_to(folder.log)
        os.write(ready, f"{os.getpid()}\n".encode())
        os.close(ready)
    _tell_systemd()
    why = wait(held, alive, told)
    return act(held, lock, why) if why else 0


def _charge(told: int) -> list[str]:
    """Folder and lock, when we are told; nothing when whoever woke us ends before."""
    line = b""
    while not line.endswith(b"\n"):
        part = os.read(told, 4096)
        if not part:
            return []
        line += part
    charge: list[str] = json.loads(line)
    return charge


def _tell_systemd() -> None:
    """That it watches, where systemd has started it (sd_notify(3))."""
    path = os.environ.pop("NOTIFY_SOCKET", "")
    if path:
        with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
            systemd.connect(path.replace("@", "\0", 1) if path.startswith("@") else path)
            systemd.send(b"READY=1")


def _write_to(path: Path) -> None:
    """What we say from now on is for whoever reads the checkpoint; a full disk does not stop us."""
    with contextlib.suppress(OSError):
        log = open_log(path)
        for fd in (1, 2):
            os.dup2(log, fd)
        os.close(log)


class _Termination:
    """SIGTERM means that the machine or the session ends: to go back at once is the only promise that can be kept."""

    def __init__(self) -> None:
        self.now = False
        for number in (signal.SIGHUP, signal.SIGINT, signal.SIGPIPE, signal.SIGTSTP):
            signal.signal(number, signal.SIG_IGN)
        signal.signal(signal.SIGTERM, self._hear)

    def _hear(self, _number: int, _frame: object) -> None:
        self.now = True


def wait(folder: HeldFolder, alive: int, told: _Termination) -> str:
    """Until it is decided; why the change must be taken back, empty when it need not."""
    while True:
        entry = folder.last()
        if entry is not None and not entry.status.is_open:
            return ""
        if folder.folder is None and (entry is None or entry.status is Status.ARMED):
            return ""  # the checkpoint was abandoned before anything was changed
        if told.now:
            return TOLD
        left_s = (entry.deadline_s if entry and entry.deadline_s is not None else 0.0) - boot.boottime_s()
        if left_s <= 0:
            return "nobody confirmed it in time"
        if alive < 0:
            if entry is not None and entry.status in {Status.ARMED, Status.CHANGING} and _maker_died(entry):
                return HALF_WAY
            time.sleep(min(left_s, STEP_S))
        elif select.select([alive], [], [], min(left_s, STEP_S))[0]:
            os.close(alive)
            alive = -1
            entry = folder.last()
            if entry is not None and entry.status in {Status.ARMED, Status.CHANGING}:
                return HALF_WAY


def _maker_died(entry: LogEntry) -> bool:
    """A service holds no end of a pipe; the journal says who its maker is."""
    facts = entry.watchdog or {}
    return "maker" in facts and proc.started(facts["maker"]) != facts.get("started")


def act(held: HeldFolder, lock: HeldLock, why: str) -> int:
    """Take it back under the lock, unless somebody else decided first."""
    with _take(lock) as taken:
        entry = held.last()
        if entry is not None and not entry.status.is_open:
            return 0
        for attempt in range(TRIES):
            try:
                with held.whole() as folder:
                    back = go_back(folder, by=f"dead-man: {why}", keep=taken.fds)
                    held.close(folder)
            except (BasculeError, OSError) as error:
                _say(f"attempt {attempt + 1} failed: {error}")
            else:
                _say(
                    f"taken back because {why}: {back.changes} changes" if back.ok else f"still different: {back.left}"
                )
                if back.ok:
                    _followed(why)
                    return 0
            time.sleep(2**attempt)  # half a minute in all: who keeps the switches is being started again, it may be
    return 1


def _take(lock: HeldLock) -> HeldLock:
    wait_s = STUCK_S
    while True:
        try:
            return lock.take("dead-man", wait_s=wait_s)
        except LockHeld as held:
            end_holder(held.path)
            wait_s = 1.0


def _followed(why: str) -> None:
    """NetworkManager, which was at rest for a change of links that it had, has them again and keeps their leases."""
    if why == TOLD:  # the machine is going down
        return
    with contextlib.suppress(Exception):  # the host is as before, whatever becomes of this
        from bascule.persist.takeover import take_over  # only now: nothing that the way back needs

        for fault in take_over(()):
            _say(fault)


def _say(text: str) -> None:
    with contextlib.suppress(OSError):  # a full disk does not stop it
        print(time.strftime("%Y-%m-%dT%H:%M:%S%z"), text, flush=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
