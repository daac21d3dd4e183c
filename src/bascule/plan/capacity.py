"""How many guests a host's memory holds, and how many stand behind each uplink. Pure; every figure says its source.

KSM (merged pages) is left out: what it saves today it may not save when a guest wakes up.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from msgspec import Struct
from msgspec.structs import replace

from bascule.model.domain import Domain
from bascule.model.site import Guest, Host, Site
from bascule.model.values import human

MIB, GIB = 1 << 20, 1 << 30

# What a QEMU process takes beside the guest's memory. Measured on QEMU 7.2 (q35, one virtio NIC), as Pss of all
# mappings but the guest's own: 56 MiB with 1 vCPU, 59 MiB with 4 or with a display; its emulation (TCG) takes 46 to
# 52 MiB more. The figures below are those, rounded up for vhost threads, disks and a growing heap.
QEMU_BASE = 64 * MIB
QEMU_PER_VCPU = 4 * MIB
QEMU_VIDEO = 16 * MIB  # the display's own memory, all of which a desktop touches
QEMU_TCG = 64 * MIB
OVERHEAD_SOURCE = "estimate from QEMU 7.2: 64 MiB, 4 MiB per vCPU, 16 MiB with a display, 64 MiB without KVM"
PAGE_TABLES = 512  # bytes of memory for each byte of page table: 8 bytes map 4 KiB, in the host's and in KVM's tables
RESERVE_BASE = 1 * GIB  # the host's own system, and what its page cache needs to stay usable
RESERVE_SHARE = 20  # a twentieth of what is above that
NEXT_SIZES = (512 * MIB, 1 * GIB, 2 * GIB, 4 * GIB, 8 * GIB, 16 * GIB, 32 * GIB, 64 * GIB)


class NumaNode(Struct, frozen=True, kw_only=True):
    """A NUMA node: memory in bytes, and its huge pages by size as (total, free)."""

    number: int
    memory: int
    free: int
    hugepages: Mapping[int, tuple[int, int]]


class MemoryCap(Struct, frozen=True):
    """What guests may take together whatever the host has, in bytes, and who says so."""

    most: int
    words: str


class Memory(Struct, frozen=True, kw_only=True):
    """A host's memory in bytes. ``available`` is the kernel's MemAvailable; ``source`` says where it is from."""

    total: int
    available: int | None = None
    hugepages: Mapping[int, tuple[int, int]]
    nodes: tuple[NumaNode, ...] = ()
    caps: tuple[MemoryCap, ...] = ()
    source: str = ""


class MemoryNeed(Struct, frozen=True, kw_only=True):
    """What one guest needs, in bytes. ``measured`` is what its process has resident now beside the guest's memory."""

    name: str
    memory: int
    overhead: int
    page_tables: int
    hugepage: int | None = None
    nodes: tuple[int, ...] = ()
    running: bool = False
    declared: bool = True
    source: str = OVERHEAD_SOURCE

    @property
    def total(self) -> int:
        """All of it."""
        return self.memory + self.overhead + self.page_tables

    @property
    def ordinary(self) -> int:
        """What comes out of ordinary memory: not the guest's own where that is in huge pages."""
        return self.total if self.hugepage is None else self.overhead + self.page_tables


class UplinkLoad(Struct, frozen=True, kw_only=True):
    """The guests whose frames share an uplink."""

    uplink: str
    bridge: str
    guests: tuple[str, ...]
    speed: int | None = None  # Mbit/s

    @property
    def share(self) -> float | None:
        """What is left for each guest when all of them send, in Mbit/s."""
        return self.speed / len(self.guests) if self.speed and self.guests else None


class Headroom(Struct, frozen=True, kw_only=True):
    """Whether one more guest of a size fits: ``left`` bytes would remain (negative: are missing)."""

    size: int
    left: int

    @property
    def fits(self) -> bool:
        """Whether it does."""
        return self.left >= 0


