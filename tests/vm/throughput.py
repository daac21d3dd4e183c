"""`python -m tests.vm.throughput`: Open vSwitch with its kernel datapath against the kernel's bridge, in a machine.

Under QEMU's own emulation the figures say nothing, and their ratio does: both switches are measured by turns.
"""

from __future__ import annotations

import statistics

from tests.vm.lab.full import run_job

ROUNDS, BOOTS_EACH = 9, 0.3  # short ones by turns: what else the host does meets both
JOB = """\
export PYTHONPATH=/project/src:/project:/opt/lib
python3 -m tests.vm.debian.datapath {rounds} {share} {{boot_s}}
"""
BOOTS = 200


def main() -> None:
    """Measure, and say the median of each round's ratio. Raises Unavailable, TimeoutError."""
    found = run_job(JOB.format(rounds=ROUNDS, share=BOOTS_EACH), boots=BOOTS)
    assert found.findings, found.console[-3000:]
    bridge, switch = found.findings[-1]["bridge"], found.findings[-1]["openvswitch"]
    ratios = sorted(one / other for one, other in zip(switch, bridge, strict=True))
    print(f"TCP from guest to guest, Open vSwitch by the kernel's bridge: {statistics.median(ratios):.2f} ×")
    print(f"{ROUNDS} rounds: {', '.join(f'{ratio:.2f}' for ratio in ratios)} ({found.seconds:.0f} s)")


if __name__ == "__main__":
    main()
