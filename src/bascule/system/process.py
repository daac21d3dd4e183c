"""Processes that outlive us."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Sequence
from pathlib import Path

_started: list[subprocess.Popen[bytes]] = []  # not ours to wait for; held so that nobody complains about them


def spawn_detached(argv: Sequence[str], *, log: Path, keep: Sequence[int] = ()) -> None:
    """Start a program in a session of its own, with nothing of ours but the descriptors of ``keep``.

    What it prints goes to ``log``. Raises OSError.
    """
    out = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
    try:
        _started.append(
            subprocess.Popen(
                argv,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=out,
                cwd="/",
                pass_fds=tuple(keep),
                start_new_session=True,
            )
        )
    finally:
        os.close(out)
