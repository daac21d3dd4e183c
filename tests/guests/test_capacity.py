"""The account of a host's memory and uplinks."""

from __future__ import annotations

from pathlib import Path

import pytest

from bascule.model.domain import Domain
from bascule.model.values import human
from bascule.observe.memory import measured_overheads, observe_memory
from bascule.plan.capacity import (
    GIB,
    MIB,
    Capacity,
    Memory,
    MemoryCap,
    NumaNode,
    capacity,
    guest_need,
    merged,
    needs_of_domains,
    needs_of_site,
    reserve,
    uplink_loads,
)
from bascule.workflow import load

ROOT = Path(__file__).parents[2]


def account(total: int, *guests: int, **facts: object) -> Capacity:
    memory = Memory(total=total, hugepages={}, **facts)  # type: ignore[arg-type]
    return capacity("h", memory, [guest_need(f"g{n}", size) for n, size in enumerate(guests)])


def test_the_production_host_holds_its_guests_and_says_what_the_next_would_do() -> None:
    site = load(str(ROOT / "examples" / "production.yaml"))
    host = site.hosts["vmserver"]
    memory = Memory(total=host.memory or 0, hugepages={})
    found = capacity(host.name, memory, needs_of_site(site, host), uplink_loads(site, host, {"eth4": 1000}))
    assert found.verdict == "fits"
    assert [need.memory for need in found.needs] == [8 * GIB, 4 * GIB, 1 * GIB]
    assert found.used > 13 * GIB
    rooms = {room.size: room for room in found.next_guests()}
    assert rooms[32 * GIB].fits
    assert not rooms[64 * GIB].fits
    loads = {load.uplink: load for load in found.uplinks}
    assert loads["eth4"].guests == ("guest_02", "guest_03")
    assert loads["eth4"].share == 500
    assert loads["eth5"].share is None


def test_eating_the_reserve_is_a_warning_and_more_than_there_is_is_worse() -> None:
    assert account(16 * GIB, 8 * GIB).verdict == "fits"
    tight = account(16 * GIB, 15 * GIB)
    assert tight.verdict == "over-limit"
    assert "leave the host" in tight.warnings[0]
    over = account(16 * GIB, 8 * GIB, 9 * GIB)
    assert over.verdict == "over-memory"
    assert over.warnings[0].startswith(
        "the guests need 17.2 GiB and the host has 16 GiB, 1.2 GiB less: they cannot all"
    )
    assert not any(room.fits for room in over.next_guests())
    assert account(16 * GIB, 8 * GIB).warnings == ()
    assert len(tight.warnings) == 1


def test_a_small_host_keeps_half_of_itself() -> None:
    assert reserve(GIB) == GIB // 2
    assert reserve(64 * GIB) == GIB + 63 * GIB // 20


def test_huge_pages_are_counted_once_and_missed_aloud() -> None:
    memory = Memory(total=32 * GIB, hugepages={2 * MIB: (4096, 4096)})
    one = guest_need("g", 4 * GIB, hugepage=2 * MIB)
    found = capacity("h", memory, [one])
    assert one.page_tables == 0
    assert found.used == one.overhead  # the guest's own memory is in the pages that are set aside
    assert found.limit == 32 * GIB - 8 * GIB - found.reserve
    assert found.warnings == ()
    more = capacity("h", memory, [one, guest_need("g2", 8 * GIB, hugepage=2 * MIB)])
    assert "want 6144 huge pages of 2 MiB, and the host has 4096" in more.warnings[0]


def test_guests_may_take_less_than_the_host_has() -> None:
    """What binds first counts, and one that is above what there is says nothing."""
    caps = tuple(MemoryCap(most * GIB, f"{most} says so") for most in (12, 8, 400))
    found = account(24 * GIB, 8 * GIB, 8 * GIB, caps=caps)
    assert (found.limit, found.verdict) == (8 * GIB, "over-memory")
    (text,) = found.warnings
    assert text == "the guests need 16.2 GiB and may take 8 GiB together: 8 says so; they cannot all run at once"
    assert account(24 * GIB, 4 * GIB, caps=caps).verdict == "fits"
    assert account(24 * GIB, 8 * GIB, 8 * GIB, caps=caps[2:]).verdict == "fits"


