"""These run wherever the kernel has what they need; where it has not, `make vm-test` runs them in a machine."""

from __future__ import annotations

import os
from functools import cache

import pytest

from bascule.errors import BasculeError
from bascule.system.net.netns import Namespace
from bascule.system.run import run

FEATURES = {
    "802.1Q links": ("link add name nic type veth peer name far", "link add link nic name nic.2 type vlan id 2"),
    "bridge VLAN filtering": ("link add name br type bridge vlan_filtering 1",),
    "bonding": ("link add name team type bond",),
}


@cache
def missing() -> str:
    """What this kernel lacks, asked by making one of each."""
    lacking = []
    for name, commands in FEATURES.items():
        with Namespace.new("probe") as room:
            try:
                for words in commands:
                    run(("ip", *words.split()), namespace=room)
            except BasculeError:
                lacking.append(name)
    return ", ".join(lacking)


@pytest.fixture(autouse=True, scope="module")  # before the fixtures of a module, which build what this kernel may lack
def _kernel() -> None:
    if os.geteuid() != 0:
        pytest.skip("making network namespaces here needs root")
    if lacking := missing():
        pytest.skip(f"this kernel has no {lacking}: `make vm-test` runs these in a machine that has")
