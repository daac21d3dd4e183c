"""Guards of 1,000 ports: what a frame pays at them, what loading them costs, and what one port more costs.

Frames are 60 bytes, from a tap through a bridge to another tap, in this process: with the table and without it in turn,
so that the machine is the same for both.
"""

from __future__ import annotations

import math
import os
import statistics
import time

from tests.guards.segment import PARTIES, Segment, segment

from bascule.frames.guarding import build as b
from bascule.model.guarding import Guarding, GuardLevel
from bascule.model.ruleset.rules import Table
from bascule.model.ruleset.text import new_elements, replacing_text
from bascule.model.values import IfName, derive_mac
from bascule.policy.guards.ports import GuardedPort, link_local
from bascule.policy.guards.rules import guard_table
from bascule.system.run import run as run_tool
from benchmarks.measure import Findings, Row

PORTS = 1_000
ME, OTHER = PARTIES.me, PARTIES.other


def run(*, quick: bool) -> Findings:
    if os.geteuid() != 0:
        return Findings(rows=(), left_out={"guards": "they need root for namespaces"})
    rounds, frames = (5, 4_000) if quick else (15, 20_000)
    whole, less = table(PORTS), table(PORTS - 1)
    with segment() as bridge:
        passed = ratio_of(bridge, whole, rounds=rounds, frames=frames)
        loading = [timed(bridge, replacing_text(whole)) for _ in range(rounds)]
        one = []
        for _ in range(rounds):
            load(bridge, replacing_text(less))
            one.append(timed(bridge, new_elements(whole, less)))
    return Findings(
        rows=(
            Row(
                name=f"60-byte frames at {PORTS:,} guarded ports, by unguarded",
                ours=f"{passed:.2f} × as many in a second",
                peer="1",
                value=passed,
                unit="×",
                limit=0.8,
                at_most=False,
            ),
            Row(
                name=f"the guards of {PORTS:,} ports loaded by `nft -f`",
                ours=f"{statistics.median(loading):.3f} s",
                peer="",
                value=statistics.median(loading),
                unit="s",
                limit=math.inf,
                note=f"{len(replacing_text(whole)) / 1000:.0f} kB of text",
            ),
            ratio_row(one, loading),
        )
    )


def ratio_row(one: list[float], loading: list[float]) -> Row:
    """A port more, against the whole table."""
    value = statistics.median(one) / statistics.median(loading)
    return Row(
        name=f"one port more, by the whole table of {PORTS:,}",
        ours=f"{statistics.median(one) * 1000:.0f} ms",
        peer=f"{statistics.median(loading) * 1000:.0f} ms",
        value=value,
        unit="×",
        limit=0.5,
        at_most=True,
    )


def table(ports: int) -> Table:
    """The guards of web, db, and of so many others."""
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
    made = guard_table([*pair, *others], "bascule:bench")
    assert made is not None
    return made


def ratio_of(bridge: Segment, guards: Table, *, rounds: int, frames: int) -> float:
    """Frames in a second with the table by those without it; the middle of the rounds, each of both in turn."""
    frame = b.ipv4(ME.raw, OTHER.raw, ME.ip4, OTHER.ip4, b.UDP, b.udp(ME.ip4, OTHER.ip4, 9, 9, b"x"))
    found = []
    for _ in range(rounds):
        run_tool(("nft", "flush", "ruleset"), namespace=bridge.host)
        bare = sent(bridge, frame, frames)
        load(bridge, replacing_text(guards))
        found.append(bare / sent(bridge, frame, frames))
    return statistics.median(found)


def sent(bridge: Segment, frame: bytes, frames: int) -> float:
    """Seconds for so many frames, written at one tap and read at the other; each must arrive."""
    door, exit_ = bridge.taps["web.0"], bridge.taps["db.0"]
    bridge.drain()
    arrived, begun = 0, time.perf_counter()
    for at in range(frames):
        os.write(door, frame)
        if at % 64 == 63:
            arrived += read(exit_)
    arrived += read(exit_)
    taken = time.perf_counter() - begun
    assert arrived >= frames, f"{arrived} of {frames} arrived"
    return taken


def read(fd: int) -> int:
    """The frames that wait."""
    found = 0
    while True:
        try:
            os.read(fd, 2048)
        except BlockingIOError:
            return found
        found += 1


def load(bridge: Segment, text: str) -> None:
    run_tool(("nft", "-f", "-"), stdin=text, namespace=bridge.host)


def timed(bridge: Segment, text: str) -> float:
    """Seconds for one transaction."""
    begun = time.perf_counter()
    load(bridge, text)
    return time.perf_counter() - begun