def test_a_guest_bound_to_a_node_that_is_too_small() -> None:
    nodes = tuple(NumaNode(number=n, memory=8 * GIB, free=8 * GIB, hugepages={}) for n in (0, 1))
    memory = Memory(total=16 * GIB, hugepages={}, nodes=nodes)
    found = capacity("h", memory, [guest_need("db", 9 * GIB, nodes=(1,))])
    assert any("NUMA node 1 has 8 GiB" in text and "db" in text for text in found.warnings)


def test_what_runs_and_is_not_declared_counts_and_what_is_measured_wins() -> None:
    domains = [
        Domain(name="g1", memory=2 * GIB, running=True, kind="kvm"),
        Domain(name="stranger", memory=GIB, running=True, kind="kvm"),
        Domain(name="asleep", memory=GIB, kind="kvm"),
    ]
    found = merged([guest_need("g1", GIB), guest_need("g2", GIB)], needs_of_domains(domains, {"g1": 900 * MIB}))
    assert [(need.name, need.memory, need.declared, need.running) for need in found] == [
        ("g1", 2 * GIB, True, True),
        ("g2", GIB, True, False),
        ("stranger", GIB, False, True),
    ]
    assert found[0].overhead == 900 * MIB
    assert found[0].source.startswith("measured")


def test_reading_proc_and_sys(tmp_path: Path) -> None:
    def put(path: str, text: str) -> None:
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text(text)

    put("proc/meminfo", "MemTotal:       16384 kB\nMemAvailable:    8192 kB\nSwapTotal: 0 kB\n")
    put("sys/devices/system/node/node0/meminfo", "NumaNode 0 MemTotal:  16000 kB\nNode 0 MemFree:  8000 kB\n")
    put("sys/kernel/mm/hugepages/hugepages-2048kB/nr_hugepages", "4\n")
    put("sys/kernel/mm/hugepages/hugepages-2048kB/free_hugepages", "1\n")
    put("proc/sys/vm/overcommit_memory", "0\n")
    put("sys/fs/cgroup/memory.max", "max\n")
    found = observe_memory(tmp_path)
    assert (found.total, found.available, found.caps) == (16 * MIB, 8 * MIB, ())
    assert found.hugepages == {2 * MIB: (4, 1)}
    assert [(node.number, node.memory) for node in found.nodes] == [(0, 16000 * 1024)]
    put("proc/meminfo", "MemTotal:       16384 kB\nCommitLimit:  8192 kB\n")
    put("proc/sys/vm/overcommit_memory", "2\n")
    put("sys/fs/cgroup/machine.slice/memory.max", f"{4 * MIB}\n")
    assert [cap.most for cap in observe_memory(tmp_path).caps] == [8 * MIB, 4 * MIB]


def test_the_memory_of_a_process_that_is_no_qemu_is_not_ours(tmp_path: Path) -> None:
    for number, words in (
        (1, "sleep\0-name\0x\0-m\0100"),
        (2, "/usr/bin/qemu-system-x86_64\0-m\0size=1024k\0-name\0guest=g1,x"),
    ):
        folder = tmp_path / str(number)
        folder.mkdir()
        (folder / "cmdline").write_text(words)
        entry = "{}-0 rw-p 0 00:00 0\nSize:  {} kB\nRss: 9 kB\nPss:  {} kB\n"
        (folder / "smaps").write_text(entry.format("a", 1024, 700) + entry.format("b", 64, 30))
    assert measured_overheads(tmp_path) == {"g1": 30 * 1024}


@pytest.mark.parametrize(
    ("size", "words"),
    [(0, "0 B"), (GIB, "1 GiB"), (3 * GIB // 2, "1.5 GiB"), (-2 * GIB, "-2 GiB"), (200 * MIB, "200 MiB")],
)
def test_sizes_in_words(size: int, words: str) -> None:
    assert human(size) == words
