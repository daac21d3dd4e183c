"""Call the command line as an administrator would, and look at the error that it prints."""

from __future__ import annotations

import os
import re
import shutil
import stat
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from bascule.system.net.netns import Namespace
from tests import prefork
from tests.lab import on_its_host
from tests.patience import HUNG_S

Done = subprocess.CompletedProcess[str]
BASCULE = (sys.executable, "-m", "bascule")
WITHOUT_RIGHTS = ("setpriv", "--bounding-set=-all", "--inh-caps=-all")  # root that may nothing


def bascule(
    *words: str, namespace: Namespace | None = None, before: Sequence[str] = (), env: dict[str, str] | None = None
) -> Done:
    """``before`` is a command that starts it, such as setpriv."""
    env = {**os.environ, "COLUMNS": "200", **(env or {})}
    enter = (f"--net=/proc/{os.getpid()}/fd/{namespace.fd}",) if namespace else ()
    with on_its_host(*words):
        if not before:
            return prefork.run(*words, env=env, namespace=namespace)
        return subprocess.run(
            (*(("nsenter", *enter) if enter else ()), *before, *BASCULE, *words), capture_output=True, text=True,
            stdin=subprocess.DEVNULL, env=env, timeout=HUNG_S,
        )  # fmt: skip


def assert_error(done: Done, code: str, said: str, *, status: int = 1, hint: str = "") -> None:
    """It ended with this error in these words, and no traceback."""
    assert f"error[{code}]: " in done.stderr, done.stdout + done.stderr
    told = done.stderr[done.stderr.index(f"error[{code}]: ") :]
    assert said in told.partition("\n\n")[0], told
    assert re.search(rf"hint: .*{re.escape(hint)}", told) if hint else True, told
    assert done.returncode == status, done.stdout + done.stderr
    assert "Traceback" not in done.stderr


def instead_of(folder: Path, tool: str, script: str) -> dict[str, str]:
    """An environment in which ``tool`` is this shell script; ``$REAL`` in it is the real one."""
    folder.mkdir(exist_ok=True)
    real = shutil.which(tool, path=f"{os.environ['PATH']}:/usr/sbin:/sbin") or tool
    place = folder / tool
    place.write_text(f"#!/bin/sh\nREAL={real}\n{script}\n")
    place.chmod(place.stat().st_mode | stat.S_IXUSR)
    return {"PATH": f"{folder}:{os.environ['PATH']}"}
