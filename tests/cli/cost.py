"""What a verb costs whatever the clock says: the programs that it starts and the heavy modules that it imports."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

from msgspec import Struct

from bascule.system.net.netns import Namespace
from tests.lab import on_its_host

# of everything that takes more than some ten milliseconds to import; a verb imports what it uses and nothing else
HEAVY = ("asyncio", "libvirt", "lxml", "pydantic", "scapy", "starlette", "uvicorn", "yaml")

# The hook stays over a fork, so the work that a verb does in a sandbox counts as well.
TRACED = """
import atexit, json, os, sys
from tests.lab import on_its_host
log = os.open(sys.argv.pop(1), os.O_WRONLY | os.O_CREAT | os.O_APPEND)
heavy = json.loads(sys.argv.pop(1))

def write(kind, what):
    os.write(log, (json.dumps([kind, what]) + "\\n").encode())

def hook(event, arguments):
    if event == "subprocess.Popen":
        write("program", [os.path.basename(os.fspath(word)) for word in arguments[1][:1]])
    elif event == "import" and arguments[0] in heavy:
        write("module", arguments[0])

sys.addaudithook(hook)
sys.argv[0] = "bascule"
import bascule.cli
bascule.cli.main()
"""


class Cost(Struct, frozen=True):
    """Programs by name with how often each was started, and which of HEAVY were imported."""

    programs: dict[str, int]
    modules: frozenset[str]
    status: int
    said: str


def cost(*words: str, log: Path, namespace: Namespace | None = None, env: dict[str, str] | None = None) -> Cost:
    """Run ``bascule WORDS`` and take note; the file ``log`` is used for it."""
    log.unlink(missing_ok=True)
    argv = (sys.executable, "-c", TRACED, str(log), json.dumps(HEAVY), *words)
    if namespace:
        with namespace.entered():
            done = _run(argv, env)
    else:
        done = _run(argv, env)
    programs: Counter[str] = Counter()
    modules = set()
    for line in log.read_text().splitlines() if log.exists() else ():
        kind, what = json.loads(line)
        if kind == "program":
            programs[what[0]] += 1
        else:
            modules.add(what)
    return Cost(dict(sorted(programs.items())), frozenset(modules), done.returncode, done.stdout + done.stderr)


def _run(argv: tuple[str, ...], env: dict[str, str] | None) -> subprocess.CompletedProcess[str]:
    with on_its_host(*argv):
        return subprocess.run(
            argv, capture_output=True, text=True, stdin=subprocess.DEVNULL, env={**os.environ, **(env or {})}
        )
