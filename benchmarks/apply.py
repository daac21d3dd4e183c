"""Changing a host: ``bascule apply`` against the bare batch and against ifupdown2, and what a running ping notices.

200 and 1,000 bridges with a NIC and five taps each; ours, the batch and ifupdown2 in turn, each from the same state.
The floor of an apply is `ip -batch` with the same commands and the interpreter with the same third-party imports, that
of a plan this interpreter and the programs that read the kernel, that of an undo `ip link del group` of the bridges.
"""

from __future__ import annotations

import datetime as dt
import os
import re
import subprocess
import tempfile
import time
from pathlib import Path

from bascule.errors import BasculeError
from bascule.system.net.netns import Namespace
from bascule.system.process.sandbox import sandboxed
from benchmarks.floors import Interpreter, read_kernel
from benchmarks.layout import Ground, scratch
from benchmarks.makers import BASCULE, Floor, Ours, planned
from benchmarks.managers import Ifupdown2
from benchmarks.measure import Findings, Row, Run, Usage, process, ratio
from benchmarks.room import unpack

BRIDGES, MANY = 200, 1000
SLOW_ROUNDS, SLOW_S = 2, 60.0  # of ifupdown2, which takes its time: a second one if the first took less
PLANS = 3  # in each round: a plan with nothing to do is soon made, and one alone tells of the machine's other work


def run(*, quick: bool) -> Findings:
    """Namespaces of our own: as root, or as a user where that is allowed."""
    rows, left_out = sandboxed(two_hundred, 1 if quick else 5, 0 if quick else SLOW_ROUNDS)
    if not quick:
        rows += sandboxed(thousand, 3)
    return Findings(rows=[*rows, sandboxed(moved, 1 if quick else 3)], left_out=left_out)


def two_hundred(rounds: int, slow_rounds: int) -> tuple[list[Row], dict[str, str]]:
    """In a sandbox: all that is promised of this size, and what could not be compared, with the reason."""
    apply, floor, idle, undo, unmade, slow, bare, read = [list[Run]() for _ in range(8)]
    with scratch() as folder, Ground(BRIDGES) as ground:
        ours = Ours(BRIDGES, ground, folder / "ours")
        batch = Floor(BRIDGES, ground, folder / "floor")
        interpreter = Interpreter("plan", str(ours.folder / "site.yaml"), namespace=ground.host)
        peer, left_out = _ifupdown2(ground, folder / "ifupdown2") if slow_rounds else (None, {})
        for number in range(rounds):
            if planned(ground.host, ours.folder / "site.yaml") != batch.commands:
                raise RuntimeError("ours and its peer do not start from the same state")
            apply.append(ours.go())
            ours.see()
            for _ in range(PLANS):
                idle.append(ours.plan())
                read.append(read_kernel(ground.host))
                bare.append(interpreter())
            undo.append(ours.undo())
            floor.append(batch.go())
            batch.see()
            unmade.append(batch.unmake())
            ground.restore()
            if peer and number < slow_rounds and sum(run.wall_s for run in slow) < SLOW_S:
                slow.append(peer.go())
                peer.see()
                peer.clear()
        again = ours.go()
        home_s = until_home(ours)
    rows = told(*map(Usage.of, (apply, floor, idle, undo, unmade, bare, read)))
    name = f"undo until every port is back, by apply, {BRIDGES} bridges"
    rows.append(Row(name, f"{home_s:.3f} s", Usage.of([again]), home_s / again.wall_s, "×", 1.0))
    if slow:
        name = f"ifup -a of ifupdown2 by apply, {BRIDGES} bridges"
        theirs, mine = Usage.of(slow), Usage.of(apply)
        rows.append(Row(name, mine, theirs, ratio(theirs, mine), "×", 15.0, at_most=False))
    return rows, left_out


def until_home(ours: Ours) -> float:
    """Seconds from the start of an undo to the last port that is back; what is left then is to delete the bridges."""
    with tempfile.TemporaryFile("w+") as heard:
        with ours.host.entered():
            monitor = subprocess.Popen(("ip", "-ts", "-o", "monitor", "link"), stdout=heard)
        time.sleep(0.3)
        begun = dt.datetime.now()
        ours.undo()
        time.sleep(0.3)
        monitor.terminate()
        monitor.wait()
        heard.seek(0)
        stamps = re.findall(r"^\[(\S+)\] [0-9]+: [et][0-9]", heard.read(), re.MULTILINE)
    return (dt.datetime.fromisoformat(stamps[-1]) - begun).total_seconds()


