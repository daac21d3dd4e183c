"""Who reaches whom: all pairs by the sweep, one question by the walk, and the whole command, beside bare reading.

The model's own CPU is compared with that of ``nft -j list ruleset`` of the same rules, which is the least that anybody
needs to see them; the command with its readers, run alone, and its interpreter with its imports.
"""

from __future__ import annotations

import os
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from bascule.observe.packet_path import OWN
from bascule.providers.kernel.observe import PROGRAMS
from bascule.system.net.netns import Namespace
from bascule.system.process.sandbox import sandboxed
from bascule.topology.sweep.sweep import Sweep
from bascule.topology.trace.packet import Traffic
from bascule.topology.trace.rules.reading import Listings, read_rules
from bascule.topology.trace.walk import Walks
from benchmarks.floors import Interpreter, one_after_the_other
from benchmarks.makers import BASCULE
from benchmarks.many_pairs import TRAFFICS, host, rules
from benchmarks.measure import Figures, Row, Run, in_turn, process, ratio

NFT = ("nft", "-j", "list", "ruleset")
# guests, rules, the limit by nft, which lists 300 rules in 10 ms of CPU, and that in ms
SIZES = ((200, 300, 2.0, 20), (1000, 10_000, 1.2, 1000))
WHY = ("why", "host", "10.9.0.2", "tcp/443", "--json")


def _cpu(call: Callable[[], object], runs: int) -> Figures:
    found = []
    for _ in range(runs):
        start = time.process_time()
        call()
        found.append(time.process_time() - start)
    return Figures.of(found)


def measure(guests: int, lines: int, runs: int) -> tuple[Figures, Figures, Figures]:
    """CPU seconds of all pairs, of one question, and of nft that lists the rules."""
    subprocess.run(("nft", "-f", "-"), input=rules(guests, lines), text=True, check=True)
    listing = subprocess.run(NFT, capture_output=True, text=True, check=True).stdout
    bare = Figures.of([process(NFT).cpu_s for _ in range(runs)])
    network, ends = host(guests, read_rules(Listings(nft=listing)))
    sweep = _cpu(lambda: Sweep(network, ends, TRAFFICS).everything(4), runs)
    walks, (source, target) = Walks(network, ends), ends[-2:]
    # by a service that no rule has, so that it is held against every one of them
    one = _cpu(lambda: walks.ask(source, target, target.addresses[0][0], 4, Traffic(protocol="tcp", port=9)), runs)
    return sweep, one, bare


def command(guests: int, lines: int, runs: int) -> tuple[str, str, float, float]:
    """The whole of ``bascule why`` against its readers one after the other and its interpreter: by wall and by CPU."""
    subprocess.run(("nft", "-f", "-"), input=rules(guests, lines), text=True, check=True)
    for words in ("add eth0 type veth peer name eth1", "set eth0 up", "set eth1 up"):
        subprocess.run(("ip", "link", *words.split()), check=True)
    subprocess.run(("ip", "address", "add", "10.9.0.1/20", "dev", "eth0"), check=True)
    with tempfile.TemporaryDirectory() as state, Namespace.current("here") as here:
        env = {**os.environ, "BASCULE_STATE_DIR": str(Path(state))}
        interpreter = Interpreter(*WHY, env=env)

        def floor() -> Run:
            return one_after_the_other([interpreter(), *(process(argv, namespace=here) for argv in (*PROGRAMS, *OWN))])

        ours, peer = in_turn(lambda: process((*BASCULE, *WHY), env=env, ok=(0, 1)), floor, runs)
    return str(ours), str(peer), ratio(ours, peer), ours.cpu_s.median / peer.cpu_s.median


def run(*, quick: bool) -> list[Row]:
    runs = 5 if quick else 11
    rows = []
    for guests, lines, limit, most in SIZES:
        sweep, one, bare = sandboxed(measure, guests, lines, runs)
        head = f"{guests:,} guests behind {lines:,} rules"
        peer = f"{bare} s of CPU"
        rows += [
            Row(
                f"all pairs by 5 services of {head}, by nft -j",
                f"{sweep} s of CPU",
                peer,
                sweep.median / bare.median,
                "×",
                limit,
            ),
            Row(f"one why on {head}, by nft -j", f"{one} s of CPU", peer, one.median / bare.median, "×", 0.25),
            Row(f"one why on {head}", f"{one} s of CPU", "5 ms", one.median * 1000, "ms", 5),
            Row(f"all pairs of {head}", f"{sweep} s of CPU", f"{most} ms", sweep.median * 1000, "ms", most),
        ]
    ours, floor, wall, cpu = sandboxed(command, 200, 300, runs)
    head = "bascule why on 300 rules, by its readers and its interpreter"
    rows += [Row(head, ours, floor, wall, "×", 2), Row(f"{head}, in CPU", ours, floor, cpu, "×", 2)]
    return rows
