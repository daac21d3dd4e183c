"""The twin and the questions over growing sites: 10 to 1,000 guests on 4 bridges.

``up`` is the twin with every guest plugged and addressed, ``gone`` from the end of the work until its last process has
ended; ``all pairs`` asks every ordered pair by ARP and ICMP. Each is one program, as ``rehearse`` is.
"""

from __future__ import annotations

import subprocess
import sys
import time

from bascule.system.process.sandbox import sandboxed
from bascule.system.run import run as run_tool
from bascule.twin import Twin
from benchmarks import questions
from benchmarks.measure import Curve, Findings, Run, Usage, process
from benchmarks.ping_matrix import ask_pairs

SIZES = (10, 50, 200, 1000)
QUICK = (10, 50)


def run(*, quick: bool) -> Findings:
    up: dict[int, Usage] = {}
    gone: dict[int, Usage] = {}
    pairs: dict[int, Usage] = {}
    for size in QUICK if quick else SIZES:
        ups, gones, asks = [], [], []
        for _ in range(1 if quick or size > 500 else 3):
            argv = (sys.executable, "-m", "benchmarks.guest_curves", str(size))
            done = subprocess.run(argv, check=True, capture_output=True, text=True)
            seconds = [float(word) for word in done.stdout.split()]
            whole = process((*argv, "no-questions"))
            ups.append(Run(seconds[0], whole.cpu_s, whole.peak_mib))
            gones.append(Run(seconds[2], 0.0, 0.0))
            asks.append(Run(seconds[1], seconds[3], 0.0))
            time.sleep(size / 100)  # the kernel takes the namespaces away meanwhile
        up[size], gone[size], pairs[size] = Usage.of(ups), Usage.of(gones), Usage.of(asks)
    return Findings(
        curves=[
            Curve("twin: up (its CPU: up and gone)", "guests", up, by="wall_s"),
            Curve("twin: gone", "guests", gone, by="wall_s"),
            Curve("all ordered pairs by ARP and ICMP", "guests", pairs),
        ]
    )


def inside(size: int, *, ask: bool) -> tuple[float, float, float]:
    """In a sandbox: when it was up, how long the questions took, and their CPU seconds."""
    site = questions.site(size)
    with Twin.raise_(site) as twin:
        run_tool(("ip", "-batch", "-"), stdin=questions.PLAN, namespace=twin.host("host"))
        twin.plug_guests()
        twin.start_guests()
        attachments = [twin.probe_domain().attachments[name][0] for name in site.guests]
        up = time.perf_counter()
        cpu = time.process_time()
        if ask:
            matrix = ask_pairs(attachments)
            if not matrix.ok:
                raise RuntimeError(f"{len(matrix.misses)} of {size * (size - 1)} pairs failed: {matrix.misses[0]}")
        asked = time.perf_counter() - up
        return up, asked, time.process_time() - cpu


def main(size: int, *, ask: bool) -> None:
    """Prints the seconds until it was up, of the questions, until it was gone, and the CPU seconds of the questions."""
    start = time.perf_counter()
    up, asked, cpu = sandboxed(inside, size, ask=ask)
    print(up - start, asked, time.perf_counter() - up - asked, cpu)


if __name__ == "__main__":
    main(int(sys.argv[1]), ask="no-questions" not in sys.argv)
