"""What a test run leaves behind is ended with it, also where the run itself is killed and can end nothing more.

Name servers, guests and dead-men are daemons: nobody is their parent, and they would stand until the machine restarts.
Each inherits a word of the environment by which it is found.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

MARK = "BASCULE_TEST_RUN"
IGNORED = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
ENDS_S = 5.0  # those that are being started just then are found by another look


def end_with_this_process() -> None:
    """Have a process of its own wait for the end of this one, and then end all that bears its mark."""
    me = os.getpid()
    os.environ[MARK] = str(me)
    over = os.pidfd_open(me)
    if os.fork():
        os.close(over)
        return
    os.setsid()
    for number in IGNORED:
        signal.signal(number, signal.SIG_IGN)
    select.select([over], [], [])
    of_this_run("kvm").unlink(missing_ok=True)
    limit = time.monotonic() + ENDS_S
    while (left := [*_marked(f"{MARK}={me}")]) and time.monotonic() < limit:
        for pid in left:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        time.sleep(0.05)
    os._exit(0)


def of_this_run(name: str) -> Path:
    """A file that the processes of a run share, and that goes with it."""
    return Path(tempfile.gettempdir(), f"bascule-tests-{os.environ.get(MARK, os.getppid())}.{name}")


def _marked(word: str) -> Iterator[int]:
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if word.encode() in (process / "environ").read_bytes().split(b"\0"):
                yield int(process.name)