class Capacity(Struct, frozen=True, kw_only=True):
    """The account of one host. ``limit`` is what guests may take; ``used`` what they take, in bytes.

    ``remark`` is about the memory: that the site file says another, or that this machine was not asked.
    """

    host: str
    memory: Memory
    reserve: int
    needs: tuple[MemoryNeed, ...]
    uplinks: tuple[UplinkLoad, ...]
    warnings: tuple[str, ...] = ()
    left_out: tuple[str, ...] = ()  # what this user could not see
    remark: str = ""

    @property
    def reserved_hugepages(self) -> int:
        """Memory that is set aside for huge pages, whether they are used or not."""
        return sum(size * total for size, (total, _) in self.memory.hugepages.items())

    @property
    def cap(self) -> MemoryCap | None:
        """What allows the guests less than the host has."""
        lowest = min(self.memory.caps, key=lambda cap: cap.most, default=None)
        there = self.memory.total - self.reserve - self.reserved_hugepages
        return lowest if lowest is not None and lowest.most < there else None

    @property
    def limit(self) -> int:
        """What ordinary memory the guests may take."""
        return self.cap.most if self.cap else self.memory.total - self.reserve - self.reserved_hugepages

    @property
    def used(self) -> int:
        """What they take of it."""
        return sum(need.ordinary for need in self.needs)

    @property
    def left(self) -> int:
        """What is left; negative where it is too little."""
        return self.limit - self.used

    @property
    def verdict(self) -> str:
        """``fits``, ``over-limit`` (the host's reserve is eaten) or ``over-memory`` (more than there is)."""
        if self.left >= 0:
            return "fits"
        there = self.memory.total - self.reserved_hugepages
        return "over-limit" if self.used <= there and not self.cap else "over-memory"

    def next_guests(self) -> tuple[Headroom, ...]:
        """What one more guest of each size would do."""
        return tuple(Headroom(size=size, left=self.left - guest_need("", size).ordinary) for size in NEXT_SIZES)


def reserve(total: int) -> int:
    """What the host keeps for itself: 1 GiB and a twentieth of the rest; half of a host that has less than 2 GiB."""
    if total < 2 * RESERVE_BASE:
        return total // 2
    return RESERVE_BASE + (total - RESERVE_BASE) // RESERVE_SHARE


def guest_need(
    name: str,
    memory: int,
    *,
    vcpus: int = 1,
    video: bool = False,
    emulated: bool = False,
    hugepage: int | None = None,
    nodes: tuple[int, ...] = (),
    running: bool = False,
    declared: bool = True,
    measured: int | None = None,
) -> MemoryNeed:
    """The account of one guest; ``measured`` overhead in bytes takes the place of the estimate where it is larger."""
    overhead = QEMU_BASE + QEMU_PER_VCPU * vcpus + (QEMU_VIDEO if video else 0) + (QEMU_TCG if emulated else 0)
    source = OVERHEAD_SOURCE
    if measured is not None and measured > overhead:
        overhead, source = measured, "measured: resident memory of its process beside the guest's own"
    tables = 0 if hugepage is not None else 2 * memory // PAGE_TABLES  # the host's page tables and KVM's
    return MemoryNeed(
        name=name,
        memory=memory,
        overhead=overhead,
        page_tables=tables,
        hugepage=hugepage,
        nodes=nodes,
        running=running,
        declared=declared,
        source=source,
    )


def capacity(
    host: str,
    memory: Memory,
    needs: Iterable[MemoryNeed],
    uplinks: Iterable[UplinkLoad] = (),
) -> Capacity:
    """The account, with everything that deserves a warning."""
    account = Capacity(
        host=host, memory=memory, reserve=reserve(memory.total), needs=tuple(needs), uplinks=tuple(uplinks)
    )
    warnings = [*_hugepage_warnings(account), *_node_warnings(account)]
    if account.verdict == "over-limit":
        warnings.append(
            f"the guests leave the host {human(account.reserve + account.left)} of its {human(account.reserve)}"
        )
    elif account.cap is not None and account.verdict == "over-memory":
        may = f"may take {human(account.cap.most)} together: {account.cap.words}"
        warnings.append(f"the guests need {human(account.used)} and {may}; they cannot all run at once")
    elif account.verdict == "over-memory":
        over = account.used - (memory.total - account.reserved_hugepages)
        there = human(memory.total - account.reserved_hugepages)
        warnings.append(
            f"the guests need {human(account.used)} and the host has {there}, {human(over)} less: they cannot all run "
            "at once"
        )
    return replace(account, warnings=tuple(warnings))


