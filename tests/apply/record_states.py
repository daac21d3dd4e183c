"""Record the states that this version leaves on the disk, for the versions to come.

``python -m tests.apply.record_states NAME…`` (all of them without a name), as root, with the version installed whose
states are wanted: everything goes through its command line. What is written, and how it is put back, is told in
:mod:`tests.apply.old_states`. Guests are in :mod:`tests.apply.record_guests`, a leased address in tests/apply/
test_old_leases.py.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import stat
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from tests.apply.hosts import Bed, furnish, wait_for
from tests.apply.old_states import STATES, Words, key, parameters
from tests.lab import Lab

SITE = """\
site: t
networks:
  lan: {subnet: [10.0.0.0/24, 'fd00::/64'], gateway: 10.0.0.1}
  guests: {subnet: 10.1.0.0/24}
hosts:
  h:
    nics:
      eth0: {network: lan}
      eth4: {network: guests}
    bridges:
      br0: {uplink: eth0, address: from-uplink}
      br3: {uplink: eth4}
    virtual_networks:
      lab: {mode: nat, subnet: 192.168.150.0/24, dhcp: 192.168.150.100-192.168.150.200,
            forwards: [{host: 2222, to: n, service: tcp/22}]}
guests:
  g: {host: h, memory: 1GiB, nics: [{bridge: br3, tap: vnet1, address: 10.1.0.5/24}]}
  n: {host: h, memory: 1GiB, nics: [{network: lab, address: 192.168.150.9/24}], serves: [tcp/22]}
"""
NETWORKD = "etc/systemd/system/multi-user.target.wants/systemd-networkd.service"
FOREIGN = "etc/systemd/network/90-old0.netdev"

# `ip` as Bascule finds it: it runs a part of the batch that changes the host, and then ends who asked, and his dead-man
KILLER = """\
#!{python}
import json, os, pathlib, signal, subprocess, sys
if "-batch" not in sys.argv:
    os.execv({ip!r}, ["ip", *sys.argv[1:]])
lines = sys.stdin.read().splitlines(keepends=True)
until = next((n for n, line in enumerate(lines, 1) if line.startswith({last!r})), 0)
subprocess.run([{ip!r}, *sys.argv[1:]], input="".join(lines[:until] if until else lines), text=True, check=True)
with open({log!r}, "a") as log:
    log.writelines(f"ip {{line}}" for line in (lines[:until] if until else lines))
if until:
    (journal,) = pathlib.Path({state!r}).glob("*/checkpoints/000001/journal")
    records = [json.loads(line) for line in journal.read_text().rstrip("\\0").splitlines()]
    for pid in [one["guard"]["pid"] for one in records if one.get("guard")]:
        os.kill(pid, signal.SIGKILL)
    os.kill(os.getppid(), signal.SIGKILL)
    os.kill(os.getpid(), signal.SIGKILL)
