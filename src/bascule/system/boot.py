"""The machine's own time, which nobody can set, the name of its boot, and whether systemd made that."""

from __future__ import annotations

import time
from pathlib import Path

SYSTEMD = Path("/run/systemd/system")  # there when systemd is process 1 (sd_booted(3))
_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


def has_systemd() -> bool:
    """Whether systemd runs this machine."""
    return SYSTEMD.is_dir()


def boottime_s() -> float:
    """Seconds since the machine started, sleep included; setting the clock does not move it."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


def boot_id() -> str:
    """A name that differs for every boot. Raises OSError where /proc is not mounted."""
    return _BOOT_ID.read_text().strip()
