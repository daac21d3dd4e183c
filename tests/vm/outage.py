"""`python -m tests.vm.outage`: what guests miss in a migration to Open vSwitch with its kernel datapath, in a machine.

Under QEMU's own emulation the frames say little, and their ratio to a bare move in the same machine does.
"""

from __future__ import annotations

import statistics

from tests.vm.lab.full import run_job

ROUNDS, EVERY_S = 1, 0.05  # an emulated machine cannot send more echoes
JOB = """\
export PYTHONPATH=/project/src:/project:/opt/lib
python3 -m tests.vm.debian.moves {rounds} {every_s}
"""
BOOTS = 200


def main() -> None:
    """Measure, and say the medians of the rounds. Raises Unavailable, TimeoutError."""
    found = run_job(JOB.format(rounds=ROUNDS, every_s=EVERY_S), boots=BOOTS)
    assert found.findings, found.console[-3000:]
    for at, words in enumerate(("to the switch", "back to the bridge")):
        ours, bare = ([one[by][at] for one in found.findings] for by in ("apply", "hand"))
        told = ", ".join(f"{one}/{other}" for one, other in zip(ours, bare, strict=True))
        one, other = statistics.median(ours), statistics.median(bare)
        print(f"{words}: {one:g} echoes lost of one every {1000 * EVERY_S:.0f} ms, {other:g} by a bare move ({told})")
    print(f"{len(found.findings)} rounds in {found.seconds:.0f} s")


if __name__ == "__main__":
    main()
