"""A Debian host per network manager: its files written, rebooted, compared; its manager restarted, compared again.

Then its power is cut while a change waits for its confirmation, and it must come up without it. Where the manager can,
one of the bridges is a switch of Open vSwitch with a guarded guest.
"""

from __future__ import annotations

import os
import subprocess

import pytest

from tests.vm.lab.cache import ROOT, Unavailable
from tests.vm.lab.full import run_job

pytestmark = [pytest.mark.vm, pytest.mark.timeout(0)]  # the machine has a limit of its own, in bare boots
JOB = """\
export PYTHONPATH=/project/src:/project:/opt/lib
python3 -m tests.vm.debian.job MANAGER {boot_s}
"""
BOOTS = 400
TURNS = (("networkd", "ifupdown"), ("NetworkManager", "netplan"))  # in continuous integration, by the commit's hash


def turn() -> tuple[str, ...]:
    """The managers that are run here: all, but in continuous integration half of them, so that it ends in time."""
    commit = subprocess.run(("git", "rev-parse", "HEAD"), cwd=ROOT, capture_output=True, text=True, check=False).stdout
    if not os.environ.get("CI") or not commit:
        return tuple(name for names in TURNS for name in names)
    return TURNS[int(commit.strip()[-1], 16) % len(TURNS)]


@pytest.mark.parametrize("manager", ["networkd", "NetworkManager", "netplan", "ifupdown"])
def test_it_is_there_after_the_reboot_and_the_restart(manager: str) -> None:
    if manager not in turn():
        pytest.skip(f"CI runs two managers by turns, with this commit {' and '.join(turn())}; `make vm-test` runs all")
    try:
        found = run_job(JOB.replace("MANAGER", manager), boots=BOOTS)
    except Unavailable as reason:
        pytest.skip(str(reason))
    wrong = [f"{finding['check']}: {finding['detail']}" for finding in found.findings if not finding["ok"]]
    assert not wrong, "\n".join([*wrong, found.console[-3000:]])
    assert found.findings and found.findings[-1]["check"] == "done", found.console[-5000:]
    print(f"{manager}: {found.seconds:.0f} s")