def _ifupdown2(ground: Ground, folder: Path) -> tuple[Ifupdown2 | None, dict[str, str]]:
    try:
        unpack()
        return Ifupdown2(BRIDGES, ground, folder), {}
    except (LookupError, OSError, BasculeError) as why:
        return None, {Ifupdown2.name: str(why)}


def told(apply: Usage, floor: Usage, idle: Usage, undo: Usage, unmade: Usage, bare: Usage, read: Usage) -> list[Row]:
    taps = f"{BRIDGES} bridges, {BRIDGES * 5:,} taps"
    started = bare.wall_s.median
    allowed = 2 * (floor.wall_s.median + started)
    note = f"the interpreter: {bare.wall_s} s"
    name = f"apply {taps} by 2 × (the bare batch + the interpreter with the same imports)"
    return [
        Row(name, apply, floor, apply.wall_s.median / allowed, "×", 1.0, note=note),
        nothing_to_do(f"{BRIDGES} bridges", idle, bare, read, 2.0),
        Row(f"undo by apply, {BRIDGES} bridges", undo, apply, ratio(undo, apply), "×", float("inf")),
        Row(
            f"undo by `ip link del group` of the same {BRIDGES} bridges alone",
            undo,
            unmade,
            ratio(undo, unmade),
            "×",
            1.5,
            note="the kernel waits for rcu_barrier for each",
        ),
    ]


def nothing_to_do(what: str, idle: Usage, bare: Usage, read: Usage, limit: float) -> Row:
    """A plan by its floor: the interpreter with the same imports, and the programs that read the kernel."""
    floor = bare.wall_s.median + read.wall_s.median
    return Row(
        f"a plan with nothing to do, {what}, by the interpreter with the same imports and the bare readers",
        idle,
        f"{bare.wall_s} s + {read.wall_s} s",
        idle.wall_s.median / floor,
        "×",
        limit,
    )


def thousand(rounds: int) -> list[Row]:
    """In a sandbox: a plan with nothing to do on a large host."""
    with scratch() as folder, Ground(MANY) as ground:
        ours = Ours(MANY, ground, folder / "ours")
        ours.go()
        ours.see()
        interpreter = Interpreter("plan", str(ours.folder / "site.yaml"), namespace=ground.host)
        runs = [(ours.plan(), interpreter(), read_kernel(ground.host)) for _ in range(rounds)]
        idle, bare, read = (Usage.of(each) for each in zip(*runs, strict=True))
    return [
        nothing_to_do(f"{MANY:,} bridges, {MANY * 5:,} taps", idle, bare, read, 4.0),
        Row("its memory", idle, "", idle.peak_mib.maximum, "MiB", 250.0),
    ]


def moved(rounds: int) -> Row:
    """In a sandbox: a ping every 5 ms while the host's own address moves under a bridge and back."""
    with Namespace.new("host") as host, Namespace.new("wire") as wire, scratch() as folder:
        os.environ["BASCULE_STATE_DIR"] = str(folder / "state")
        with host.entered():
            cable = "link set lo up\nlink add eth0 type veth peer name w0\naddr add 10.0.0.5/24 dev eth0\n"
            subprocess.run(("ip", "-batch", "-"), input=cable, text=True, check=True)
            subprocess.run(("ip", "link", "set", "w0", "netns", f"/proc/{os.getpid()}/fd/{wire.fd}"), check=True)
            subprocess.run(("ip", "link", "set", "eth0", "up"), check=True)
        with wire.entered():
            subprocess.run(("ip", "link", "set", "w0", "up"), check=True)
            subprocess.run(("ip", "addr", "add", "10.0.0.1/24", "dev", "w0"), check=True)
        (folder / "site.yaml").write_text(
            "site: gap\nnetworks: {lan: {subnet: 10.0.0.0/24}}\nhosts:\n  h:\n    nics: {eth0: {network: lan}}\n"
            "    bridges: {br0: {uplink: eth0, address: from-uplink}}\n"
        )
        lost = []
        for words in (("apply", str(folder / "site.yaml"), "--here", "--yes", "--no-confirm"), ("undo",)) * rounds:
            with wire.entered():
                ping = subprocess.Popen(
                    ("ping", "-q", "-i", "0.005", "-w", "4", "10.0.0.5"), stdout=subprocess.PIPE, text=True
                )
            time.sleep(0.5)
            with host.entered():
                process((*BASCULE, *words))
            text = ping.communicate()[0].split()
            lost.append(int(text[text.index("packets") - 1]) - int(text[text.index("received,") - 1]))
    told = f"{sum(lost)} lost in {len(lost)} moves"
    return Row("pings lost at 5 ms while the host's address moves", told, "—", float(max(lost)), "packets", 1.0)
