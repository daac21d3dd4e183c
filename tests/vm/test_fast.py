"""VLANs, VLAN-aware bridges and bonds on a kernel that has them: tests/vm/inside in a machine under QEMU."""

from __future__ import annotations

import xml.etree.ElementTree as ET

import pytest

from tests.vm.lab.cache import Unavailable
from tests.vm.lab.fast import run_job

pytestmark = [pytest.mark.vm, pytest.mark.timeout(0)]  # the machine has a limit of its own, in bare boots
WHAT = (
    "tests/vm/inside",
    "tests/twin/test_other_sites.py::test_tagged_networks_are_played_or_refused_by_name",
)
JOB = f"""\
export PYTHONPATH=src PYTHONDONTWRITEBYTECODE=1
{{python}} -m pytest -p no:cacheprovider -p no:hypothesispytest -p no:xdist --color=no -q --tb=short \
    --junitxml=/run/result.xml {" ".join(WHAT)}
cat /run/result.xml >/dev/ttyS1
"""
BOOTS = 500  # of a bare machine; what hangs, never what is slow


def test_all_that_this_kernel_may_lack() -> None:
    try:
        ran = run_job(JOB, boots=BOOTS)
    except Unavailable as reason:
        pytest.skip(str(reason))
    assert "</testsuites>" in ran.result, f"no result came out; the console:\n{ran.console[-5000:]}"
    cases = list(ET.fromstring(ran.result).iter("testcase"))
    faults = [(case.get("name"), each) for case in cases for each in case if each.tag != "system-out"]
    wrong = [f"{name}: {each.get('message')}" for name, each in faults]
    assert not wrong, "\n".join([*wrong, ran.console[-8000:]])  # what was skipped in there was not tested either
    assert len(cases) > 30
    print(f"{len(cases)} tests in a machine of its own, {ran.seconds:.0f} s")
