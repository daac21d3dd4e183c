"""firewalld and ufw themselves on the host of the lab, with mounts of their own: this machine keeps its files."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.patience import patient
from tests.real_hosts.field import Field

FOLDERS = {"ufw": ("/etc/ufw", "/etc/default"), "firewalld": ("/etc/firewalld",)}
LIMIT = ("timeout", "--kill-after=5", str(patient(20)))  # with all that it has started, for that may hold the pipes
ENDS_S = 30.0
PROGRAMS = {"ufw": ("ufw",), "firewalld": ("firewalld", "firewall-cmd", "dbus-daemon")}


class FirewallRoom:
    """Where a firewall's own programs run: the host's network, copies of their folders, a /run with a D-Bus in it."""

    def __init__(self, field: Field, firewall: str, folder: Path) -> None:
        if missing := [name for name in PROGRAMS[firewall] if shutil.which(name) is None]:
            pytest.skip(f"{', '.join(missing)} is not installed")
        self.field, self.firewall = field, firewall
        mounts = ["mount -t tmpfs none /run", "mkdir /run/dbus /run/lock"]
        for number, name in enumerate(FOLDERS[firewall]):
            shutil.copytree(name, folder / f"{firewall}-{number}", symlinks=True)
            mounts.append(f"mount --bind {folder / f'{firewall}-{number}'} {name}")
        with field.host.entered():
            self.door = subprocess.Popen(
                ("unshare", "--mount", "--propagation", "private", "sh", "-ec",
                 f"{'; '.join(mounts)}; touch /run/ready; exec sleep infinity"),
            )  # fmt: skip
        field.lab.keep(self.close)
        self.others: list[subprocess.Popen[bytes]] = []
        self.wait("test", "-e", "/run/ready")

    def words(self, *words: str) -> tuple[str, ...]:
        # with its root: of a mount namespace alone that is the machine's, also where the tests run in a chroot
        return ("nsenter", "--target", str(self.door.pid), "--mount", "--root", "--wd", "--", *words)

    def run(self, *words: str) -> subprocess.CompletedProcess[str]:
        """Run a program here; one that asks a D-Bus, and nobody answers, would wait without end."""
        return self.field.run(*LIMIT, *self.words(*words))

    def paste(self, fix: str) -> str:
        """Type it as it was printed; what went wrong."""
        done = self.run("bash", "-ec", fix)
        return "" if done.returncode == 0 else done.stdout + done.stderr

    def wait(self, *words: str) -> None:
        end = time.monotonic() + patient(20)
        while (done := self.run(*words)).returncode:
            assert self.door.poll() is None, "its mounts could not be made"
            assert time.monotonic() < end, done.stdout + done.stderr
            time.sleep(0.1)

    def start(self) -> None:
        """Switch it on, as it is installed."""
        if self.firewall == "ufw":
            assert self.paste("ufw --force enable") == ""
            return
        for words in (("dbus-daemon", "--system", "--nofork", "--nopidfile"), ("firewalld", "--nofork", "--nopid")):
            with self.field.host.entered():
                self.others.append(subprocess.Popen(self.words(*words), stdout=subprocess.DEVNULL))
            self.wait("test", "-S", "/run/dbus/system_bus_socket")
        self.wait("firewall-cmd", "--state")

    def findings(self, site: str, id_: str) -> list[Mapping[str, Any]]:
        """What the doctor says here, under one of its headings."""
        return [one for one in self._document("doctor", site)["findings"] if one["id"] == id_]

    def why(self, *words: str) -> dict[str, Any]:
        """The answer of ``bascule why`` here."""
        return self._document("why", *words)

    def _document(self, *words: str) -> dict[str, Any]:
        command = (*LIMIT, *self.words(sys.executable, "-m", "bascule", *words, "--json"))
        with self.field.host.entered():
            done = subprocess.run(command, capture_output=True, text=True, env=self.field.env(), check=False)
        assert done.stdout, done.stderr
        found: dict[str, Any] = json.loads(done.stdout)
        return found

    def close(self) -> None:
        """End what runs here: firewalld hears no request to end while it waits for a D-Bus that does not answer."""
        for one in (*reversed(self.others), self.door):
            one.terminate()
            try:
                one.wait(ENDS_S)
            except subprocess.TimeoutExpired:
                one.kill()
                one.wait()
