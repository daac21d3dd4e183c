"""What a job does inside the Debian machine, and how it says what it found."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

SITE = "/var/lib/lab-site.yaml"
DOES_NOT_LAST = ("does not follow yet", "was written by somebody else", "set again on a port")  # apply/follow.py
DIALECTS = {"networkd": "networkd", "NetworkManager": "keyfile", "netplan": "netplan", "ifupdown": "ifupdown"}
UNITS = {
    "networkd": "systemd-networkd",
    "NetworkManager": "NetworkManager",
    "netplan": "systemd-networkd",
    "ifupdown": "networking",
}
RESTARTS = {
    "networkd": ("systemctl", "restart", "systemd-networkd"),
    "NetworkManager": ("systemctl", "restart", "NetworkManager"),
    "netplan": ("netplan", "apply"),
    "ifupdown": ("systemctl", "restart", "networking"),
}
BASCULE = (sys.executable, "-m", "bascule")


def boots(number: float) -> float:
    """The seconds of so many bare boots (each three seconds or so)."""
    return number * float(sys.argv[2])


PROGRAM, SETTLE, SOON = 80, 30, 10  # at most, in bare boots: for a program, for a manager, for what comes at once
QUIET = 2  # how long a restarted manager is watched
CONFIRM, LONG = 12, 100  # how long a change waits for its confirmation; and where nobody may wait for that


def say(check: str, *, ok: bool, detail: Any = "") -> None:
    """One finding."""
    tell(json.dumps({"check": check, "ok": ok, "detail": detail, "at": uptime_s()}))


def tell(words: str) -> None:
    """A line to the lab."""
    with Path("/dev/ttyS1").open("w") as line:
        line.write(f"{words}\n")


def uptime_s() -> float:
    """Since the boot, for whoever looks where the time goes."""
    return float(Path("/proc/uptime").read_text().split()[0])


def sh(*argv: str) -> str:
    """Run a program; what it said if it failed."""
    done = subprocess.run(argv, capture_output=True, text=True, timeout=boots(PROGRAM))
    return "" if done.returncode == 0 else f"{' '.join(argv)}: {done.stdout}{done.stderr}".strip()


def output(*argv: str) -> str:
    """What a program prints."""
    return subprocess.run(argv, capture_output=True, text=True, timeout=boots(PROGRAM), check=False).stdout


def typed(check: str, *words: str, want: str = "") -> None:
    """Run a verb, which must end well and say ``want``; what it warns of beforehand is no fault, what came after is."""
    done = subprocess.run((*BASCULE, *words), capture_output=True, text=True, timeout=boots(PROGRAM))
    said = done.stdout + done.stderr
    ok = done.returncode == 0 and want in said and not any(words in said for words in DOES_NOT_LAST)
    say(check, ok=ok, detail="" if ok else f"{done.returncode}: {said[-1500:]}")


def plan_left() -> list[str]:
    """What `bascule plan` would still change."""
    done = subprocess.run((*BASCULE, "plan", SITE, "--json"), capture_output=True, text=True, timeout=boots(PROGRAM))
    if done.returncode != 0:
        return [done.stderr]
    return [f"{c['subject']}: {c['action']}" for c in json.loads(done.stdout)["changes"]]


def wait_until(done: Callable[[], Any], limit: float) -> Any:
    """Poll until there is nothing left, for so many bare boots; what is left at the end."""
    end = time.monotonic() + boots(limit)
    while (left := done()) and time.monotonic() < end:
        time.sleep(1)
    return left


def journal(manager: str) -> list[str]:
    """What the manager itself says about this boot."""
    words = ("journalctl", "--boot", "--unit", UNITS[manager], "--output", "cat")
    return subprocess.run(words, capture_output=True, text=True, check=False).stdout.splitlines()[-80:]
