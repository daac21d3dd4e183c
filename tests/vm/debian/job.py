"""The administrator's hands inside the Debian machine, with the verbs that he types.

First boot: `apply`, which writes the files of the manager that is there; guests are plugged in; the manager is
restarted; changes that nobody confirms come back by systemd's timer. Then a reboot, and nothing may be left to do,
before and after another restart of the manager. Started once per boot as ``job.py MANAGER``. What it finds leaves on
the second serial line, a JSON object per line.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from bascule.model.state import HostState
from bascule.observe.kernel import observe

SITE = str(Path(__file__).parent / "site.yaml")
OTHER = "/tmp/other.yaml"  # the same with one bridge more
STAGE = Path("/var/lib/lab-stage")
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
TAPS = ("web.0", "access.0", "tagged.0")
NEW = Path("/sys/class/net/br6")
SETTLE_S = 90.0
QUIET_S = 6.0  # how long a restarted manager is watched
WINDOW_S = 20


def say(check: str, *, ok: bool, detail: Any = "") -> None:
    """One finding."""
    with Path("/dev/ttyS1").open("w") as line:
        line.write(json.dumps({"check": check, "ok": ok, "detail": detail}) + "\n")


def sh(*argv: str) -> str:
    """Run a program; what it said if it failed."""
    done = subprocess.run(argv, capture_output=True, text=True, timeout=240)
    return "" if done.returncode == 0 else f"{' '.join(argv)}: {done.stdout}{done.stderr}".strip()


def bascule(*words: str) -> list[str]:
    """A verb as it is typed."""
    return [sys.executable, "-m", "bascule", *words]


def typed(check: str, *words: str, want: str = "") -> None:
    """Run a verb, which must end well and say ``want``."""
    done = subprocess.run(bascule(*words), capture_output=True, text=True, timeout=240)
    said = done.stdout + done.stderr
    ok = done.returncode == 0 and want in said and "warning: " not in said
    say(check, ok=ok, detail="" if ok else f"{done.returncode}: {said[-1500:]}")


def plan_left() -> list[str]:
    """What `bascule plan` would still change."""
    done = subprocess.run(bascule("plan", SITE, "--json"), capture_output=True, text=True, timeout=240)
    if done.returncode != 0:
        return [done.stderr]
    return [f"{c['subject']}: {c['action']}" for c in json.loads(done.stdout)["changes"]]


def wait_until(done: Callable[[], Any], timeout_s: float) -> Any:
    """Poll until there is nothing left; what is left at the end."""
    end = time.monotonic() + timeout_s
    while (left := done()) and time.monotonic() < end:
        time.sleep(1)
    return left


def masters(state: HostState) -> dict[str, str]:
    """Where the guests' taps are plugged in."""
    return {name: str(link.master) for name, link in state.links.items() if name in TAPS}


def plug() -> None:
    """The guests start, and are plugged in."""
    for tap in TAPS:
        sh("ip", "tuntap", "add", "dev", tap, "mode", "tap")
    sh("udevadm", "settle")
    typed("guests are plugged in", "apply", SITE, "--yes", "--no-confirm")
    left = plan_left()
    say("then nothing is left to do", ok=not left, detail=left)


def restart(manager: str) -> None:
    """The manager starts again: no tap leaves its bridge, and nothing is left to do."""
    before = observe()
    with subprocess.Popen(("ip", "-o", "monitor", "link"), stdout=subprocess.PIPE, text=True) as monitor:
        wrong = sh(*RESTARTS[manager])
        say(" ".join(RESTARTS[manager]), ok=not wrong, detail=wrong)
        time.sleep(QUIET_S)
        monitor.terminate()
        events = monitor.stdout.read().splitlines() if monitor.stdout else []
    moved = [line for line in events if any(f" {tap}:" in line for tap in TAPS) and " master " not in line]
    say("no tap leaves its bridge", ok=not moved and masters(observe()) == masters(before), detail=moved[:5])
    left = wait_until(plan_left, 30)
    say("after the restart nothing is left to do", ok=not left, detail=left)


def comes_back() -> None:
    """A change that nobody confirms, and one whose maker is killed, come back by systemd's timer."""
    text = Path(SITE).read_text()
    Path(OTHER).write_text(text.replace("    bridges:\n", "    bridges:\n      br6: {uplink: none}\n"))
    words = bascule("apply", OTHER, "--yes", "--confirm-within", f"{WINDOW_S}s")
    wrong = sh(*words)
    say("a change with a window is made", ok=not wrong and NEW.exists(), detail=wrong)
    timers = subprocess.run(("systemctl", "list-timers", "--all"), capture_output=True, text=True).stdout
    say("a timer of systemd watches it", ok="bascule-deadman-" in timers, detail=timers[-500:])
    _gone("a change that nobody confirms comes back")
    with subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as maker:
        end = time.monotonic() + 60
        while not NEW.exists() and time.monotonic() < end:
            time.sleep(0.002)
        os.kill(maker.pid, signal.SIGKILL)
    say("its maker is killed half-way", ok=NEW.exists(), detail="it was never made")
    _gone("a change whose maker is killed comes back")


def _gone(check: str) -> None:
    wait_until(NEW.exists, GUARD_S + WINDOW_S)
    left = plan_left()
    files = [str(path) for folder in ("/etc/systemd/network", "/etc/NetworkManager") for path in _named(folder)]
    status = json.dumps(json.loads(subprocess.run(bascule("status", "--json"), capture_output=True).stdout))
    ok = not NEW.exists() and not left and not files and "dead-man" in status
    say(check, ok=ok, detail="" if ok else [*left, *files, status[-800:]])


GUARD_S = 180.0  # a change and its checks may take two minutes before its maker is taken for dead


def _named(folder: str) -> list[Path]:
    return list(Path(folder).rglob("*br6*"))


def write(manager: str) -> None:
    """First boot: the manager runs and has nothing to do yet."""
    if manager == "netplan":
        Path("/etc/netplan/00-installer.yaml").write_text("network: {version: 2}\n")
        Path("/etc/netplan/00-installer.yaml").chmod(0o600)
    wrong = sh("systemctl", "enable", "--now", UNITS[manager])
    say(f"enable {UNITS[manager]}", ok=not wrong, detail=wrong)
    typed("apply", "apply", SITE, "--yes", "--no-confirm", want=f"kept over a restart by: {DIALECTS[manager]},")
    left = wait_until(plan_left, 30)
    say("after apply nothing is left to do", ok=not left, detail=left)
    plug()
    restart(manager)
    if manager == "networkd":
        comes_back()
    STAGE.write_text("rebooted")
    subprocess.run(("sync",), check=True)
    subprocess.run(("systemctl", "reboot"), check=True)


def look_again(manager: str) -> None:
    """Second boot: what came up by itself, and what a restart of the manager does to it."""
    left = wait_until(plan_left, SETTLE_S)
    say("after the reboot nothing is left to do", ok=not left, detail=left)
    plug()
    restart(manager)
    say("done", ok=True)
    subprocess.run(("systemctl", "poweroff", "--force"), check=True)


def main() -> None:
    """Which boot is it?"""
    manager = sys.argv[1]
    try:
        (look_again if STAGE.exists() else write)(manager)
    except BaseException as error:
        import traceback

        say("the job", ok=False, detail=traceback.format_exc()[-1500:])
        subprocess.run(("systemctl", "poweroff", "--force"), check=True)
        raise SystemExit(1) from error


if __name__ == "__main__":
    main()
