"""A Debian host per network manager: its files written, rebooted, compared; its manager restarted, compared again.

Then its power is cut while a change waits for its confirmation, and it must come up without it.
"""

from __future__ import annotations

import pytest

from tests.vm.lab.cache import Unavailable
from tests.vm.lab.full import run_job

pytestmark = [pytest.mark.vm, pytest.mark.timeout(1800)]
JOB = """\
export PYTHONPATH=/project/src:/project:/opt/lib
python3 -m tests.vm.debian.job {manager}
"""


@pytest.mark.parametrize("manager", ["networkd", "NetworkManager", "netplan", "ifupdown"])
def test_it_is_there_after_the_reboot_and_the_restart(manager: str) -> None:
    try:
        found = run_job(JOB.format(manager=manager), timeout_s=1740)
    except Unavailable as reason:
        pytest.skip(str(reason))
    wrong = [f"{finding['check']}: {finding['detail']}" for finding in found.findings if not finding["ok"]]
    assert not wrong, "\n".join([*wrong, found.console[-3000:]])
    assert found.findings and found.findings[-1]["check"] == "done", found.console[-5000:]
    print(f"{manager}: {found.seconds:.0f} s with three boots")
