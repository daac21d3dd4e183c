"""States on disk that an older version left, put back on a host of today as they were.

A folder below ``states-VERSION`` was written by :mod:`tests.apply.record_states` with that version and holds

* ``site.yaml``, the file that was applied,
* ``made.sh``, the commands that were run on the kernel, as ``bascule plan --commands`` printed them,
* ``made-then.sh``, those of a second change, which the state is about, with guests that ran by then,
* ``servers.json``, the words of each dnsmasq that was started,
* ``root-before`` and ``root``, the files below ``--root`` before and after; ``etc`` are the machine's own,
* ``state``, the state directory: ``host`` is the folder of the network namespace, ``guests`` that of bare QEMU.

What is bound to a machine stands between two ``@``: see ``Words``. The host itself is made by
:func:`tests.apply.hosts.furnish`, whose MACs are the same each time.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bascule.system.net.netns import Namespace
from tests.apply.hosts import Bed, raw

STATES = Path(__file__).parent / "states-0.1.0"
SO_NETNS_COOKIE = 71  # asm-generic/socket.h
BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
PARAMETERS = (
    "net/ipv4/ip_forward", "net/ipv6/conf/all/forwarding",
    *(f"net/ipv{v}/conf/*/{key}" for v, key in ((4, "arp_ignore"), (6, "accept_ra"), (6, "autoconf"))),
)  # fmt: skip


def key(namespace: Namespace) -> str:
    """The name of a namespace's folder in a state directory."""
    with namespace.entered(), socket.socket() as asked:
        return f"netns-{int.from_bytes(asked.getsockopt(socket.SOL_SOCKET, SO_NETNS_COOKIE, 8), sys.byteorder)}"


def boottime_s() -> float:
    return time.clock_gettime(time.CLOCK_BOOTTIME)


class Words:
    """What stands for what is bound to the machine, the moment or the folder; ``more`` are others of the kind.

    ``own`` is the folder of the host's namespace in the state directory, where it is the machine's.
    """

    def __init__(self, bed: Bed, more: Mapping[str, str] | None = None, *, own: str = "") -> None:
        folder = bed.site.parent
        self.own = own or key(bed.host)
        self.paths = {
            "SITE": str(bed.site),
            "ROOT": str(folder / "root"),
            "HOST": str(bed.state / self.own),
            "STATE": str(bed.state),
            **(more or {}),
        }

    def strip(self, text: str) -> str:
        """A text of the recorded state without them."""
        for word, value in self.paths.items():
            text = text.replace(value, f"@{word}@")
        text = text.replace(BOOT_ID.read_text().strip(), "@BOOT_ID@")
        text = re.sub(r'"deadline_s":[\d.]+', '"deadline_s":@DEADLINE_S@', text)
        text = re.sub(r'"boottime_s":[\d.]+', '"boottime_s":@BOOTTIME_S@', text)
        return re.sub(r'"pid":\d+,"started":\d+', '"pid":@PID@,"started":@STARTED@', text)

    def fill(self, text: str, *, watcher: int, window_s: float, boot_id: str | None = None) -> str:
        """A text of the state for here and now: ``watcher`` is the process that plays the dead-man."""
        values = {
            **self.paths,
            "BOOT_ID": boot_id or BOOT_ID.read_text().strip(),
            "BOOTTIME_S": str(boottime_s()),
            "DEADLINE_S": str(boottime_s() + window_s),
            "PID": str(watcher),
            "STARTED": start_time(watcher),
        }
        return re.sub(r"@([A-Z0-9_]+)@", lambda found: values[found[1]], text)


def start_time(pid: int) -> str:
    """When a process started, in ticks since the boot (proc_pid_stat(5), field 22); 0 for none."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2].split()[19]
    except OSError:
        return "0"


class OldState:
    """A recorded state on a host that was just furnished."""

    def __init__(self, bed: Bed, name: str, words: Words | None = None) -> None:
        self.bed = bed
        self.folder = STATES / name
        self.words = words or Words(bed)
        self.root = bed.site.parent / "root"
        bed.site.write_text(self.words.fill((self.folder / "site.yaml").read_text(), watcher=0, window_s=0.0))
        if (self.folder / "root-before").exists():
            shutil.copytree(self.folder / "root-before", self.root, symlinks=True)

    def load(self, *, watcher: int = 0, window_s: float = 60.0, boot_id: str | None = None) -> None:
        """The state on the disk, and the files that were written with the change."""
        if (self.folder / "root").exists():
            shutil.rmtree(self.root, ignore_errors=True)
            shutil.copytree(self.folder / "root", self.root, symlinks=True)
        for file in sorted(path for path in (self.folder / "state").rglob("*") if path.is_file()):
            first, *rest = file.relative_to(self.folder / "state").parts
            place = self.bed.state.joinpath(self.words.own if first == "host" else first, *rest)
            place.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            text = self.words.fill(file.read_text(), watcher=watcher, window_s=window_s, boot_id=boot_id)
            place.write_text(text)

    def make(self, script: str = "made.sh") -> None:
        """The kernel as the change left it, and its servers."""
        with self.bed.host.entered():
            subprocess.run(("sh", "-e", str(self.folder / script)), check=True, stdin=subprocess.DEVNULL)
            for words in self.servers().values():
                (self.bed.state / self.words.own / "networks").mkdir(parents=True, exist_ok=True)
                subprocess.run(("dnsmasq", *words), check=True, env=_with_sbin())

    def servers(self) -> dict[str, list[str]]:
        """The words of each dnsmasq; its pid file lies in the state, where dnsmasq itself writes it."""
        file = self.folder / "servers.json"
        if not file.exists():
            return {}
        told: dict[str, list[str]] = json.loads(self.words.fill(file.read_text(), watcher=0, window_s=0.0))
        return told

    @property
    def checkpoint(self) -> Path:
        """The folder of the recorded change."""
        return max((self.bed.state / self.words.own / "checkpoints").iterdir())

    def started(self, module: str, *words: str) -> subprocess.CompletedProcess[str]:
        """A command that a timer or unit of that version holds; it finds whatever is installed now."""
        with self.bed.host.entered():
            return subprocess.run(
                (sys.executable, "-P", "-m", module, *words), capture_output=True, text=True, stdin=subprocess.DEVNULL,
                env={**os.environ, **self.bed.env},
            )  # fmt: skip


def _with_sbin() -> dict[str, str]:
    return {**os.environ, "PATH": f"{os.environ['PATH']}:/usr/sbin:/sbin"}


def look(bed: Bed) -> dict[str, Any]:
    """All that the way back must restore, by other programs than Bascule."""
    with bed.host.entered():
        rules = subprocess.run(("nft", "list", "ruleset"), capture_output=True, text=True, check=True, env=_with_sbin())
    return {
        **raw(bed.host),
        "nft": rules.stdout,
        "sysctls": parameters(bed),
        "files": tree(bed.site.parent / "root"),
    }


def parameters(bed: Bed) -> dict[str, str]:
    """Those of the kernel's parameters that a change may set."""
    net = Path("/proc/sys")
    with bed.host.entered():
        paths = [path for glob in PARAMETERS for path in sorted(net.glob(glob))]
        return {str(path.relative_to(net)): path.read_text().strip() for path in paths}


def tree(folder: Path) -> dict[str, str]:
    """The files below a folder."""
    found = {}
    for path in sorted(folder.rglob("*")):
        if path.is_symlink():
            found[str(path.relative_to(folder))] = f"-> {path.readlink()}"
        elif path.is_file():
            found[str(path.relative_to(folder))] = path.read_text()
    return found
