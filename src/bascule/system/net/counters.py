"""What the links have counted: one small file of the kernel for all of them (proc_pid_net(5), dev)."""

from __future__ import annotations

from pathlib import Path

from msgspec import Struct

_DEV = Path("/proc/thread-self/net/dev")


class Count(Struct, frozen=True):
    """Since the link was made: what the host received from it and sent by it, in bytes and frames."""

    rx_bytes: int
    rx_frames: int
    tx_bytes: int
    tx_frames: int


def read_counters() -> dict[str, Count]:
    """All links of the network namespace of the calling thread."""
    found = {}
    for line in _DEV.read_text(encoding="utf-8", errors="replace").splitlines()[2:]:
        name, _, numbers = line.rpartition(":")
        fields = numbers.split()
        if len(fields) >= 10:
            found[name.strip()] = Count(int(fields[0]), int(fields[1]), int(fields[8]), int(fields[9]))
    return found
