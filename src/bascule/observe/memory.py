"""A host's memory: /proc/meminfo, huge pages and NUMA nodes of /sys, NIC speeds, and what QEMU processes take."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator, Mapping
from pathlib import Path

from bascule.plan.capacity import Memory, MemoryCap, NumaNode

_HUGE = re.compile(r"hugepages-(\d+)kB")


def observe_memory(root: Path = Path("/")) -> Memory:
    """The memory of this host; ``root`` for a test's own /proc and /sys. Raises OSError without /proc."""
    facts = _meminfo(root / "proc/meminfo")
    nodes = tuple(
        NumaNode(
            number=int(folder.name.removeprefix("node")),
            memory=_node(folder, "MemTotal"),
            free=_node(folder, "MemFree"),
            hugepages=_hugepages(folder / "hugepages"),
        )
        for folder in sorted((root / "sys/devices/system/node").glob("node[0-9]*"))
    )
    return Memory(
        total=facts.get("MemTotal", 0),
        available=facts.get("MemAvailable"),
        hugepages=_hugepages(root / "sys/kernel/mm/hugepages"),
        nodes=nodes,
        caps=tuple(_caps(root, facts)),
        source="/proc/meminfo",
    )


def _caps(root: Path, facts: Mapping[str, int]) -> Iterator[MemoryCap]:
    """What ends earlier than the memory: strict overcommit, and control groups (libvirt's guests: machine.slice)."""
    with contextlib.suppress(OSError):
        if (root / "proc/sys/vm/overcommit_memory").read_text().strip() == "2" and "CommitLimit" in facts:
            yield MemoryCap(facts["CommitLimit"], "vm.overcommit_memory is 2, and this is the kernel's CommitLimit")
    for group in ("", "machine.slice/"):  # the first is there in a container
        name = f"sys/fs/cgroup/{group}memory.max"
        with contextlib.suppress(OSError, ValueError):  # "max": no limit
            yield MemoryCap(int((root / name).read_text()), f"/{name} says so")


def _meminfo(path: Path) -> dict[str, int]:
    found = {}
    for line in path.read_text().splitlines():
        match = re.match(r"(\w+):\s+(\d+) kB", line)
        if match:
            found[match[1]] = int(match[2]) * 1024
    return found


def _node(folder: Path, key: str) -> int:
    with contextlib.suppress(OSError):
        match = re.search(rf"{key}:\s+(\d+) kB", (folder / "meminfo").read_text())
        return int(match[1]) * 1024 if match else 0
    return 0


def _hugepages(folder: Path) -> dict[int, tuple[int, int]]:
    found = {}
    for size in sorted(folder.glob("hugepages-*")):
        match = _HUGE.fullmatch(size.name)
        with contextlib.suppress(OSError, ValueError):
            total, free = (int((size / name).read_text()) for name in ("nr_hugepages", "free_hugepages"))
            if match and total:
                found[int(match[1]) * 1024] = (total, free)
    return found


def nic_speeds() -> dict[str, int]:
    """Mbit/s of each link that knows its speed."""
    found = {}
    for folder in Path("/sys/class/net").glob("*"):
        with contextlib.suppress(OSError, ValueError):  # EINVAL without carrier
            speed = int((folder / "speed").read_text())
            if speed > 0:
                found[folder.name] = speed
    return found


def measured_overheads(root: Path = Path("/proc")) -> dict[str, int]:
    """What each running QEMU takes beside its guest's memory, in bytes, by the guest's name.

    The guest's memory is the mapping of the size that ``-m`` names; what is resident in all other mappings (``Pss``
    of smaps, so that shared libraries count once) is QEMU's own. Needs root; processes of others are left out.
    """
    found = {}
    for folder in root.glob("[0-9]*"):
        with contextlib.suppress(OSError, ValueError):
            words = (folder / "cmdline").read_bytes().decode(errors="replace").split("\0")
            if not words or "qemu" not in Path(words[0]).name or not {"-name", "-m"} <= set(words):
                continue
            name = re.sub(r"^guest=", "", words[words.index("-name") + 1]).partition(",")[0]
            memory = _guest_memory(words[words.index("-m") + 1])
            sizes = [(int(a), int(b)) for a, b in _MAPPING.findall((folder / "smaps").read_text())]
            found[name] = 1024 * sum(pss for size, pss in sizes if size * 1024 != memory)
    return found


def _guest_memory(words: str) -> int:
    """Bytes of QEMU's ``-m``: ``128``, ``2G``, ``size=98304k,slots=…``."""
    match = re.match(r"(?:size=)?(\d+)([bkKmMgGtT]?)", words)
    if not match:
        return 0
    return int(match[1]) << {"b": 0, "k": 10, "": 20, "m": 20, "g": 30, "t": 40}[match[2].lower()]


_MAPPING = re.compile(r"^Size:\s+(\d+) kB$.*?^Pss:\s+(\d+) kB$", re.M | re.S)


__all__ = ["measured_overheads", "nic_speeds", "observe_memory"]
