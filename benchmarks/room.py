"""This system with packages laid over it, in a mount namespace: peers run there without being installed.

NetworkManager, ifupdown or networkd on a working machine would take its network over. ``scripts/readers`` unpacks
their Debian packages below var/readers; here an overlay puts them over / for the programs of one sandbox.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

TOP = Path(__file__).parents[1]
READERS = TOP / "var" / "readers"

MOUNT = """\
set -e
mkdir -p "$WORK"
mount -t tmpfs tmpfs "$WORK"
mkdir "$WORK/upper" "$WORK/work" "$WORK/room" "$WORK/lower"
for set in $SETS; do cp -a "$set/." "$WORK/lower/"; done # a layer must not lie inside of another
mount -t overlay overlay -o "lowerdir=$WORK/lower:/,upperdir=$WORK/upper,workdir=$WORK/work" "$WORK/room"
mount -t proc proc "$WORK/room/proc"
mount -t tmpfs tmpfs "$WORK/room/run"
mount -t tmpfs tmpfs "$WORK/room/tmp"
mount --bind /dev "$WORK/room/dev"
rm -rf "$WORK/room/etc/network/interfaces" "$WORK/room/etc/network/interfaces.d"
rm -rf "$WORK/room/etc/netplan" "$WORK/room/etc/systemd/network"
mkdir -p "$WORK/room/run/network" "$WORK/room/etc/network/interfaces.d" "$WORK/room/run/dbus" "$WORK/room/run/udev/data"
chroot "$WORK/room" ldconfig
"""


class Room:
    """A room inside of a sandbox, whose end ends it. Programs run in it as ``argv`` says."""

    def __init__(self, sets: Sequence[str], files: Mapping[str, str], work: str = "/run/room") -> None:
        """``sets`` are folders below var/readers, ``files`` maps paths below / to their text.

        Raises LookupError where there is no overlay file system.
        """
        layers = " ".join(str(READERS / name) for name in ("common", *sets))
        done = subprocess.run(
            ("sh", "-c", MOUNT), env={**os.environ, "WORK": work, "SETS": layers}, capture_output=True, text=True
        )
        if done.returncode != 0:
            raise LookupError(f"no overlay file system here: {done.stderr.strip().splitlines()[0]}")
        self.path = Path(work, "room")
        for path, text in files.items():
            self.write(path, text)

    def write(self, path: str, text: str) -> None:
        """A file in the room, with the rights that its reader insists on."""
        place = self.path / path.lstrip("/")
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(text)
        place.chmod(0o600 if "system-connections" in path or "netplan/" in path else 0o644)

    def argv(self, *words: str) -> tuple[str, ...]:
        """The words that run a program in the room."""
        return ("chroot", str(self.path), *words)


def unpack() -> None:
    """Fetch and unpack the packages. Raises LookupError where that cannot be done."""
    if os.geteuid() != 0:
        raise LookupError("peers that are not installed need root for a mount namespace of their own")
    done = subprocess.run([TOP / "scripts" / "readers"], capture_output=True, text=True)
    if done.returncode != 0:
        raise LookupError(f"the packages cannot be unpacked: {(done.stderr.strip().splitlines() or ['no apt'])[-1]}")