def _hugepage_warnings(account: Capacity) -> Iterable[str]:
    wanted: dict[int, int] = {}
    for need in account.needs:
        if need.hugepage:
            wanted[need.hugepage] = wanted.get(need.hugepage, 0) + -(-need.memory // need.hugepage)
    for size, count in wanted.items():
        total = account.memory.hugepages.get(size, (0, 0))[0]
        if count > total:
            yield f"the guests want {count} huge pages of {human(size)}, and the host has {total}"


def _node_warnings(account: Capacity) -> Iterable[str]:
    for node in account.memory.nodes:
        bound = [need for need in account.needs if need.nodes == (node.number,)]
        total = sum(need.total for need in bound)
        if total > node.memory:
            names = ", ".join(need.name for need in bound)
            yield f"NUMA node {node.number} has {human(node.memory)}; bound to it are {human(total)} ({names})"
        biggest = max((need.total for need in account.needs if not need.nodes), default=0)
        if len(account.memory.nodes) > 1 and biggest > node.memory:
            yield f"a guest of {human(biggest)} does not fit into NUMA node {node.number} ({human(node.memory)})"


def needs_of_site(site: Site, host: Host) -> tuple[MemoryNeed, ...]:
    """The declared guests of a host; one without memory counts with what the drivers would give it, 1 GiB."""
    return tuple(_declared(guest) for guest in site.guests_on(host.name))


def _declared(guest: Guest) -> MemoryNeed:
    video = bool(guest.disks or guest.iso)
    return guest_need(guest.name, guest.memory or GIB, vcpus=guest.vcpus, video=video)


def needs_of_domains(
    domains: Iterable[Domain], measured: Mapping[str, int] | None = None, *, declared: Iterable[str] = ()
) -> tuple[MemoryNeed, ...]:
    """What runs or is defined on the host, with the overhead of its process where it was measured."""
    names = set(declared)
    return tuple(
        guest_need(
            domain.name,
            domain.memory,
            vcpus=domain.vcpus,
            video=domain.video,
            emulated=domain.kind in {"qemu", "tcg"},
            hugepage=domain.hugepage,
            nodes=domain.nodes,
            running=domain.running,
            declared=domain.name in names,
            measured=(measured or {}).get(domain.name),
        )
        for domain in domains
    )


def merged(declared: Sequence[MemoryNeed], found: Sequence[MemoryNeed]) -> tuple[MemoryNeed, ...]:
    """Declared guests first, each with the larger of what the file and the host say; then what else runs there.

    Domains that are shut off and not declared take nothing and are left out.
    """
    there = {need.name: need for need in found}
    rows = []
    for need in declared:
        other = there.pop(need.name, None)
        larger = other if other is not None and other.total >= need.total else need
        rows.append(replace(larger, declared=True, running=other.running if other else False))
    return (*rows, *(need for need in there.values() if need.running))


def uplink_loads(site: Site, host: Host, speeds: Mapping[str, int] | None = None) -> tuple[UplinkLoad, ...]:
    """The declared guests behind each bridge's uplink and behind each NIC with macvtaps."""
    behind: dict[tuple[str, str], list[str]] = {}
    for nic in site.guest_nics(host.name):
        bridge = host.bridges.get(nic.bridge) if nic.bridge else None
        uplink = nic.shared_nic or (bridge.uplink if bridge else None) or ""
        key = (str(uplink), "" if nic.shared_nic else nic.into)
        if nic.guest not in behind.setdefault(key, []):
            behind[key].append(nic.guest)
    return tuple(
        UplinkLoad(uplink=uplink, bridge=bridge, guests=tuple(names), speed=(speeds or {}).get(uplink))
        for (uplink, bridge), names in behind.items()
    )
