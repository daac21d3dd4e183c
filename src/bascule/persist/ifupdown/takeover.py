"""ifupdown takes the links that a change made for up, so that `ifup -a` leaves them alone.

It has no daemon, only a list of what it has brought up. A link that is not on it would be brought up once more by the
next `ifup -a`, which fails at the first address that is there already.
"""

from __future__ import annotations

import fcntl
from collections.abc import Collection, Mapping
from pathlib import Path

from bascule.errors import BasculeError
from bascule.model.values import IfName
from bascule.persist.config import LinkConfig
from bascule.persist.manager import Ours, Takeover, concerns
from bascule.persist.takeover import tell
from bascule.system.disk.durable import write_whole
from bascule.system.run import run

FOLDER = Path("/run/network")
STATE, LOCK = FOLDER / "ifstate", FOLDER / ".ifstate.lock"
LINKS = Path("/sys/class/net")


class _Ifupdown(Takeover):
    def resume_boot(self, paths: Collection[str]) -> list[str]:
        """An `allow-hotplug` link is asked for by udev, once, when it finds the NIC: before anything was put back."""
        try:
            asked = run(("ifquery", "--list", "--allow=hotplug")) if concerns(paths, ("/etc/network/",)) else None
        except BasculeError:  # not this ifupdown, or not its files
            return []
        names = [name for name in asked.stdout.split() if _is_there(name)] if asked else []
        units = run(("systemd-escape", "--template=ifup@.service", *names)).stdout.split() if names else []
        return tell("systemctl", "--no-block", "start", *units) if units else []

    def follow(self, paths: Collection[str], ours: Ours) -> list[str]:
        return _brought_up(ours()) if concerns(paths, ("/etc/network/",)) else []


TAKEOVER = _Ifupdown()


def _brought_up(ours: Mapping[IfName, LinkConfig]) -> list[str]:
    """Write the list as ifup(8) would have; what could not be done, in words.

    ifupdown2 has no such list: it asks the kernel.
    """
    if not STATE.exists():
        return []
    try:
        with LOCK.open("a") as lock:
            fcntl.lockf(lock, fcntl.LOCK_EX)
            there = {name for name in ours if (LINKS / name).exists()}
            lines = [line for line in STATE.read_text().splitlines() if _is_there(line.partition("=")[0])]
            known = {line.partition("=")[0] for line in lines}
            new = sorted(name for name in there - known if ours[name].onboot)
            for name in new:
                write_whole(FOLDER / f"ifstate.{name}", f"{name}\n".encode(), mode=0o644)
            text = "".join(f"{line}\n" for line in (*lines, *(f"{name}={name}" for name in new)))
            write_whole(STATE, text.encode(), mode=0o644)
    except OSError as error:
        return [f"ifupdown's list of what is up ({STATE}) could not be written: {error.strerror or error}"]
    return []


def _is_there(name: str) -> bool:
    """Whether the link of an entry exists; an alias (eth0:1) is part of its link."""
    return (LINKS / name.partition(":")[0]).exists()
