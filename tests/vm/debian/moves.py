"""Inside the Debian machine: what guests miss while their bridge becomes an Open vSwitch of the kernel, and back.

Started as ``moves.py ROUNDS EVERY_S``; for each round a JSON object leaves on the second serial line: the lost echoes
of the guest that loses most, there and back, by Bascule and by a bare move with `ip` and `ovs-vsctl`.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from benchmarks.switches import migrated

from bascule.system.process.sandbox import sandboxed

WATCHED_S = 20.0


def main(rounds: int, every_s: float) -> None:
    """Each move has network namespaces of its own."""
    subprocess.run(("modprobe", "openvswitch"), check=True)
    for _ in range(rounds):
        moves = {by: sandboxed(migrated, by, "system", (every_s, WATCHED_S)) for by in ("apply", "hand")}
        found = {by: [max(one.lost.values()) for one in each] for by, each in moves.items()}
        with Path("/dev/ttyS1").open("w") as line:
            line.write(json.dumps(found) + "\n")
    subprocess.run(("systemctl", "poweroff", "--force"), check=True)


if __name__ == "__main__":
    main(int(sys.argv[1]), float(sys.argv[2]))
