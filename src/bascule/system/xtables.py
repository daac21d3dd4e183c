"""Rules on the old kernel side of iptables, arptables and ebtables, which nft does not show: where they stand.

Nothing is started: the programs themselves would load modules of the kernel.
"""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

LEGACY = {"ip_tables_names": "iptables-legacy-save", "ip6_tables_names": "ip6tables-legacy-save"}
EBTABLES = "ebtable_"  # modules of its tables
MODULES = Path("/sys/module")
TABLES = Path("/proc/thread-self/net")  # of the namespace that this thread is in


def any_tables() -> bool:
    """Whether there are tables of any of them that can be read."""
    return any(map(legacy_tables, LEGACY)) or bool(tables_of_ebtables())


def legacy_tables(names: str) -> tuple[str, ...]:
    """The tables of iptables' old kernel side, which nft does not show; ordinary users are not told."""
    with contextlib.suppress(OSError):
        return tuple((TABLES / names).read_text().split())
    return ()


def legacy_of_frames() -> tuple[str, ...]:
    """The old programs of frames whose tables stand here, which nothing saves whole (measured, arptables 0.0.5)."""
    found = {"arptables-legacy": legacy_tables("arp_tables_names"), "ebtables-legacy": tables_of_ebtables()}
    return tuple(tool for tool, tables in found.items() if tables)


def tables_of_ebtables() -> tuple[str, ...]:
    """The tables of ebtables' old kernel side, by their modules."""
    with contextlib.suppress(OSError):
        names = os.listdir(MODULES)  # noqa: PTH208  # names, of hundreds
        return tuple(sorted(name.removeprefix(EBTABLES) for name in names if name.startswith(EBTABLES)))
    return ()
