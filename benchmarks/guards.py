"""Guards of 1,000 ports: what a frame pays at them, what loading them costs, and what one port more costs.

Frames are 60 bytes, from a tap through a bridge to another tap, in this process. Two bridges stand side by side, one
with the table and one without; they are asked in turn, hundreds of short times, and the time is the processor's, in
which the kernel carries a frame from tap to tap before the write returns: so what else runs here does not count.
"""

from __future__ import annotations

import math
import os
import shutil
import statistics
import time
from collections.abc import Callable

from tests.guards.segment import PARTIES, Segment, segment

from bascule.frames.guarding import build as b
from bascule.frames.guarding.build import Party
from bascule.model.guarding import Guarding, GuardLevel
from bascule.model.ruleset.rules import Table
from bascule.model.ruleset.text import changed_elements, replacing_text
from bascule.model.state import HostState
from bascule.model.values import IfName, derive_mac, link_local
from bascule.plan.diff import diff
from bascule.policy.guards.ports import GuardedPort
from bascule.policy.guards.rules import guard_table
from bascule.policy.guards.table import KEY
from bascule.system.run import run as run_tool
from benchmarks.guard_traffic import swapped, throughput
from benchmarks.measure import Findings, Row

PORTS = 1_000
SHORT = 400  # frames of one turn
ME, OTHER, ROUTER = PARTIES.me, PARTIES.other, PARTIES.router


def run(*, quick: bool) -> Findings:
    if os.geteuid() != 0:
        return Findings(rows=(), left_out={"guards": "they need root for namespaces"})
    rounds, turns = (5, 60) if quick else (15, 400)
    whole, less = table(PORTS), table(PORTS - 1)
    with segment() as bare, segment() as guarded:
        load(guarded, replacing_text(whole))
        rows = [frame_row(words, bare, guarded, way, turns) for words, way in WAYS.items()]
        rows += loading_rows(guarded, whole, less, rounds)
        rows.append(swap_row(guarded, whole, 20 if quick else 100))
    if shutil.which("iperf3") is None:
        return Findings(rows=tuple(rows), left_out={"TCP through guards": "iperf3 is not installed"})
    return Findings(rows=(*rows, tcp_row(whole, 5 if quick else 15)))


def table(ports: int) -> Table:
    """The guards of web, db, and of so many others."""
    return made(guarded_ports(ports))


def made(ports: list[GuardedPort]) -> Table:
    found = guard_table(ports, "bascule:bench")
    assert found is not None
    return found


def guarded_ports(ports: int) -> list[GuardedPort]:
    others = [
        GuardedPort(
            name=IfName(f"g{n}.0"),
            guest=f"g{n}",
            guarding=Guarding(level=GuardLevel.STRICT),
            macs=(mac := derive_mac("bench", f"g{n}", 0),),
            addresses=(type(ME.ip4)(int(ME.ip4) + 100 + n), link_local(mac)),
        )
        for n in range(ports - 2)
    ]
    pair = [
        GuardedPort(
            name=IfName(name),
            guest=name,
            guarding=Guarding(level=GuardLevel.STRICT),
            macs=(party.mac,),
            addresses=(party.ip4, party.ip6, party.local),
        )
        for name, party in (("web.0", ME), ("db.0", OTHER))
    ]
    return [*pair, *others]


# ---- frames


def udp(me: Party, other: Party) -> bytes:
    return b.ipv4(me.raw, other.raw, me.ip4, other.ip4, b.UDP, b.udp(me.ip4, other.ip4, 9, 9, b"x"))


def tcp(me: Party, other: Party) -> bytes:
    return b.ipv4(me.raw, other.raw, me.ip4, other.ip4, b.TCP, bytes(20))


def udp6(me: Party, other: Party) -> bytes:
    return b.ipv6(me.raw, other.raw, me.ip6, other.ip6, b.UDP, b.udp(me.ip6, other.ip6, 9, 9, b"x"))


class Way:
    """Which frames, from which port to which, and whether a promise was made."""

    def __init__(self, frame: bytes, door: str, out: str, limit: float = -math.inf) -> None:
        self.frame, self.door, self.out, self.limit = frame.ljust(60, b"\0"), door, out, limit


WAYS = {
    f"60-byte frames at {PORTS:,} guarded ports, by unguarded": Way(udp(ME, OTHER), "web.0", "db.0", 0.8),
    "the same with TCP": Way(tcp(ME, OTHER), "web.0", "db.0", 0.8),
    "the same with IPv6": Way(udp6(ME, OTHER), "web.0", "db.0"),
    "the same from a guest to the wire": Way(udp(ME, ROUTER), "web.0", "up.0"),
    "the same from the wire to a guest": Way(udp(ROUTER, OTHER), "up.0", "db.0"),
}


