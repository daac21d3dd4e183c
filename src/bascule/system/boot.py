"""The machine's own time, which nobody can set, and the name of its boot."""

from __future__ import annotations

import time
from pathlib import Path

_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


def boottime_s() -> float:
    """Seconds since the machine started, sleep included; setting the clock does not move it."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


def boot_id() -> str:
    """A name that differs for every boot. Raises OSError where /proc is not mounted."""
    return _BOOT_ID.read_text().strip()
