"""The real readers of network configuration, each in a throw-away copy of this system: nothing outside is touched.

``scripts/readers`` unpacks the packages; here they are laid over / in a mount namespace, with a network of their own.
"""

from __future__ import annotations

import fcntl
import json
import os
import subprocess
import textwrap
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from msgspec import Struct

from tests.patience import patient

TOP = Path(__file__).parents[2]
READERS = TOP / "var" / "readers"

ROOM = """\
set -e
mount --make-rprivate /
mount -t tmpfs tmpfs "$WORK"
mkdir "$WORK/upper" "$WORK/work" "$WORK/room" "$WORK/lower"
for set in $SETS; do cp -a "$set/." "$WORK/lower/"; done # a layer must not lie inside of another
mount -t overlay overlay -o "lowerdir=$WORK/lower:/,upperdir=$WORK/upper,workdir=$WORK/work" "$WORK/room"
mount -t proc proc "$WORK/room/proc"
mount -t sysfs sysfs "$WORK/room/sys"
mount -t tmpfs tmpfs "$WORK/room/run"
mount -t tmpfs tmpfs "$WORK/room/tmp"
mount --bind /dev "$WORK/room/dev"
mkdir -p "$WORK/room$TOP"
mount --bind "$TOP" "$WORK/room$TOP" # it may lie below /tmp, or on a disk of its own, which no layer shows
rm -rf "$WORK/room/etc/network/interfaces" "$WORK/room/etc/network/interfaces.d"
rm -rf "$WORK/room/etc/netplan" "$WORK/room/etc/systemd/network"
cp -a "$FILES/." "$WORK/room/"
chown -R root:root "$WORK/room/etc" 2>/dev/null || true
mkdir -p "$WORK/room/run/network" "$WORK/room/etc/network/interfaces.d"
ip link set lo up
for nic in $NICS; do
    ip link add "$nic" type veth peer name "${nic}p"
    ip link set "${nic}p" up
done
chroot "$WORK/room" ldconfig
exec chroot "$WORK/room" /bin/sh -e /script
"""


@cache
def unpacked() -> Path:
    """Where the readers are; skips the test where they cannot be had."""
    if os.geteuid() != 0:
        pytest.skip("the real readers need root for a mount namespace of their own")
    READERS.parent.mkdir(exist_ok=True)
    with (READERS.parent / ".readers.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        done = subprocess.run([TOP / "scripts" / "readers"], capture_output=True, text=True, timeout=300)
    if done.returncode != 0:
        pytest.skip(f"the real readers cannot be unpacked: {(done.stderr.strip().splitlines() or ['no apt'])[-1]}")
    return READERS


class Seen(Struct, frozen=True):
    """What a script left behind: its words, and the kernel's state at its end."""

    stdout: str
    stderr: str
    status: int
    links: Mapping[str, Any]
    routes: Sequence[Mapping[str, Any]]
    routes6: Sequence[Mapping[str, Any]]
    tables: Sequence[Mapping[str, Any]]  # routes of both families, whatever table they stand in
    rules: Sequence[Mapping[str, Any]]

    def addresses(self, link: str) -> set[str]:
        """The addresses of a link with their prefix length, without link-local ones."""
        found = self.links[link].get("addr_info", [])
        return {f"{a['local']}/{a['prefixlen']}" for a in found if a["scope"] == "global"}

    def has_link_local(self, link: str) -> bool:
        """Whether it has an fe80:: address."""
        return any(a["local"].startswith("fe80") for a in self.links[link].get("addr_info", []))


def ask(
    tmp_path: Path,
    sets: Sequence[str],
    files: Mapping[str, str],
    script: str,
    *,
    nics: Sequence[str] = (),
    timeout_s: float = 60,
) -> Seen:
    """Run a script where the files are in place and the readers installed; skips where there are no overlays."""
    layers = " ".join(str(unpacked() / name) for name in ("common", *sets))
    room, work = tmp_path / "files", tmp_path / "work"
    room.mkdir()
    work.mkdir()
    for path, text in files.items():
        place = room / path
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(text)
        place.chmod(0o600 if "system-connections" in path or "netplan/" in path else 0o644)
    asked = ["-d -j addr show", "-j route show", "-6 -j route show"]
    asked += [f"{family} -j {what}" for what in ("route show table all", "rule show") for family in ("-4", "-6")]
    tail = "; ".join(f"echo @@@; ip {words}" for words in asked)
    (room / "script").write_text(f"{textwrap.dedent(script)}\n{tail}\n")
    done = subprocess.run(
        ["unshare", "--mount", "--net", "--uts", "--pid", "--fork", "--kill-child", "sh", "-c", ROOM],
        env={
            **os.environ,
            "TOP": str(TOP),
            "WORK": str(work),
            "SETS": layers,
            "FILES": str(room),
            "NICS": " ".join(nics),
            "LC_ALL": "C",
        },
        capture_output=True,
        text=True,
        timeout=patient(timeout_s),
    )
    if "wrong fs type" in done.stderr or ("mount: " in done.stderr and "@@@" not in done.stdout):
        pytest.skip(f"no overlay file system here: {done.stderr.strip().splitlines()[0]}")
    words, *parts = done.stdout.split("@@@\n")
    found = [json.loads(part or "[]") for part in parts] if len(parts) == len(asked) else [[] for _ in asked]
    return Seen(
        stdout=words,
        stderr=done.stderr,
        status=done.returncode,
        links={link["ifname"]: link for link in found[0]},
        routes=found[1],
        routes6=found[2],
        tables=[*found[3], *found[4]],
        rules=[*found[5], *found[6]],
    )