def frame_row(words: str, bare: Segment, guarded: Segment, way: Way, turns: int) -> Row:
    """The middle of the ratios of all turns."""
    for one in (bare, guarded):
        one.greet()
        os.write(one.taps["web.0"], udp(ME, ROUTER))  # so that the bridge knows where web is
        one.drain()
    pairs = []
    for turn in range(turns):
        order = (bare, guarded) if turn % 2 else (guarded, bare)
        took = {one: seconds_a_frame(one, way) for one in order}
        pairs.append((took[bare], took[guarded]))
    value = statistics.median(one / other for one, other in pairs)
    more = statistics.median(other - one for one, other in pairs) * 1e6
    return Row(
        name=words,
        ours=f"{value:.2f} × as many for each second of a core",
        peer="1",
        value=value,
        unit="×",
        limit=way.limit,
        at_most=False,
        note=f"{more:.2f} µs more a frame",
    )


def seconds_a_frame(bridge: Segment, way: Way) -> float:
    """Of a core, for frames written at one tap and read at the other; each must arrive."""
    door, out = bridge.taps[way.door], bridge.taps[way.out]
    arrived, begun = 0, time.thread_time()
    for at in range(SHORT):
        os.write(door, way.frame)
        if at % 16 == 15:
            arrived += read(out)
    taken = time.thread_time() - begun
    arrived += read(out)
    assert arrived >= SHORT, f"{arrived} of {SHORT} arrived"
    return taken / SHORT


def read(fd: int) -> int:
    """The frames that wait."""
    found = 0
    while True:
        try:
            os.read(fd, 2048)
        except BlockingIOError:
            return found
        found += 1


# ---- loading


def load(bridge: Segment, text: str) -> None:
    run_tool(("nft", "-f", "-"), stdin=text, namespace=bridge.host)


def timed(work: Callable[[], object]) -> float:
    """Seconds of a piece of work."""
    begun = time.perf_counter()
    work()
    return time.perf_counter() - begun


def ours(bridge: Segment, before: Table | None, after: Table) -> None:
    """What apply does with the wanted rules: compare, write the text, load it."""
    old, new = (HostState(tables={KEY: one} if one is not None else {}) for one in (before, after))
    for change in diff(old, new).changes:
        for command in change.commands:
            load(bridge, command.stdin)


def loading_rows(bridge: Segment, whole: Table, less: Table, rounds: int) -> list[Row]:
    """The whole table, and one port more: by us and by nft alone, in turn."""
    text, more = replacing_text(whole), changed_elements(whole, less).added
    loading, by_us, one, bare_one, ports = [], [], [], [], guarded_ports(PORTS)
    for _ in range(rounds):
        loading.append(timed(lambda: load(bridge, text)))
        by_us.append(timed(lambda: ours(bridge, None, made(ports))))
        load(bridge, replacing_text(less))
        bare_one.append(timed(lambda: load(bridge, more)))
        load(bridge, replacing_text(less))
        one.append(timed(lambda: ours(bridge, less, whole)))
    return [
        ratio_row(f"the guards of {PORTS:,} ports made and loaded, by `nft -f` alone", by_us, loading, 2.5),
        ratio_row("one port more, by `nft add element` alone", one, bare_one, 2),
        ratio_row(f"one port more, by the whole table of {PORTS:,}", one, loading, 0.5),
    ]


def ratio_row(name: str, mine: list[float], peer: list[float], limit: float) -> Row:
    """The middle of ours by the middle of another's."""
    value = statistics.median(mine) / statistics.median(peer)
    return Row(
        name=name,
        ours=f"{statistics.median(mine) * 1000:.0f} ms",
        peer=f"{statistics.median(peer) * 1000:.0f} ms",
        value=value,
        unit="×",
        limit=limit,
        at_most=True,
    )


# ---- traffic


def swap_row(bridge: Segment, whole: Table, times: int) -> Row:
    """The table replaced under load: what got through that must not, and what was lost."""
    found = swapped(bridge, replacing_text(whole), times)
    return Row(
        name=f"{times} swaps of the whole table under load: frames leaked and lost",
        ours=f"{found.leaked} leaked, {found.lost} lost",
        peer=f"of {found.sent:,} and {found.sent:,}",
        value=found.leaked + found.lost,
        unit="frames",
        limit=0,
    )


def tcp_row(whole: Table, rounds: int) -> Row:
    """TCP between guests behind guards, by the same without."""
    pairs = throughput(replacing_text(whole), rounds)
    value = statistics.median(guarded / bare for bare, guarded in pairs)
    bare, guarded = (statistics.median(some) / 1e9 for some in zip(*pairs, strict=True))
    return Row(
        name=f"TCP at {PORTS:,} guarded ports, by unguarded",
        ours=f"{guarded:.1f} Gbit/s",
        peer=f"{bare:.1f} Gbit/s",
        value=value,
        unit="×",
        limit=0.95,
        at_most=False,
    )
