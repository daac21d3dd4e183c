"""A DHCP client that an older version had moved under a bridge comes home by what that version wrote down.

``states-0.1.0/leased`` was recorded with version 0.1.0 on the host of tests/apply/test_lease.py; ``@LEASE@`` is the
address that the server gave. The client is moved by the version of here, and the old state stands in place of its own.
"""

from __future__ import annotations

import shutil

import pytest

from tests.apply.hosts import difference
from tests.apply.old_states import OldState, Words
from tests.apply.test_lease import Leased, leased, the_one

__all__ = ["leased"]

pytestmark = pytest.mark.kernel


def test_a_moved_client_comes_home(leased: Leased) -> None:
    before = leased.bed.calm()
    address = the_one(leased.addresses("eth0"))
    state = OldState(leased.bed, "leased", Words(leased.bed, {"LEASE": address}))
    done = leased.apply("--confirm-within", "600s")
    assert done.returncode == 0, done.stdout + done.stderr
    assert leased.running() == ["br0"]
    shutil.rmtree(state.checkpoint)
    state.load()
    assert '"status": "applied"' in leased.bascule("status", "--json").stdout
    undone = leased.bascule("undo")
    assert undone.returncode == 0, undone.stdout + undone.stderr
    assert "the host is as it was before" in undone.stdout
    assert the_one(leased.addresses("eth0")) == address
    assert leased.running() == ["eth0"]
    assert leased.renewed()
    assert difference(before, leased.bed.calm()) == []
    assert leased.heard("DHCPRELEASE") == 0
