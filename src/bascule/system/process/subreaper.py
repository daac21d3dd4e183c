"""A parent for daemons that leave their children behind, where PID 1 is not an init that buries them.

libvirt starts each guest as a daemon and later waits until its process id is gone. In a sandbox the orphans would go
to a PID 1 that never waits for them, and libvirt would wait for a minute each time.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path

from bascule.system.net.netns import Namespace, call
from bascule.system.process.workers import Worker
from bascule.system.run import find_tool

_PR_SET_CHILD_SUBREAPER = 36  # linux/prctl.h


class Subreaper:
    """A process that starts one program on request, takes in what that leaves behind, and buries it."""

    def __init__(self, argv: Sequence[str], namespace: Namespace, log: Path) -> None:
        """Ready to ``start``. Raises MissingTool."""
        command = (find_tool("setpriv"), "--pdeathsig", "KILL", find_tool(argv[0]), *argv[1:])
        self.log = log
        log.touch()

        def live(ready: Callable[[], None]) -> None:
            call("prctl", _PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
            signals = {signal.SIGUSR1, signal.SIGCHLD}
            signal.pthread_sigmask(signal.SIG_BLOCK, signals)
            with log.open("ab") as out, namespace.entered():
                ready()
                while True:
                    if signal.sigwait(signals) == signal.SIGUSR1:
                        _launch(command, out.fileno())
                    _reap()

        self._worker = Worker(live)

    def start(self) -> None:
        """Start the program, also again after it ended."""
        os.kill(self._worker.pid, signal.SIGUSR1)

    @property
    def output(self) -> str:
        """What the program has printed until now."""
        return self.log.read_text(encoding="utf-8", errors="replace")

    def stop(self) -> None:
        """End it, the program too; its orphans live on until the sandbox ends."""
        self._worker.stop()


def _launch(command: Sequence[str], out: int) -> None:
    process = subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=out,
        stderr=out,
        env={**os.environ, "LC_ALL": "C"},
        preexec_fn=lambda: signal.pthread_sigmask(signal.SIG_SETMASK, ()),  # the mask would be inherited  # noqa: PLW1509
    )
    process.returncode = 0  # reaped below with all others, not by subprocess


def _reap() -> None:
    with contextlib.suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