"""


class Recorder:
    """A host on which this version makes a change."""

    def __init__(self, lab: Lab, folder: Path, site: str = SITE) -> None:
        self.bed: Bed = furnish(lab, folder, site)
        self.root = folder / "root"
        self.words = Words(self.bed)
        self.made = ""

    def files(self) -> None:
        """A root folder in which systemd-networkd starts at boot, and has a file of somebody else."""
        link = self.root / NETWORKD
        link.parent.mkdir(parents=True)
        link.symlink_to("/lib/systemd/system/systemd-networkd.service")
        foreign = self.root / FOREIGN
        foreign.parent.mkdir(parents=True)
        foreign.write_text("[NetDev]\nName=old0\nKind=bridge\n")

    def run(self, *words: str, status: int = 0, **env: str) -> str:
        """Call it as an administrator would."""
        done = self.bed.run(*words, **env)
        assert done.returncode == status, done.stdout + done.stderr
        return done.stdout

    def apply(self, *words: str) -> None:
        """Keep the commands, and make the change."""
        self.made = self.run("plan", str(self.bed.site), "--commands")
        self.run("apply", str(self.bed.site), "--yes", *words)

    def killing(self, last: str, *words: str) -> None:
        """Call it and end it, and its dead-man, when it has told ``ip`` a line that begins so."""
        tools, log = self.bed.site.parent / "bin", self.bed.site.parent / "ip.log"
        tools.mkdir(exist_ok=True)
        real = shutil.which("ip")
        text = KILLER.format(python=sys.executable, ip=real, last=last, log=str(log), state=str(self.bed.state))
        (tools / "ip").write_text(text)
        (tools / "ip").chmod((tools / "ip").stat().st_mode | stat.S_IXUSR)
        before = parameters(self.bed)
        done = self.bed.run(*words, PATH=f"{tools}:{os.environ['PATH']}")
        assert done.returncode == -signal.SIGKILL, done.stdout + done.stderr
        self.made += log.read_text()
        for name, value in parameters(self.bed).items():
            self.made += f"sysctl -q -w {name}={value}\n" if before.get(name) != value else ""

    def keep(self, name: str) -> None:
        """Write it all down."""
        into = STATES / name
        shutil.rmtree(into, ignore_errors=True)
        into.mkdir(parents=True)
        (into / "site.yaml").write_text(self.bed.site.read_text())
        (into / "made.sh").write_text(self.words.strip(self.made))
        if self.root.exists():
            copy_tree(self.root, into / "root", self.words)
        keep_state(self.bed, into / "state", self.words)
        servers = {}
        for file in sorted(self.bed.state.glob("*/networks/*.pid")):
            words = Path(f"/proc/{file.read_text().strip()}/cmdline").read_text().split("\0")
            servers[file.stem] = [self.words.strip(word) for word in words[1:-1]]
        if servers:
            (into / "servers.json").write_text(json.dumps(servers, indent=1) + "\n")

    def end(self) -> None:
        """Nothing that we started goes on."""
        self.bed.run("undo")
        self.bed.run("undo")


def copy_tree(one: Path, other: Path, words: Words) -> None:
    """Files without what is bound to the machine; links as they are."""
    for path in sorted(one.rglob("*")):
        place = other / path.relative_to(one)
        place.parent.mkdir(parents=True, exist_ok=True)
        if path.is_symlink():
            place.symlink_to(path.readlink())
        elif path.is_file():
            place.write_text(words.strip(path.read_text().rstrip("\0")))


def keep_state(bed: Bed, into: Path, words: Words) -> None:
    """The state directory; locks, logs, pid files and sockets are of the moment."""
    copy_tree(bed.state / key(bed.host), into / "host", words)
    if (bed.state / "guests").exists():
        copy_tree(bed.state / "guests", into / "guests", words)
    for path in sorted(into.rglob("*")):
        if path.is_file() and (path.suffix in {".log", ".pid", ".leases"} or path.name == "pid"):
            path.unlink()


def armed(there: Recorder) -> None:
    there.files()
    shutil.copytree(there.root, there.bed.site.parent / "root-before", symlinks=True)
    there.apply("--root", str(there.root), "--confirm-within", "60s")
    there.keep("armed")
    shutil.copytree(there.bed.site.parent / "root-before", STATES / "armed" / "root-before", symlinks=True)


def confirmed(there: Recorder) -> None:
    there.apply("--confirm-within", "60s")
    there.run("confirm")
    there.keep("confirmed")


def half_way(there: Recorder) -> None:
    """Ended when the host's own address is on both links."""
    last = "link set dev eth0 master br0"
    before, found, _ = there.run("plan", str(there.bed.site), "--commands").partition(f"ip {last}\n")
    there.killing(last, "apply", str(there.bed.site), "--yes", "--confirm-within", "60s")
    there.made = before + found
    there.keep("half-way")


def half_way_back(there: Recorder) -> None:
    """An undo that was ended when it had taken the port out."""
    there.apply("--confirm-within", "60s")
    there.killing("link set dev eth0 nomaster", "undo")
    there.keep("half-way-back")


RECORDED: dict[str, Callable[[Recorder], None]] = {
    "armed": armed, "confirmed": confirmed, "half-way": half_way, "half-way-back": half_way_back,
}  # fmt: skip


def main(names: list[str]) -> None:
    """Record them."""
    for name in names or RECORDED:
        lab = Lab()
        with tempfile.TemporaryDirectory() as folder:
            there = Recorder(lab, Path(folder))
            wait_for(there.bed.raw, lambda state: not any(a["tentative"] for a in state["addresses"]))
            try:
                RECORDED[name](there)
            finally:
                there.end()
        lab.close()


if __name__ == "__main__":
    main(sys.argv[1:])
